"""Picture sheets: labelled grids of faces on white, drawn with PIL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from guidebench.errors import BadInput

CELL = 128  # side in pixels to which small images are enlarged
LINE = 9  # most cells side by side
_MARGIN, _GAP, _CARD_GAP = 24, 6, 28
_TITLE, _CAPTION, _HEADING = 17, 13, 21  # font sizes
_INK, _GREY, _RULE, _FRAME = (32, 36, 44), (110, 116, 126), (222, 225, 230), (205, 209, 216)
_MISSING = (240, 242, 245)
_COMPRESSION = 2  # of PNG: half the time of the usual 6, a tenth more bytes
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".pdf")


@dataclass(frozen=True)
class Cell:
    """One picture."""

    image: np.ndarray | None  # (h, w, 3) uint8; None leaves a marked gap
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """Pictures that belong together, under a title."""

    title: str
    cells: Sequence[Cell]
    group: str = ""  # heading that is drawn where it changes


@dataclass(frozen=True)
class Person:
    """What a contact sheet shows of one person."""

    name: str
    photo: np.ndarray | None  # (h, w, 3) uint8; None under Random
    before: np.ndarray
    after: Mapping[str, np.ndarray]  # by method; a method that a person lacks leaves a blank


@dataclass(frozen=True)
class _Card:
    """A row as it is laid out: lines of at most `LINE` cells."""

    row: Row
    lines: tuple[tuple[Cell, ...], ...]
    side: int

    @property
    def width(self) -> int:
        widest = max(len(line) for line in self.lines)
        cells = widest * self.side + (widest - 1) * _GAP
        return max(cells, int(_font(_TITLE).getlength(self.row.title)) if len(self.lines) == 1 else 0)

    @property
    def height(self) -> int:
        return _TITLE + 10 + len(self.lines) * self.line_height

    @property
    def line_height(self) -> int:
        return self.side + (_CAPTION + 12 if any(cell.caption for cell in self.row.cells) else _GAP)


def sheet(rows: Sequence[Row], path: str | Path) -> None:
    """Writes a labelled sheet as an image file of the type that the path's ending names.

    Rows of more than `LINE` cells are broken; short ones are placed side by side. Images may differ in size: small
    ones are enlarged to `CELL` pixels, larger ones than twice that are reduced. Raises ValueError if there is nothing
    to draw or an image is not (h, w, 3) uint8.
    """
    _check_ending(path)
    drawable = [row for row in rows if row.cells]
    if not drawable:
        raise ValueError("a sheet needs at least one row with a cell")
    _draw_bands(_bands_of(drawable)).save(path, compress_level=_COMPRESSION)


def boxes(rows: Sequence[Row]) -> list[list[tuple[int, int, int, int]]]:
    """Where `sheet` draws the picture of every cell: left, top, right, bottom in pixels, row by row.

    Of the images only their sizes count.
    """
    return [
        [(left, top, left + card.side, top + card.side) for left, top, _ in _corners(card, x, y)]
        for band in _placed(_bands_of(rows))
        for card, x, y in band.cards
    ]


def contact_sheet(people: Sequence[Person], path: str | Path, *, title: str = "", columns: int = 10) -> None:
    """Writes several people in one figure: one column per person, with photograph, before, and after each method.

    columns: people beside each other; further ones go below. The photograph row is left out if nobody has one.
    Raises ValueError as `sheet`.
    """
    _check_ending(path)
    if not people:
        raise ValueError("a contact sheet needs at least one person")
    side = _side(image for person in people for image in (person.photo, person.before, *person.after.values()))
    methods = dict.fromkeys(method for person in people for method in person.after)
    kinds: list[tuple[str, list[np.ndarray | None]]] = [
        ("before", [person.before for person in people]),
        *((method, [person.after.get(method) for person in people]) for method in methods),
    ]
    if any(person.photo is not None for person in people):
        kinds.insert(0, ("photo", [person.photo for person in people]))
    names = [person.name for person in people]
    starts = range(0, len(people), columns)
    names_width = max(int(_font(_TITLE).getlength(kind)) for kind, _ in kinds) + 16
    block = _CAPTION + 12 + len(kinds) * (side + _GAP)
    widest = min(columns, len(people))
    top = _MARGIN + (_HEADING + 18 if title else 0)
    size = (
        2 * _MARGIN + names_width + widest * (side + _GAP) - _GAP,
        top + len(starts) * (block + _CARD_GAP) - _CARD_GAP + _MARGIN,
    )
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    if title:
        draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=_font(_HEADING))
    for number, start in enumerate(starts):
        y = top + number * (block + _CARD_GAP)
        for place, name in enumerate(names[start : start + columns]):
            middle = _MARGIN + names_width + place * (side + _GAP) + side // 2
            draw.text((middle, y), _fit(name, _CAPTION, side), fill=_GREY, font=_font(_CAPTION), anchor="ma")
        for line, (kind, pictures) in enumerate(kinds):
            top_of_line = y + _CAPTION + 12 + line * (side + _GAP)
            draw.text((_MARGIN, top_of_line + side // 2), kind, fill=_INK, font=_font(_TITLE), anchor="lm")
            for place, image in enumerate(pictures[start : start + columns]):
                _paste(canvas, image, (_MARGIN + names_width + place * (side + _GAP), top_of_line), side)
    canvas.save(path, compress_level=_COMPRESSION)


def _check_ending(path: str | Path) -> None:
    if Path(path).suffix.lower() not in _ENDINGS:
        raise BadInput(f"{path} is not a picture file; use one of these endings: {', '.join(_ENDINGS)}")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _side(images: Iterable[np.ndarray | None]) -> int:
    """Pixels a side at which images are drawn: a whole multiple of small ones, at most twice `CELL`."""
    largest = 1
    for image in images:
        if image is None:
            continue
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"a cell needs an (h, w, 3) uint8 image, got {image.shape} {image.dtype}")
        largest = max(largest, image.shape[0], image.shape[1])
    return min(largest * max(1, -(-CELL // largest)), 2 * CELL)


def _lines(cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], ...]:
    """At most `LINE` cells a line, lines about equally long."""
    count = -(-len(cells) // LINE)
    longest = -(-len(cells) // count)
    return tuple(tuple(cells[start : start + longest]) for start in range(0, len(cells), longest))


def _bands(cards: Sequence[_Card], width: int) -> list[list[_Card]]:
    """Cards beside each other as far as they fit and as long as the group stays."""
    bands: list[list[_Card]] = []
    room = 0
    for card in cards:
        fits = bool(bands) and bands[-1][-1].row.group == card.row.group and card.width + _CARD_GAP <= room
        alone = len(card.lines) > 1
        if fits and not alone and len(bands[-1][-1].lines) == 1:
            bands[-1].append(card)
            room -= card.width + _CARD_GAP
        else:
            bands.append([card])
            room = width - card.width
    return bands


def _bands_of(rows: Sequence[Row]) -> list[list[_Card]]:
    side = _side(cell.image for row in rows for cell in row.cells)
    cards = [_Card(row, _lines(row.cells), side) for row in rows]
    return _bands(cards, LINE * side + (LINE - 1) * _GAP + 2 * _CARD_GAP)


@dataclass(frozen=True)
class _Band:
    """A band where it is drawn."""

    heading: str
    top: int
    cards: tuple[tuple[_Card, int, int], ...]  # each with its corner

    @property
    def bottom(self) -> int:
        return max(y + card.height for card, _, y in self.cards)


def _placed(bands: Sequence[Sequence[_Card]]) -> list[_Band]:
    found: list[_Band] = []
    for place, band in enumerate(bands):
        top = found[-1].bottom + 12 if found else _MARGIN
        heading = _heading_of(bands, place)
        y = top + (_HEADING + 26 if heading else 0)
        lefts = accumulate((card.width + _CARD_GAP for card in band[:-1]), initial=_MARGIN)
        found.append(_Band(heading, top, tuple((card, x, y) for card, x in zip(band, lefts, strict=True))))
    return found


def _draw_bands(bands: Sequence[Sequence[_Card]]) -> Image.Image:
    width = 2 * _MARGIN + max(sum(card.width + _CARD_GAP for card in band) - _CARD_GAP for band in bands)
    placed = _placed(bands)
    canvas = Image.new("RGB", (width, placed[-1].bottom + _MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for band in placed:
        if band.heading:
            draw.text((_MARGIN, band.top), band.heading, fill=_INK, font=_font(_HEADING))
            rule = band.top + _HEADING + 10
            draw.line((_MARGIN, rule, width - _MARGIN, rule), fill=_RULE)
        for card, x, y in band.cards:
            _draw_card(canvas, draw, card, x, y)
    return canvas


def _heading_of(bands: Sequence[Sequence[_Card]], place: int) -> str:
    """The band's group where it differs from the band before."""
    group = bands[place][0].row.group
    return group if place == 0 or bands[place - 1][0].row.group != group else ""


def _draw_card(canvas: Image.Image, draw: ImageDraw.ImageDraw, card: _Card, x: int, y: int) -> None:
    draw.text((x, y), card.row.title, fill=_INK, font=_font(_TITLE))
    for left, top, cell in _corners(card, x, y):
        _paste(canvas, cell.image, (left, top), card.side)
        caption = _fit(cell.caption, _CAPTION, card.side)
        draw.text((left + card.side // 2, top + card.side + 3), caption, fill=_GREY, font=_font(_CAPTION), anchor="ma")


def _corners(card: _Card, x: int, y: int) -> Iterator[tuple[int, int, Cell]]:
    """Left, top and content of every cell of a card."""
    for number, line in enumerate(card.lines):
        for place, cell in enumerate(line):
            yield x + place * (card.side + _GAP), y + _TITLE + 10 + number * card.line_height, cell


def _paste(canvas: Image.Image, image: np.ndarray | None, corner: tuple[int, int], side: int) -> None:
    """One picture in a square, its aspect kept, with a hairline around it; a pale square if there is none."""
    draw = ImageDraw.Draw(canvas)
    box = (corner[0], corner[1], corner[0] + side - 1, corner[1] + side - 1)
    if image is None:
        draw.rectangle(box, fill=_MISSING, outline=_FRAME)
        draw.text((corner[0] + side // 2, corner[1] + side // 2), "none", fill=_GREY, font=_font(_CAPTION), anchor="mm")
        return
    picture = Image.fromarray(image)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    canvas.paste(picture, (corner[0] + (side - size[0]) // 2, corner[1] + (side - size[1]) // 2))
    draw.rectangle(box, outline=_FRAME)


def _fit(text: str, size: int, width: int) -> str:
    """``text`` cut with an ellipsis to a width in pixels."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
