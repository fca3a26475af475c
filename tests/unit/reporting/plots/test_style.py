"""The house style: one look per method, files that are the same every time, one clear line if nothing can be drawn."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from guidebench import registry
from guidebench.errors import BadInput, StorageError
from guidebench.reporting.plots import style
from guidebench.reporting.selection import Variant

# Machado, Oliveira & Fernandes 2009, full severity, of linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
TOGETHER = ("mean-latent", "extrapolated", "extrapolated-adj", "guide", "oracle", "redirect")


def variant(method: str, label: str = "") -> Variant:
    return Variant(label or method, method, "0" * 64, "{}", True)


def seen(colour: str, deficiency: str) -> np.ndarray:
    """L*, a*, b* of a colour as somebody with the deficiency sees it."""
    rgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    shown = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ shown
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_methods_that_are_compared_most_differ_for_everybody(deficiency):
    for one, other in itertools.combinations(TOGETHER, 2):
        far = np.linalg.norm(
            seen(style.look_of(one).colour, deficiency) - seen(style.look_of(other).colour, deficiency)
        )
        assert far > 12, (one, other, far)


def test_every_method_that_ships_has_a_look_of_its_own():
    looks = [style.look_of(name) for name in registry.methods()]
    assert len(set(looks)) == len(looks)


def test_a_method_of_ones_own_looks_the_same_in_every_figure():
    assert style.look_of("mine") == style.looks_of([variant("guide"), variant("mine")])[variant("mine")]


def test_settings_of_one_method_share_its_colour_and_no_marker():
    rows = [variant("guide", label) for label in ("guide[d=15]", "guide", "guide[d=45]")]
    looks = style.looks_of(rows)
    assert looks[rows[1]] == style.look_of("guide")
    assert {look.colour for look in looks.values()} == {style.look_of("guide").colour}
    assert len({look.marker for look in looks.values()}) == 3


def test_titles_have_indices():
    assert style.title_of("fid_pre") == "FID$_{pre}$" and style.title_of("id") == "ID"


@pytest.mark.parametrize("ending", style.ENDINGS)
def test_a_figure_is_the_same_bytes_every_time(tmp_path, ending):
    from matplotlib.figure import Figure

    for name in ("a", "b"):
        with style.house():
            figure = Figure()
            figure.subplots().plot([0, 1])
            style.save(figure, tmp_path / f"{name}{ending}", "what it shows")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_the_users_own_settings_change_nothing_and_stay():
    import matplotlib

    with matplotlib.rc_context({"font.size": 30}):
        with style.house():
            assert matplotlib.rcParams["font.size"] == 7
        assert matplotlib.rcParams["font.size"] == 30


def test_names_of_any_letters_are_drawn(tmp_path, caplog):
    from matplotlib.figure import Figure

    rows = [variant("mine", "cost=$5 and $6^{"), variant("mine", "名前_ñ")]
    with style.house():
        figure = Figure()
        style.legend(figure, style.looks_of(rows), rows)
        style.sign(figure, "a $ b $ c_")
        style.save(figure, tmp_path / "x.svg")
        style.save(figure, tmp_path / "x.png")
    assert "$5 and $6^{" in (tmp_path / "x.svg").read_text()
    assert {record.getMessage() for record in caplog.records} == {
        f"{tmp_path / 'x.png'}: some letters have no shape in matplotlib's font DejaVu Sans; they are drawn as boxes"
    }


def test_other_endings_are_refused(says):
    with pytest.raises(BadInput, match=says("x.jpeg", ".pdf", ".svg", ".png")):
        style.check_ending("x.jpeg")


def test_a_place_that_cannot_be_written_is_named(tmp_path, says):
    from matplotlib.figure import Figure

    (tmp_path / "file").touch()
    with style.house(), pytest.raises(StorageError, match=says("file/x.pdf")):
        style.save(Figure(), tmp_path / "file" / "x.pdf")


def test_without_matplotlib_there_is_one_clear_line(monkeypatch, says):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match=says("matplotlib", "pip install")), style.house():
        pass


def test_a_backend_that_does_not_exist_is_named(says):
    code = (
        "from guidebench.reporting.plots.style import house\n"
        "from guidebench.errors import BadInput\n"
        "try:\n    house().__enter__()\nexcept BadInput as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "nonsense"}
    )
    assert "nonsense" in done.stdout and "unset MPLBACKEND" in done.stdout and done.stdout.count("\n") == 1
