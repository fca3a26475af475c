"""Unlearned person by rendered person: who is still there, who was harmed, and whether all become the same face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guidebench.errors import BadInput
from guidebench.evidence import Evidence, Role, Seen, SeenFaces, Sight
from guidebench.metrics.identity import similarity
from guidebench.reporting.plots.style import COLUMN, GREY, PALE, look_of, short
from guidebench.reporting.plots.trials import Trials, evidence_of
from guidebench.reporting.selection import Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

_PARTS: Sequence[tuple[str, tuple[Role, ...]]] = (
    ("own", ("forget",)),
    ("other photos", ("probe",)),
    ("look-alikes", ("lookalike",)),
    ("people to keep", ("named", "retain")),
)
_Row = tuple[str, list[list[float]], SeenFaces]  # a forgotten person: name, similarities by part, renders after
_MOST_ROWS = 40  # people in one figure; of more the worst ones and every so many are shown


@dataclass(frozen=True)
class Matrix:
    """One method's trials of one seed. P forgotten people, the worst first; C rendered people and photographs."""

    people: tuple[str, ...]
    columns: tuple[int, ...]  # how many columns each of `_PARTS` has
    harm: np.ndarray  # (P, C) cosine of renders before and after, mean over views; NaN: nobody is there, or no face
    collapse: np.ndarray  # (P, P) cosine of two people's renders after


def matrices(trials: Trials) -> dict[Variant, Matrix]:
    """Each row's heatmap, from its lowest seed, with the same columns for all; without rows of which nobody was seen.

    Look-alikes come in the order of their likeness to the forgotten person before unlearning.
    """
    found = {variant: _thinned(_seen(trials, variant)) for variant in trials.variants}
    everybody = [row for rows in found.values() for row in rows]
    widths = tuple(max((len(row[1][part]) for row in everybody), default=0) for part in range(len(_PARTS)))
    return {variant: _matrix(rows, widths) for variant, rows in found.items() if rows}


def _seen(trials: Trials, variant: Variant) -> list[_Row]:
    """The worst people first."""
    stored = trials.of(variant)
    seed = min(item.record.spec.seed for item in stored)
    rows: list[_Row] = []
    for item in (item for item in stored if item.record.spec.seed == seed):
        evidence = evidence_of(item)
        if trials.judge in evidence.sights:
            rows += _rows(evidence, evidence.sights[trials.judge])
    return sorted(rows, key=lambda row: (-np.nan_to_num(row[1][0][0], nan=-2.0), row[0]))


def _matrix(rows: Sequence[_Row], widths: tuple[int, ...]) -> Matrix:
    harm = [[value for part, width in enumerate(widths) for value in _padded(row[1][part], width)] for row in rows]
    collapse = [[_value(one, other) for _, _, other in rows] for _, _, one in rows]
    return Matrix(tuple(row[0] for row in rows), widths, np.array(harm), np.array(collapse))


def _rows(evidence: Evidence, sight: Sight) -> list[_Row]:
    """Each forgotten person's name, similarities by part, and renders after the last request."""
    last = Sight(sight.before, sight.after[-1])
    found = []
    for place in evidence.rows("forget"):
        name = evidence.subjects[place].identity
        parts = []
        for _, roles in _PARTS:
            own = [row for role in roles for row in evidence.rows(role)]
            if roles[0] in ("forget", "probe"):
                own = [row for row in own if evidence.subjects[row].identity == name]
            if roles == ("lookalike",):
                own.sort(key=lambda row: -np.nan_to_num(_value(last.before[row], last.before[place]), nan=-2.0))
            parts.append([_value(last.before[row], last.after[row]) for row in own])
        found.append((name, parts, last.after[place]))
    return found


def _value(first: SeenFaces, second: SeenFaces) -> float:
    both = Seen(first.vectors, first.found), Seen(second.vectors, second.found)
    value = similarity(*both).value
    return float("nan") if value is None else value


def _padded(values: Sequence[float], width: int) -> list[float]:
    return [*values, *[float("nan")] * (width - len(values))]


def _thinned(rows: list[_Row]) -> list[_Row]:
    if len(rows) <= _MOST_ROWS:
        return rows
    places = np.unique(np.linspace(0, len(rows) - 1, _MOST_ROWS).round().astype(int))
    return [rows[place] for place in places]


def heatmap(trials: Trials) -> tuple[Figure, str]:
    """The figure, to be saved inside `style.house`, and what a caption must say."""
    from matplotlib.figure import Figure

    found = matrices(trials)
    blind = [one.label for one, matrix in found.items() if not np.isfinite(matrix.harm).any()]
    found = {one: matrix for one, matrix in found.items() if one.label not in blind}
    if not found:
        raise BadInput(f"{trials.judge} found no face in any render below {trials.directory}; give another --judge")
    several = any(len(matrix.people) > 1 for matrix in found.values())
    heights = [max(0.42, min(1.6, 0.1 * len(matrix.people))) for matrix in found.values()]
    figure = Figure(figsize=(COLUMN, 0.6 + sum(heights) + 0.17 * len(heights)))
    grid = figure.subplots(
        len(found),
        1 + several,
        squeeze=False,
        gridspec_kw={"height_ratios": heights, "width_ratios": [2.4, 1][: 1 + several]},
    )
    for row, (variant, matrix) in enumerate(found.items()):
        picture = _harm(grid[row, 0], matrix, variant)
        if several:
            _collapse(grid[row, 1], matrix)
    _feet(grid[-1, 0], list(found.values())[-1], grid[-1, 1] if several else None)
    bar = figure.colorbar(picture, ax=grid[:, -1].tolist(), location="right", fraction=0.08, aspect=30, pad=0.06)
    bar.set_label("cosine", fontsize=6)
    bar.outline.set_visible(False)
    return figure, _caption(several, blind)


def _harm(axes: Axes, matrix: Matrix, variant: Variant) -> AxesImage:
    picture = _image(axes, matrix.harm)
    for edge in np.cumsum(matrix.columns)[:-1]:
        axes.axvline(edge - 0.5, color="white", linewidth=2.2)
    axes.set_title(short(variant.label, 60), color=look_of(variant.method).colour, fontsize=6, pad=2)
    return picture


def _collapse(axes: Axes, matrix: Matrix) -> None:
    shown = matrix.collapse.copy()
    np.fill_diagonal(shown, np.nan)  # everybody is alike to themselves
    _image(axes, shown)


def _image(axes: Axes, values: np.ndarray) -> AxesImage:
    axes.set_facecolor("white")
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    rows, columns = values.shape
    hatched = np.argwhere(~np.isfinite(values))
    axes.scatter(hatched[:, 1], hatched[:, 0], s=1.2, color=PALE, linewidths=0)
    picture = axes.imshow(values, vmin=0, vmax=1, cmap=_presence(), aspect="auto", interpolation="nearest")
    for edge in range(1, columns):
        axes.axvline(edge - 0.5, color="white", linewidth=0.4)
    for edge in range(1, rows):
        axes.axhline(edge - 0.5, color="white", linewidth=0.4)
    return picture


def _presence() -> Colormap:
    """Ink where a person still is: one hue, its lightness even."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("presence", ["#f1f3f6", "#a6c8e0", "#3c80b4", "#08305c"])


def _feet(harm: Axes, matrix: Matrix, collapse: Axes | None) -> None:
    starts = np.concatenate([[0], np.cumsum(matrix.columns)])
    for (name, _), start, end in zip(_PARTS, starts, starts[1:], strict=False):
        if end > start:
            _foot(harm, (start + end - 1) / 2, name.replace(" ", "\n", 1), len(matrix.people))
    if collapse is not None:
        _foot(collapse, (len(matrix.people) - 1) / 2, "one another,\nafter", len(matrix.people))


def _foot(axes: Axes, x: float, text: str, rows: int) -> None:
    axes.annotate(
        text,
        (x, rows - 0.5),
        xytext=(0, -3),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=6,
        color=GREY,
        annotation_clip=False,
    )


def _caption(several: bool, blind: Sequence[str]) -> str:
    text = (
        "One block per method, one line per forgotten person, the worst first. Left: how like its render before each "
        "photograph or person still is; the first two groups should be pale, the others dark. Look-alikes: the "
        "nearest first."
    )
    more = " Right: how like each other forgotten people have become; dark means that they share one face."
    lost = f" Not one face was found after {', '.join(blind)}." if blind else ""
    return text + (more if several else "") + " A dot: no face, or nobody." + lost
