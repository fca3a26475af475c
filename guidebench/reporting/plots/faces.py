"""Grids of faces with labels, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from guidebench.reporting.plots.style import COLUMN, GREY, INK, PAGE, PALE, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = 0.72  # width of the labels of lines, inches
_GAP = 0.03  # between faces
_TITLE, _HEAD, _SECOND = 0.15, 0.16, 0.1  # heights of a title, of heads of columns, and of their second lines
_MARGIN, _BLOCK = 0.06, 0.12  # of the edges, and between blocks
_LETTER = 0.048  # width of a letter of a head
_LARGEST = 0.95  # side of a face
_MOST_ON_A_COLUMN = 6  # faces side by side on one column's width; more take a page's


@dataclass(frozen=True)
class Line:
    """Faces that belong together."""

    label: str
    faces: Sequence[np.ndarray | None]  # (h, w, 3) uint8; None: there is none
    colour: str = INK


@dataclass(frozen=True)
class Block:
    """Lines below one heading."""

    lines: Sequence[Line]
    heads: Sequence[str] = ()  # above the columns
    title: str = ""


def grid(blocks: Sequence[Block]) -> Figure:
    """A figure of blocks below each other, all faces of one size. To be called inside `style.house`."""
    from matplotlib.figure import Figure

    columns = max(len(line.faces) for block in blocks for line in block.lines)
    width = COLUMN if columns <= _MOST_ON_A_COLUMN else PAGE
    side = min(_LARGEST, (width - _LABELS - 0.04) / columns - _GAP)
    width = min(width, _LABELS + 0.04 + columns * (side + _GAP))
    heights = [_height(block, side) for block in blocks]
    total = sum(heights) + _BLOCK * (len(blocks) - 1) + 2 * _MARGIN + 0.1
    figure = Figure(figsize=(width, total), layout=None)
    figure.set_layout_engine("none")
    top = total - _MARGIN
    for block, height in zip(blocks, heights, strict=True):
        _draw(figure, block, top, side, (width, total))
        top -= height + _BLOCK
    return figure


def _height(block: Block, side: float) -> float:
    heads = _TITLE * bool(block.title) + _HEAD * bool(block.heads) + _SECOND * _two_lines(block)
    return heads + len(block.lines) * (side + _GAP)


def _two_lines(block: Block) -> bool:
    return any("\n" in head for head in block.heads)


def _draw(figure: Figure, block: Block, top: float, side: float, size: tuple[float, float]) -> None:
    width, total = size
    if block.title:
        figure.text(0.03 / width, (top - 0.04) / total, short(block.title, 60), va="top", fontweight="bold")
        top -= _TITLE
    if block.heads:
        for column, head in enumerate(block.heads):
            middle = _LABELS + column * (side + _GAP) + side / 2
            text = "\n".join(short(part, int(side / _LETTER)) for part in head.split("\n"))
            figure.text(middle / width, (top - 0.03) / total, text, ha="center", va="top", fontsize=6, color=GREY)
        top -= _HEAD + _SECOND * _two_lines(block)
    for line in block.lines:
        middle = (top - side / 2) / total
        label: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 6, "color": line.colour}
        figure.text((_LABELS - 0.06) / width, middle, _broken(line.label), **label)
        for column, face in enumerate(line.faces):
            left = _LABELS + column * (side + _GAP)
            axes = figure.add_axes((left / width, (top - side) / total, side / width, side / total))
            axes.grid(False)
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(face is None)
                spine.set_color(PALE)
            if face is not None:
                axes.imshow(face, interpolation="lanczos" if max(face.shape) < 128 else "antialiased")
        top -= side + _GAP


def _broken(label: str) -> str:
    """A label on two lines where one is too long for its margin."""
    if len(label) <= 12:
        return short(label, 12)
    places = [place for place, letter in enumerate(label) if letter in "-[ " and place > 3]
    cut = min(places, key=lambda place: (abs(place - len(label) / 2), -place), default=12)
    head, tail = label[: cut + (label[cut] == "-")], label[cut + (label[cut] == "-") :].strip()
    return f"{short(head, 14)}\n{short(tail, 14)}"
