"""Curves: losses and forgetting over steps, forgetting over requests, and how soon people come back under attack."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from guidebench.errors import BadInput
from guidebench.evidence import Attacked, SeenFaces, Shown
from guidebench.metrics import METRICS
from guidebench.metrics.identity import similarity
from guidebench.reporting import statistics
from guidebench.reporting.plots.style import COLUMN, FEWEST, GREY, Look, legend, short, spread
from guidebench.reporting.plots.style import title_of as titled
from guidebench.reporting.plots.trials import Trials, evidence_of
from guidebench.reporting.selection import Variant
from guidebench.store.curve_files import Curve, load_curve
from guidebench.store.folders import StoredRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSSES = ("loss", "local", "adjacency", "global")  # first, in this order; others follow by name
_MOST_PANELS = 6
_OVER_REQUESTS = ("id", "relapse", "id_retain", "fid_pre")
_OVER_STEPS = ("id", "id_others", "id_retain", "fid_pre")
_AT_THE_START = {"id": 1.0, "id_others": 1.0, "id_retain": 1.0, "fid_pre": 0.0}  # of the original, without noise
_NOT_ASKED = "not judged every few steps"


@dataclass(frozen=True)
class Curves:
    """Curves of several trials or people over common points."""

    at: np.ndarray  # (n,)
    values: np.ndarray  # (curves, n); NaN: no value

    @classmethod
    def of(cls, curves: Iterable[tuple[Sequence[float], Sequence[float]]]) -> Curves:
        """From curves whose points may differ: where one has no value it has a gap."""
        curves = list(curves)
        at = sorted({point for points, _ in curves for point in points})
        values = np.full((len(curves), len(at)), np.nan)
        for row, (points, own) in enumerate(curves):
            values[row, [at.index(point) for point in points]] = own
        return cls(np.array(at, dtype=np.float64), values)


# Losses ----------------------------------------------------------------------------------------------------------


def read_progress(stored: StoredRecord) -> dict[str, tuple[list[float], list[float]]]:
    """By column of progress.csv: steps, counted on over requests, and values. Empty if the method reported nothing."""
    path = stored.path / "progress.csv"
    found: dict[str, tuple[list[float], list[float]]] = {}
    if not path.is_file():
        return found
    done, last, request = 0.0, 0.0, ""
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                if row["request"] != request:
                    done, request = done + last, row["request"]
                last = float(row["step"])
                for name, text in row.items():
                    if name not in ("request", "step") and text:
                        points, values = found.setdefault(name, ([], []))
                        points.append(done + last)
                        values.append(float(text))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read: {error}; measure the trial again with --fresh") from None
    return found


def losses(trials: Trials) -> tuple[Figure, str]:
    """Each reported loss over steps, to be saved inside `style.house`, and what a caption must say."""
    reported = {one: [read_progress(item) for item in trials.of(one)] for one in trials.methods}
    names = {name for own in reported.values() for trial in own for name in trial}
    if not names:
        raise BadInput(f"no method below {trials.directory} reported losses (context.progress), so there are no curves")
    ordered = sorted(names, key=lambda name: (_LOSSES.index(name) if name in _LOSSES else len(_LOSSES), name))
    ordered = ordered[:_MOST_PANELS]
    figure, grid = _panels(len(ordered))
    for axes, name in zip(grid, ordered, strict=True):
        positive = True
        for variant, own in reported.items():
            curves = Curves.of(trial[name] for trial in own if name in trial)
            if np.any(curves.values):  # a loss that a method does not use is 0 throughout
                _middle(axes, curves, trials.looks[variant])
                positive = positive and bool(np.nanmin(curves.values) > 0)
        axes.set_title(short(name, 24))
        if positive:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
    for axes in grid[-2:]:
        axes.set_xlabel("step")
    legend(figure, trials.looks, [one for one, own in reported.items() if any(own)], line=True)
    silent = [one.label for one, own in reported.items() if not any(own)]
    text = "Losses that methods report, over steps. Lines: medians over trials; shades: between the quartiles."
    return figure, text + (f" Without reports: {', '.join(silent)}." if silent else "")


# Forgetting ------------------------------------------------------------------------------------------------------


def forgetting(trials: Trials) -> tuple[Figure, str]:
    """Scores over the steps of unlearning, to be saved inside `style.house`, and what a caption must say."""
    found = {one: [_curve_of(item) for item in trials.of(one)] for one in trials.methods}
    drawn = {one: [curve for curve in own if curve and curve.points] for one, own in found.items()}
    if not any(drawn.values()):
        why = "; ".join(_curveless(found))
        raise BadInput(f"no trial below {trials.directory} has a curve: {why}; give `guidebench run` --every K")
    first = next(curve for own in drawn.values() for curve in own)
    known = {
        score.metric for own in drawn.values() for curve in own for point in curve.points for score in point.scores
    }
    shown = [name for name in _OVER_STEPS if name in known]
    starts = _AT_THE_START if trials.stored[0].record.spec.protocol.conventions == "corrected" else {}
    figure, grid = _panels(len(shown))
    for axes, name in zip(grid, shown, strict=True):
        values: list[float] = []
        for place, (variant, own) in enumerate(drawn.items()):
            curves = Curves.of(_over_steps(curve, name, trials, starts.get(name)) for curve in own)
            if np.isfinite(curves.values).any():
                _average(axes, curves, trials.looks[variant], place)
                values += curves.values[np.isfinite(curves.values)].tolist()
        _title(axes, name)
        if name == "fid_pre":
            spread(axes, "y", values)
        if name in ("id", "id_others"):
            _different_people(axes, trials)
    for axes in grid[-2:]:
        axes.set_xlabel("step")
    legend(figure, trials.looks, [one for one, own in drawn.items() if own], line=True)
    text = (
        "While a method unlearns, from the original generator (0) to the one that it returns. Thick lines: means over "
        "trials, the bar beside them the last one's Student-t 95 % interval, from three on; thin lines: trials. "
        f"FID_pre of {first.samples} samples. Dashed: the judge's mean cosine of different people."
    )
    return figure, text + "".join(f" Without a curve: {line}." for line in _curveless(found))


def _curve_of(item: StoredRecord) -> Curve | None:
    try:
        return load_curve(item.path)
    except ValueError as error:
        raise BadInput(f"{item.path}: {error}; measure the trial again with --fresh") from None


def _over_steps(curve: Curve, metric: str, trials: Trials, start: float | None) -> tuple[list[float], list[float]]:
    """Steps, and means over the people of the trial. start: the value before the first step, if it is known."""
    judge = trials.judge if METRICS[metric].judged else None
    steps: list[float] = [] if start is None else [0.0]
    means = [] if start is None else [start]
    for point in curve.points:
        own = [score for score in point.scores if (score.metric, score.judge) == (metric, judge)]
        known = [score.value for score in own if score.value is not None]
        steps.append(point.step)
        means.append(float(np.mean(known)) if known else float("nan"))
    return steps, means


def _curveless(found: Mapping[Variant, Sequence[Curve | None]]) -> Iterator[str]:
    """Methods without a curve, and why."""
    for variant, own in found.items():
        reasons = {curve.reason if curve else _NOT_ASKED for curve in own} - {None}
        if reasons:
            yield f"{variant.label} ({'; '.join(map(str, sorted(reasons, key=str)))})"


# Requests --------------------------------------------------------------------------------------------------------


def requests(trials: Trials) -> tuple[Figure, str]:
    """Scores after each request, to be saved inside `style.house`, and what a caption must say."""
    from matplotlib.ticker import MaxNLocator

    longest = max(len(item.record.spec.requests) for item in trials.stored)
    if longest < 2:
        raise BadInput(
            f"the trials below {trials.directory} have one request each; curves over requests need several, such as "
            "`guidebench run --protocol celebahq-sequential`"
        )
    shown = [name for name in _OVER_REQUESTS if not trials.frame[trials.frame["metric"] == name].empty]
    figure, grid = _panels(len(shown))
    for axes, name in zip(grid, shown, strict=True):
        for place, variant in enumerate(trials.variants):
            curves = _over_requests(trials, variant, name)
            if curves.values.size:
                _average(axes, curves, trials.looks[variant], place)
        _title(axes, name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name == "fid_pre":
            spread(axes, "y", trials.frame[trials.frame["metric"] == name]["value"].dropna().tolist())
        if name == "id":
            _different_people(axes, trials)
    for axes in grid[-2:]:
        axes.set_xlabel("after request")
    legend(figure, trials.looks, trials.variants, line=True)
    return figure, (
        "After each request of one trial. Thick lines: means over groups of people, the bar beside them the last one's "
        "Student-t 95 % interval, from three on; thin lines: groups. Dashed: the judge's mean cosine of different "
        "people."
    )


def _over_requests(trials: Trials, variant: Variant, metric: str) -> Curves:
    keys = {item.record.key for item in trials.of(variant)}
    frame = trials.frame
    judged = frame["judge"] == trials.judge if METRICS[metric].judged else frame["judge"].isna()
    own = frame[frame["key"].isin(keys) & (frame["metric"] == metric) & judged & frame["value"].notna()]
    means = own.groupby(["key", "after_request"])["value"].mean().astype(np.float64)
    return Curves.of(
        (one.index.get_level_values("after_request").tolist(), one.tolist()) for _, one in means.groupby(level="key")
    )


# Attacks ---------------------------------------------------------------------------------------------------------


def relearning(trials: Trials) -> tuple[Figure, str]:
    """ID over the strength of every attack that gives a curve, to be saved inside `style.house`, and a caption."""
    found: dict[str, dict[Variant, Curves]] = {}
    units: dict[str, str] = {}
    for variant in trials.variants:
        own: dict[str, list[tuple[list[float], list[float]]]] = {}
        for item in trials.of(variant):
            units |= {run.attack.label: run.attack.unit for run in item.record.attacks}
            evidence = evidence_of(item, attacks=True)
            for label, attacked in evidence.attacks.items():
                if attacked.curve and trials.judge in attacked.found:
                    start = {name: _start(trials, item, name) for name in attacked.people}
                    own.setdefault(label, []).extend(_curves_of(attacked, attacked.found[trials.judge], start))
        for label, several in own.items():
            found.setdefault(label, {})[variant] = Curves.of(several)
    if not found:
        raise BadInput(
            f"no trial below {trials.directory} was attacked with relearn, resurgence or interpolate; "
            f"`guidebench attack {trials.directory} --attack relearn` does that where generators were kept"
        )
    labels = sorted(found)[:_MOST_PANELS]
    figure, grid = _panels(len(labels), share=True)
    for axes, label in zip(grid, labels, strict=True):
        for place, (variant, curves) in enumerate(found[label].items()):
            if np.isfinite(curves.values).any():
                _average(axes, curves, trials.looks[variant], place)
        axes.set_title(short(label, 24))
        axes.set_xlabel(units.get(label, ""))
        _different_people(axes, trials)
    grid[0].set_ylabel("ID ↓")
    shown = [one for one in trials.variants if any(one in own for own in found.values())]
    legend(figure, trials.looks, shown, line=True)
    return figure, (
        "ID while a person is brought back, from the unlearned generator (0) on; 1: the face of before. Thick lines: "
        "means over people, the bar beside them the last one's Student-t 95 % interval, from three on; thin lines: "
        "people. Dashed: the judge's mean cosine of different people."
    )


def _start(trials: Trials, item: StoredRecord, person: str) -> float:
    """ID before the attack."""
    last = len(item.record.spec.requests)
    for score in item.record.outcome.scores:
        place = (score.metric, score.judge, score.identity, score.after_request)
        if place == ("id", trials.judge, person, last) and score.value is not None:
            return score.value
    return float("nan")


def _curves_of(attacked: Attacked, shown: Shown, start: dict[str, float]) -> list[tuple[list[float], list[float]]]:
    curves = []
    for place, person in enumerate(attacked.people):
        values = [similarity(before, after).value for before, after in _pairs(shown, place)]
        known = [float("nan") if value is None else value for value in values]
        curves.append(([0.0, *attacked.at[place].tolist()], [start[person], *known]))
    return curves


def _pairs(shown: Shown, place: int) -> list[tuple[SeenFaces, SeenFaces]]:
    return [(shown.before[place, k], shown.after[place, k]) for k in range(shown.after.found.shape[1])]


# Drawing ---------------------------------------------------------------------------------------------------------


def _panels(count: int, *, share: bool = False) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = 1 if count == 1 else 3 if share and count == 3 else 2
    rows = -(-count // columns)
    figure = Figure(figsize=(COLUMN, 0.7 + (1.75 if columns == 3 else 1.3) * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share).flatten().tolist()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, grid[:count]


def _title(axes: Axes, metric: str) -> None:
    arrow = {"lower": " ↓", "higher": " ↑"}.get(METRICS[metric].direction, "")
    axes.set_title(f"{titled(metric)}{arrow}")


def _average(axes: Axes, curves: Curves, look: Look, place: int) -> None:
    """Means, and the interval of the last one beside the end of the line.

    place: of the row among all, so that intervals do not cover each other.
    """
    axes.plot(curves.at, curves.values.T, color=look.colour, linewidth=0.5, alpha=0.3, zorder=2)
    points = [(at, column[np.isfinite(column)]) for at, column in zip(curves.at, curves.values.T, strict=True)]
    points = [(at, column) for at, column in points if len(column)]
    at = np.array([at for at, _ in points])
    _line(axes, at, np.array([column.mean() for _, column in points]), look)
    low, high = statistics.t_interval(points[-1][1].tolist())
    if low is not None and high is not None and len(points[-1][1]) >= FEWEST:
        beside = at[-1] + (0.06 + 0.035 * place) * (at[-1] - at[0])
        axes.plot([beside, beside], [low, high], color=look.colour, linewidth=1.1, zorder=2.5)


def _middle(axes: Axes, curves: Curves, look: Look) -> None:
    low, middle, high = np.nanquantile(curves.values, (0.25, 0.5, 0.75), axis=0)
    axes.fill_between(curves.at, low, high, color=look.colour, alpha=0.15, linewidth=0, zorder=1.5)
    _line(axes, curves.at, middle, look)


def _line(axes: Axes, at: np.ndarray, values: np.ndarray, look: Look) -> None:
    every = max(1, len(at) // 5)
    edge: dict[str, Any] = {
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        "markersize": 6 if look.marker == "*" else 4,
    }
    axes.plot(at, values, color=look.colour, marker=look.marker, markevery=every, zorder=3, **edge)


def _different_people(axes: Axes, trials: Trials) -> None:
    if trials.different_people:
        axes.axhline(trials.different_people.mean, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
