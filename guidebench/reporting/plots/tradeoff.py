"""Forgetting against damage: how like the person renders still are, over what the generator lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import statistics, ties
from guidebench.reporting.plots.style import COLUMN, FEWEST, GREY, INK, PALE, Look, legend, mark, spread, title_of
from guidebench.reporting.plots.trials import Trials
from guidebench.reporting.selection import LADDER, Variant
from guidebench.reporting.statistics import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORGETTING = ("id", "recognised", "id_worst")  # lower is better; the last one where attacks were made
DAMAGE = ("fid_pre", "id_retain")  # lower is better, higher is better
_FLAT = 0.6  # height of a row of panels in which nothing differs


@dataclass(frozen=True)
class Mean:
    """A row in one panel: means over groups of people and their 95 % intervals."""

    x: float
    y: float
    x_ends: tuple[float, float] | None
    y_ends: tuple[float, float] | None
    points: np.ndarray  # (trials, 2)
    tied: float  # y as methods are compared by it, see `guidebench.reporting.ties`; rounded, so that ties are exact


def mean_of(trials: Trials, variant: Variant, x: str, y: str) -> Mean | None:
    """A row's place in the panel of two metrics, over the trials that have both; None: no trial has."""
    across, up = (trials.scores(variant, name, judged=METRICS[name].judged) for name in (x, y))
    by_trial = pd.DataFrame({name: _by_trial(one) for name, one in (("x", across), ("y", up))}).dropna()
    if by_trial.empty:
        return None
    keys = set(by_trial.index)
    found = [statistics.summarise(one[one["key"].isin(keys)]) for one in (across, up)]
    (first, second) = found
    assert first is not None and second is not None and first.mean is not None and second.mean is not None
    ends = [_ends(one) for one in found]
    tied = statistics.summarise(ties.tied(up[up["key"].isin(keys)], ties.tie_of(up, METRICS[y])))
    assert tied is not None and tied.mean is not None
    return Mean(first.mean, second.mean, ends[0], ends[1], by_trial.to_numpy(dtype=np.float64), round(tied.mean, 9))


def _ends(one: Summary | None) -> tuple[float, float] | None:
    if one is None or one.low is None or one.high is None or one.n < FEWEST:
        return None
    return one.low, one.high


def _by_trial(scores: pd.DataFrame) -> pd.Series:
    return scores.dropna(subset=["value"]).groupby("key")["value"].mean().astype(np.float64)


def front(places: Sequence[tuple[float, float]]) -> list[int]:
    """Which places no other one beats, lower being better in both coordinates: their indices, from left to right.

    >>> front([(3.0, 3.0), (1.0, 5.0), (2.0, 2.0), (4.0, 1.0)])
    [1, 2, 3]
    """
    best: list[int] = []
    for index in sorted(range(len(places)), key=lambda index: places[index]):
        if not best or places[index][1] < places[best[-1]][1]:
            best.append(index)
    return best


def tradeoff(trials: Trials) -> tuple[Figure, str]:
    """The figure, to be saved inside `style.house`, and what a caption must say."""
    from matplotlib.figure import Figure

    methods = trials.methods  # refuses floors alone
    means = {
        (x, y): {variant: mean for variant in trials.variants if (mean := mean_of(trials, variant, x, y))}
        for x in DAMAGE
        for y in FORGETTING
    }
    rows = [y for y in FORGETTING if any(set(means[x, y]) & set(methods) for x in DAMAGE)]
    columns = [x for x in DAMAGE if any(set(means[x, y]) & set(methods) for y in FORGETTING)]
    if not rows or not columns:
        raise BadInput(
            f"no trial in {trials.directory} has both {' or '.join(FORGETTING)} and {' or '.join(DAMAGE)} under "
            f"{trials.judge}; give another --judge or --protocol"
        )
    heights = [_FLAT if all(_is_flat(means[x, y]) for x in columns) else 1.0 for y in rows]
    figure = Figure(figsize=(COLUMN, 0.75 + 1.35 * sum(heights)))
    grid = figure.subplots(
        len(rows), len(columns), sharex="col", sharey="row", squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for row, y in enumerate(rows):
        for column, x in enumerate(columns):
            axes = grid[row, column]
            _panel(axes, trials, means[x, y], x, y)
            if row == len(rows) - 1:
                axes.set_xlabel(f"{title_of(x)} {'↑' if METRICS[x].direction == 'higher' else '↓'}")
            if column == 0:
                axes.set_ylabel(f"{title_of(y)} ↓")
    for column, x in enumerate(columns):
        if METRICS[x].direction == "higher":
            grid[0, column].invert_xaxis()
    legend(figure, trials.looks, [one for one in trials.variants if any(one in own for own in means.values())])
    absent = [one.label for one in trials.variants if not any(one in own for own in means.values())]
    return figure, _caption(trials, absent)


def _is_flat(means: Mapping[Variant, Mean]) -> bool:
    """Whether all trials have the same value, 0 mostly."""
    return len({value for mean in means.values() for value in mean.points[:, 1].tolist()}) < 2


def _panel(axes: Axes, trials: Trials, means: dict[Variant, Mean], x: str, y: str) -> None:
    methods = [one for one in trials.methods if one in means]
    sign = -1.0 if METRICS[x].direction == "higher" else 1.0
    if x == "fid_pre":
        spread(axes, "x", [at for mean in means.values() for at in mean.points[:, 0].tolist()])
    if y == "recognised":
        axes.set_ylim(-0.06, 1.06)
    elif trials.different_people:
        axes.axhline(trials.different_people.mean, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    edge = [methods[index] for index in front([(sign * means[one].x, means[one].tied) for one in methods])]
    best = [means[one].x for one in edge], [means[one].y for one in edge]
    axes.plot(*best, color=PALE, linewidth=3.5, alpha=0.6, zorder=1.5)
    steps = [means[one] for name in LADDER for one in methods if one.label == name and not _is_flat(means)]
    for start, end in zip(steps, steps[1:], strict=False):
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 0.6, "mutation_scale": 5, "shrinkA": 3, "shrinkB": 4}
        axes.annotate("", (end.x, end.y), (start.x, start.y), arrowprops=arrow, zorder=4)
    for variant, mean in means.items():
        _row(axes, mean, trials.looks[variant])


def _row(axes: Axes, mean: Mean, look: Look) -> None:
    axes.scatter(mean.points[:, 0], mean.points[:, 1], s=5, color=look.colour, alpha=0.35, linewidths=0, zorder=2)
    for ends, place in ((mean.x_ends, "x"), (mean.y_ends, "y")):
        if ends:
            line = (ends, (mean.y, mean.y)) if place == "x" else ((mean.x, mean.x), ends)
            axes.plot(*line, color=look.colour, linewidth=0.9, zorder=3)
    axes.plot(mean.x, mean.y, **mark(look), zorder=5)


def _caption(trials: Trials, absent: Sequence[str]) -> str:
    text = (
        "Small points: trials. Marks: means over groups of people, with Student-t 95 % intervals from three groups on. "
        "Arrows: GUIDE's ablation, step by step. Dashed: the judge's mean cosine of different people. Broad grey line: "
        "the Pareto front of means, values below the dashed line tied and floors left out. Lower left is better in "
        "every panel."
    )
    return text + (f" Without values in any panel: {', '.join(absent)}." if absent else "")
