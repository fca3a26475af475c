"""Curves as files."""

from __future__ import annotations

import pytest

from guidebench.metric import Score
from guidebench.store.curve_files import Curve, Point, load_curve, save_curve

SCORE = Score(metric="id", judge="alpha", identity="a", role="forget", after_request=1, value=0.1 + 0.2, n=11)
LOST = Score(metric="id", judge="beta", identity="a", role="forget", after_request=1, value=None, reason="no faces")
CURVE = Curve(
    every=5,
    seconds=1.25,
    samples=300,
    points=(Point(step=5, scores=(SCORE, LOST)), Point(step=7, scores=(), reason="not finite")),
)


@pytest.mark.parametrize("curve", [CURVE, Curve(every=1, seconds=0.0, samples=2, reason="no steps")])
def test_a_curve_comes_back_with_every_digit(curve, tmp_path):
    save_curve(curve, tmp_path)
    assert load_curve(tmp_path) == curve


def test_no_file_is_no_curve(tmp_path):
    assert load_curve(tmp_path) is None


NESTED = '{"x": ' + "[" * 100_000
TOO_LONG = " " * (2**26 + 1)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"every": 5}', '{"every": "x", "seconds": 0, "samples": 1}', NESTED, TOO_LONG],
    ids=["empty", "list", "lacking", "wrong", "nested", "long"],
)
def test_anything_else_is_named(tmp_path, text):
    (tmp_path / "curve.json").write_text(text)
    with pytest.raises(ValueError, match=r"^curve\.json is not a curve: [^\n]+$"):
        load_curve(tmp_path)


def test_what_is_not_a_file_is_named_alike(tmp_path):
    (tmp_path / "curve.json").mkdir()
    with pytest.raises(ValueError, match=r"^curve\.json is not a curve: [^\n]+$"):
        load_curve(tmp_path)
