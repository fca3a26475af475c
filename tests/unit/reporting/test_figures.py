"""Picture sheets: every picture is there, large enough to see, whatever sizes come in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guidebench.reporting.figures import CELL, LINE, Cell, Person, Row, contact_sheet, sheet


def _plain(colour, side=64):
    return np.full((side, side, 3), colour, dtype=np.uint8)


def _count(path, colour):
    return int((np.array(Image.open(path)) == colour).all(axis=2).sum())


def test_sheet_holds_every_picture_enlarged_on_white(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]
    path = tmp_path / "sheet.png"
    sheet(
        [Row("forgotten", [Cell(_plain(c), "photo") for c in colours[:3]]), Row("b", [Cell(_plain(colours[3]))])], path
    )
    for colour in colours:
        assert _count(path, colour) == (CELL - 2) ** 2  # all but the hairline
    with Image.open(path) as image:
        assert image.getpixel((0, 0)) == (255, 255, 255)


def test_long_rows_are_broken_and_short_ones_are_side_by_side(tmp_path):
    cells = [Cell(_plain((200, 30, 30)))] * (LINE + 1)
    sheet([Row("long", cells)], tmp_path / "long.png")
    assert _count(tmp_path / "long.png", (200, 30, 30)) == len(cells) * (CELL - 2) ** 2
    two = [Row("a", cells[:2]), Row("b", cells[:2])]
    sheet(two, tmp_path / "beside.png")
    sheet([Row("a", cells[:2], group="one"), Row("b", cells[:2], group="two")], tmp_path / "below.png")
    beside, below = (Image.open(tmp_path / f"{name}.png") for name in ("beside", "below"))
    assert beside.width > below.width
    assert beside.height < below.height


def test_large_images_are_reduced_and_odd_sizes_keep_their_aspect(tmp_path):
    wide = np.full((512, 1024, 3), (200, 30, 30), dtype=np.uint8)
    sheet([Row("wide", [Cell(wide), Cell(None, "target")])], tmp_path / "wide.png")
    with Image.open(tmp_path / "wide.png") as image:
        assert image.width < 3 * 2 * CELL
    assert _count(tmp_path / "wide.png", (200, 30, 30)) == pytest.approx(256 * 128, rel=0.02)


def test_long_titles_and_captions_do_not_widen_a_cell(tmp_path):
    cell = Cell(_plain((200, 30, 30)), "a caption that is much longer than one picture is wide")
    sheet([Row("t", [cell])], tmp_path / "a.png")
    sheet([Row("t", [Cell(cell.image, "c")])], tmp_path / "b.png")
    assert Image.open(tmp_path / "a.png").size == Image.open(tmp_path / "b.png").size


def test_contact_sheet_shows_people_in_columns(tmp_path):
    red, green, blue = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    people = [Person(f"ffhq-{n:04}", _plain(red), _plain(green), {"guide": _plain(blue)}) for n in range(5)]
    contact_sheet(people, tmp_path / "c.png", title="guide on ffhq", columns=3)
    for colour in (red, green, blue):
        assert _count(tmp_path / "c.png", colour) == 5 * (CELL - 2) ** 2
    contact_sheet([Person("z", None, _plain(green), {"guide": _plain(blue)})], tmp_path / "r.png")
    assert Image.open(tmp_path / "r.png").height < Image.open(tmp_path / "c.png").height / 2


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((3, 4, 4), np.uint8)]
)
def test_what_is_not_an_image_is_refused(tmp_path, image):
    with pytest.raises(ValueError, match="uint8"):
        sheet([Row("a", [Cell(image)])], tmp_path / "a.png")


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="row"):
        sheet([Row("a", [])], tmp_path / "a.png")
    with pytest.raises(ValueError, match="person"):
        contact_sheet([], tmp_path / "a.png")
