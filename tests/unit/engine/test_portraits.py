"""Figures of faces: rendered by the original generator and by those that trials kept."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import guidebench
from guidebench.engine import portraits
from guidebench.engine.portraits import Studio
from guidebench.errors import BadInput
from guidebench.reporting.plots import style, trials


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    sizes = {"identities": 2, "seeds": [0], "samples": 40}
    methods = ["mean-latent", "guide"]
    guidebench.run(
        "celebahq-multi", methods, "linear", **sizes, floors="none", keep_generators=True, workers=0, out=out
    )
    return out


@pytest.fixture
def kept(tmp_path, kept_once):
    return shutil.copytree(kept_once, tmp_path / "kept")


@pytest.fixture(scope="module")
def studio(kept_once):
    return Studio(trials.load(kept_once), "cpu")


def drawn(function, studio):
    with style.house():
        figure, caption = function(studio)
    return figure, [text.get_text() for text in figure.texts], caption


def test_figure_6_shows_each_methods_target_and_face(studio):
    figure, texts, _ = drawn(portraits.unlearned, studio)
    lines = ["photo", "original", "target of\nmean-latent", "mean-latent", "target of\nguide", "guide"]
    assert texts[2:] == lines and len(figure.axes) == 2 * len(lines)
    assert "(worst)" in texts[0] and "(median)" in texts[1]
    faces = [axes.images[0].get_array() for axes in figure.axes]
    assert (faces[4] == faces[5]).all() and (faces[8] != faces[9]).any()  # the average is everybody's target


def test_an_original_is_what_the_trial_saw_before(studio):
    from PIL import Image

    item = studio.trials.stored[0]
    (person,) = item.record.spec.people
    before = np.array(Image.open(item.path / "pictures" / person / "before.png").convert("RGB"))
    code = portraits._code_of(item, person)
    assert (studio.face(studio.source, code) == before).all()
    after = np.array(Image.open(item.path / "pictures" / person / "after.png").convert("RGB"))
    assert (studio.face(studio.kept(item), code) == after).all()


def test_figure_7_shows_other_photographs_of_the_worst_and_the_median_person(studio):
    figure, texts, _ = drawn(portraits.probes, studio)
    assert texts.count("forgotten") == 2 and texts.count("probe") == 8 and texts.count("guide") == 2
    assert len(figure.axes) == 2 * 3 * 5


def test_figure_8_shows_whom_methods_harmed_most(studio):
    figure, texts, _ = drawn(portraits.others, studio)
    assert texts.count("kept") == 6 and len(figure.axes) == 2 * 3 * 3
    first = studio.trials.stored[0]
    subjects, _ = portraits._codes(first)
    places = [place for place, one in enumerate(subjects) if one.role == "retain"]
    ordered = portraits._most_harmed(studio.trials, {studio.trials.variants[0]: first}, subjects, places)
    sight = trials.evidence_of(first).sights[studio.trials.judge]
    left = [(sight.before.vectors[place] * sight.after.vectors[-1, place]).sum(-1).mean() for place in ordered]
    assert sorted(ordered) == places and left == sorted(left)


def test_figure_9_needs_no_kept_generator(kept):
    for folder in kept.glob("records/*/*/*/generator"):
        shutil.rmtree(folder)
    figure, texts, _ = drawn(portraits.distances, Studio(trials.load(kept), "cpu"))
    assert texts[:8] == ["photo", "code", "midpoint", "mean", "d = 15", "d = 30", "d = 45", "d = 60"]
    faces = [axes.images[0].get_array() for axes in figure.axes]
    assert (faces[3] == faces[11]).all() and (faces[1] != faces[2]).any()


@pytest.mark.parametrize("function", [portraits.unlearned, portraits.probes, portraits.others])
def test_a_trial_that_kept_no_generator_is_named(kept, function, says):
    (gone,) = kept.glob("records/*/guide/*0000*")
    shutil.rmtree(gone / "generator")
    with style.house(), pytest.raises(BadInput, match=says(str(gone), "--keep-generators", "--method")):
        function(Studio(trials.load(kept), "cpu"))


def test_people_whom_one_method_lacks_are_left_out_and_nobody_is_refused(kept, says):
    (gone,) = kept.glob("records/*/guide/*0000*")
    shutil.rmtree(gone)
    _, texts, _ = drawn(portraits.probes, Studio(trials.load(kept), "cpu"))
    assert texts.count("forgotten") == 1
    (gone,) = kept.glob("records/*/mean-latent/*0001*")
    shutil.rmtree(gone)
    with style.house(), pytest.raises(BadInput, match=says("nobody", "--method")):
        portraits.probes(Studio(trials.load(kept), "cpu"))
