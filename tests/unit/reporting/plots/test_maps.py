"""Maps of people: everybody's photographs, codes and embeddings, the worst and the median in colour."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots import style, trials
from guidebench.reporting.plots.maps import maps, photographs


def test_all_photographs_of_everybody_are_there(loaded):
    found = photographs(loaded)
    assert len(found.person) == 3 * 5 and found.forgotten.sum() == 3
    assert len(found.codes) == len(found.before) == 15
    assert {len(after) for after in found.after.values()} == {15} and len(found.after) == 2


def test_a_photograph_of_everybody_is_not_enough(sequence, tmp_path, runs, says):
    with pytest.raises(BadInput, match=says("latents.npz")):
        photographs(trials.load(runs, protocol="ffhq"))


def test_people_whom_one_method_lacks_are_left_out(measured, loaded):
    import shutil

    (gone,) = measured.glob("records/*/guide/*0001*")
    shutil.rmtree(gone)
    assert len(photographs(trials.load(measured)).person) == 2 * 5


def test_codes_that_are_gone_are_named(measured, says):
    found = trials.load(measured)
    for item in found.stored:
        (item.path / "latents.npz").unlink()
    with pytest.raises(BadInput, match=says("latents.npz", "--fresh")):
        photographs(found)


def test_codes_before_and_every_method_have_a_panel(loaded):
    with style.house():
        figure, caption = maps(loaded)
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert titles == ["latent codes", "before", "mean-latent", "guide"]
    limits = {(*axes.get_xlim(), *axes.get_ylim()) for axes in figure.axes[1:4]}
    assert len(limits) == 1 and "15 photographs of 3 people" in caption
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    worst_first = photographs(loaded).worst_first
    assert names[0] == f"{worst_first[0]} (worst)" and names[1] == f"{worst_first[1]} (median)"
    assert np.isfinite(figure.axes[1].get_xlim()).all()
