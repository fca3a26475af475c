"""Grids of faces: all of one size, labels beside them, a frame where a face is missing."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.reporting.plots import style
from guidebench.reporting.plots.faces import Block, Line, grid

FACE = np.full((32, 32, 3), 200, np.uint8)


def draw(*blocks):
    with style.house():
        return grid(blocks)


def sides(figure):
    width, height = figure.get_size_inches()
    return [
        (round(axes.get_position().width * width, 6), round(axes.get_position().height * height, 6))
        for axes in figure.axes
    ]


def test_faces_are_squares_of_one_size():
    figure = draw(Block([Line("a", [FACE] * 5)], ["x"] * 5, "one"), Block([Line("b", [FACE] * 3)]))
    (side,) = set(sides(figure))
    assert side[0] == side[1] and len(figure.axes) == 8


@pytest.mark.parametrize(("faces", "width"), [(2, None), (5, style.COLUMN), (8, style.PAGE)])
def test_a_figure_is_as_wide_as_a_column_unless_faces_would_be_tiny(faces, width):
    found = draw(Block([Line("a", [FACE] * faces)])).get_size_inches()[0]
    assert found == pytest.approx(width) if width else found < style.COLUMN


def test_everything_is_inside_the_figure():
    heads = ["celebahq-0000\n(worst)", "b"]
    figure = draw(
        Block([Line("photo", [FACE, FACE]), Line("extrapolated-adj", [FACE, None], "#0072B2")], heads, "title")
    )
    figure.draw_without_rendering()
    box = figure.bbox
    for text in figure.texts:
        place = text.get_window_extent()
        assert box.x0 <= place.x0 and place.x1 <= box.x1 and box.y0 <= place.y0 and place.y1 <= box.y1, text.get_text()
    assert figure.texts[-1].get_text() == "extrapolated-\nadj" and figure.texts[-1].get_color() == "#0072B2"


def test_a_face_that_is_missing_is_a_frame():
    figure = draw(Block([Line("a", [FACE, None])]))
    assert [len(axes.images) for axes in figure.axes] == [1, 0]
    assert [axes.spines["top"].get_visible() for axes in figure.axes] == [False, True]
