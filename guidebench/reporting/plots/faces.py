"""Grids of faces with labels, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guidebench.reporting.plots.style import COLUMN, GREY, INK, PAGE, PALE, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = 0.72  # width of the labels of lines, inches
_GAP = 0.03  # between faces
_HEAD, _MARGIN, _BLOCK = 0.2, 0.06, 0.14  # heights of a heading, the foot, and the space between blocks
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
    figure = Figure(figsize=(width, total), layout="none")
    top = total - _MARGIN
    for block, height in zip(blocks, heights, strict=True):
        _draw(figure, block, top, side, (width, total))
        top -= height + _BLOCK
    return figure


def _height(block: Block, side: float) -> float:
    heads = _HEAD * (bool(block.title) + bool(block.heads))
    return heads + len(block.lines) * (side + _GAP)


def _draw(figure: Figure, block: Block, top: float, side: float, size: tuple[float, float]) -> None:
    width, total = size
    if block.title:
        figure.text(0.03 / width, (top - 0.04) / total, block.title, va="top", fontweight="bold")
        top -= _HEAD
    if block.heads:
        for column, head in enumerate(block.heads):
            middle = _LABELS + column * (side + _GAP) + side / 2
            text = short(head, max(4, int(side * 20)))
            figure.text(middle / width, (top - 0.15) / total, text, ha="center", va="baseline", fontsize=6, color=GREY)
        top -= _HEAD
    for line in block.lines:
        middle = (top - side / 2) / total
        figure.text((_LABELS - 0.06) / width, middle, _broken(line.label), ha="right", va="center", fontsize=6, color=line.colour)
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
        return label
    places = [place for place, letter in enumerate(label) if letter in "-[ " and place > 3]
    cut = min(places, key=lambda place: abs(place - len(label) / 2), default=12)
    head, tail = label[: cut + (label[cut] == "-")], label[cut + (label[cut] == "-") :].strip()
    return f"{short(head, 14)}\n{short(tail, 14)}"
