"""Means, intervals, paired differences and their test, over groups of people forgotten together.

A group is everybody whom one trial forgets: a single person in the protocols of the paper. Scores are averaged over the
people of a trial first, then over the seeds of a group, then over groups. A missing value is counted, never zero.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting.ties import tie_of, tied

CONFIDENCE = 0.95
ALPHA = 0.05  # an adjusted p below this separates two methods
BCA_FROM = 30  # groups from which the bootstrap interval is worth its place: it is too short on few values
EXACT_UP_TO = 20  # differences whose 2^n signs are all enumerated
RESAMPLES = 99_999  # sign patterns drawn for more differences: p is known to 0.0014 at 0.05
_BOOTSTRAPS = 9_999


@dataclass(frozen=True)
class Summary:
    """One cell of a table: a metric over groups, the seeds of each group averaged first."""

    mean: float | None  # None: no group has a value
    std: float | None  # ddof 1 over groups; None below two
    low: float | None  # Student-t 95 % interval of the mean; None below two groups
    high: float | None
    n: int  # groups with a value
    groups: int  # groups with a value or a reason why there is none
    missing: int  # scores without a value
    scores: int  # scores with and without one: in one-person trials, one per trial
    pairs: int = 0  # pairs or samples behind the values
    hits: int | None = None  # of shares that are counted: how many of the pairs
    lost_before: int = 0  # pairs in which no face was found before unlearning
    lost_after: int = 0  # pairs in which a face was found before, none after
    reason: str | None = None  # of the first missing score
    units: frozenset[tuple[str, int]] = frozenset()  # (group, seed) with a value
    values: Mapping[str, float] = field(default_factory=dict)  # group -> its value
    is_sample: bool = True  # whether the values are independent, so that they may be drawn from

    @cached_property
    def bca(self) -> tuple[float, float] | None:
        """Bootstrap 95 % interval of the mean, from `BCA_FROM` groups on; computed where it is looked at."""
        return bca_interval([*self.values.values()]) if self.is_sample else None

    @property
    def coverage(self) -> tuple[int, int]:
        """What must be equal for two cells to compete: trials with a value, and pairs behind them."""
        return len(self.units), self.pairs


@dataclass(frozen=True)
class Paired:
    """How much two methods differ on the same groups and seeds: first minus second."""

    mean: float | None
    std: float | None  # ddof 1 over groups
    low: float | None  # Student-t 95 % interval of the mean
    high: float | None
    n: int  # groups compared
    wins: int  # groups for which the first method is better
    missing: int  # trials of either method without a counterpart or a value
    values: Mapping[str, float] = field(default_factory=dict)  # group -> its difference

    @cached_property
    def bca(self) -> tuple[float, float] | None:
        """Bootstrap 95 % interval of the mean, from `BCA_FROM` groups on; computed where it is looked at."""
        return bca_interval([*self.values.values()])

    @property
    def effect(self) -> float | None:
        """Mean over standard deviation of the differences (Cohen's d_z); None if they do not vary."""
        if self.mean is None or self.std is None or self.std <= 1e-12 * abs(self.mean):
            return None
        return self.mean / self.std

    @property
    def ties(self) -> int:
        """Groups for which both methods have the same value."""
        return sum(value == 0 for value in self.values.values())


@dataclass(frozen=True)
class SignFlip:
    """The outcome of a sign-flip permutation test."""

    p: float  # two-sided
    exact: bool  # False: `RESAMPLES` sign patterns were drawn


def t_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Student-t 95 % interval of the mean; (None, None) below two values.

    >>> [round(end, 3) for end in t_interval([1.0, 2.0, 3.0])]  # 2 ± 4.303 x 1 / √3
    [-0.484, 4.484]
    """
    if len(values) < 2:
        return None, None
    half = half_width(float(np.std(values, ddof=1)), len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half


def half_width(std: float, n: int) -> float:
    """How far the Student-t 95 % interval of a mean of n values reaches to either side. n: at least 2.

    >>> round(half_width(std=1.0, n=9), 3)  # t(0.975; 8) = 2.306, over √9
    0.769
    """
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)


def bca_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Bias-corrected and accelerated bootstrap 95 % interval of the mean (Efron 1987), the same at every call.

    None below `BCA_FROM` values, or if all are equal.
    """
    if len(values) < BCA_FROM or len(set(values)) < 2:
        return None
    from scipy.stats import bootstrap

    draws = np.random.default_rng(0)
    found = bootstrap(
        (np.asarray(values),),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=_BOOTSTRAPS,
        batch=1_000,
        method="BCa",
        random_state=draws,
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_flip(differences: Sequence[float] | np.ndarray) -> SignFlip:
    """Two-sided paired permutation test: how often random signs give a sum at least as far from zero as the one found.

    If the methods were exchangeable, each difference could as well have the other sign (Fisher 1935). Up to
    `EXACT_UP_TO` differences all 2^n patterns are counted; beyond, `RESAMPLES` are drawn, the same ones at every call,
    and the pattern found counts as one more (Phipson & Smyth 2010). Sums that agree to rounding tie.
    Raises ValueError without a difference.

    >>> sign_flip([-1, -2, -3, 1])  # |sum| ≥ 5 in 6 of 16 sign patterns
    SignFlip(p=0.375, exact=True)
    """
    found = np.asarray(differences, dtype=np.float64)
    if not len(found):
        raise ValueError("a permutation test needs at least one difference")
    rounding = 1e-12 * float(np.abs(found).sum())
    least = abs(float(found.sum())) - rounding
    if len(found) <= EXACT_UP_TO:
        sums = found[:1]  # the first sign stays: flipping all signs changes no distance from zero
        for value in found[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return SignFlip(float(np.mean(np.abs(sums) >= least)), exact=True)
    draws = np.random.default_rng(0)
    reached = 0
    for start in range(0, RESAMPLES, 10_000):
        signs = draws.integers(0, 2, size=(min(10_000, RESAMPLES - start), len(found)), dtype=np.int8)
        reached += int(np.count_nonzero(np.abs(signs @ (2 * found) - found.sum()) >= least))
    return SignFlip((reached + 1) / (RESAMPLES + 1), exact=False)


def smallest_p(n: int) -> float:
    """The smallest p that `sign_flip` can give for ``n`` differences: one pattern and its mirror image.

    >>> [smallest_p(n) for n in (1, 5, 6)]
    [1.0, 0.0625, 0.03125]
    """
    return min(1.0, 2.0 ** (1 - n)) if n <= EXACT_UP_TO else 1 / (RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values (1979), in the order given.

    The r-th smallest of m is multiplied by m - r + 1, made at least as large as those before it, and cut at 1. All
    adjusted values grow with every raw one, so `holm` of the smallest raw values gives the smallest adjusted ones.

    >>> holm([0.03, 0.5, 0.01])  # 2 x 0.03, 1 x 0.5, 3 x 0.01
    [0.06, 0.5, 0.03]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def wilcoxon(differences: Sequence[float]) -> SignFlip | None:
    """Wilcoxon's two-sided signed-rank test (1945): `sign_flip` of the signed ranks, so that ties stay exact.

    Differences of 0 are left out; None without any other.
    """
    found = pd.Series([value for value in differences if value != 0], dtype=np.float64)
    return sign_flip((np.sign(found) * found.abs().rank()).to_numpy()) if len(found) else None


def select(frame: pd.DataFrame, metric: str, judge: str | None) -> pd.DataFrame:
    """The scores of one metric under one judge (None: the metric has none), each person's last one of each trial.

    Most metrics look at everybody after every request; what is looked at once only, such as the inversion, has one
    score after the request that named the person.
    """
    of_judge = frame["judge"].isna() if judge is None else frame["judge"] == judge
    return _last(frame[(frame["metric"] == metric) & of_judge])


def select_each(frame: pd.DataFrame, request: int = 0) -> dict[tuple[str, str | None], pd.DataFrame]:
    """What `select` gives for every metric and judge of a frame, looked through once.

    request: take the scores after this one instead, from 1, also of trials that failed at a later one.
    """
    chosen = frame[frame["after_request"] == request] if request else _last(frame)
    columns = chosen.groupby(["metric", "judge"], sort=False, dropna=False, observed=True)
    return {(metric, None if pd.isna(judge) else judge): scores for (metric, judge), scores in columns}


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    """Each person's last scores of trials that came to an end: those of others are not of the last request."""
    if "status" in frame and (failed := frame["status"] == "failed").any():
        frame = frame[~failed]
    if frame["after_request"].nunique() < 2:
        return frame
    people = frame.groupby(["key", "identity", "metric", "judge"], dropna=False, observed=True)
    return frame[frame["after_request"] == people["after_request"].transform("max")]


def summarise(scores: pd.DataFrame) -> Summary | None:
    """Mean over groups of one metric, from what `select` gave for one method; None without any score."""
    if scores.empty:
        return None
    missing = scores["value"].isna()
    valued = scores[~missing] if missing.any() else scores
    by_trial = _by_trial(valued)
    values = _by_group(by_trial, "Float64")
    means = list(values.values())
    low, high = t_interval(means)
    return Summary(
        mean=float(np.mean(means)) if means else None,
        std=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        low=low,
        high=high,
        n=len(means),
        groups=scores["group"].nunique(),
        missing=int(missing.sum()),
        scores=len(scores),
        pairs=int(valued["n"].sum()),
        lost_before=int(scores["lost_before"].sum()),
        lost_after=int(scores["lost_after"].sum()),
        reason=str(scores.loc[missing, "reason"].iloc[0]) if missing.any() else None,
        units=frozenset(by_trial),
        values=values,
    )


def hits(scores: pd.DataFrame) -> int:
    """How many of the pairs behind shares they are, over all scores with a value."""
    valued = scores[scores["value"].notna()]
    return round(float((valued["value"] * valued["n"]).sum()))


def difference(first: pd.DataFrame, second: pd.DataFrame, direction: str = "lower") -> Paired:
    """One method's scores minus another's, from what `select` gave for each, over the trials that both have.

    Differences are averaged over the seeds of a group, then over groups. direction: "lower" or "higher" is better, for
    counting wins. Both must hold at most one score per person and seed.
    """
    left, right = _by_trial(first), _by_trial(second)
    both = {unit: left[unit] - right[unit] for unit in left if unit in right}
    values = _by_group(both, "float64")
    means = list(values.values())
    low, high = t_interval(means)
    sign = 1 if direction == "higher" else -1
    every = {unit for scores in (first, second) for unit in zip(scores["group"], scores["seed"], strict=True)}
    return Paired(
        mean=float(np.mean(means)) if means else None,
        std=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        low=low,
        high=high,
        n=len(means),
        wins=sum(sign * value > 0 for value in means),
        missing=len(every) - len(both),
        values=values,
    )


def _by_trial(scores: pd.DataFrame) -> dict[tuple[str, int], float]:
    """(group, seed) -> mean over the people of the trial who have a value; trials without any are left out."""
    values: dict[tuple[str, int], list[float]] = defaultdict(list)
    numbers = scores["value"].to_numpy(dtype=np.float64, na_value=np.nan).tolist()
    for group, seed, value in zip(scores["group"].tolist(), scores["seed"].tolist(), numbers, strict=True):
        if not math.isnan(value):
            values[str(group), int(seed)].append(value)
    return {unit: own[0] if len(own) == 1 else float(np.mean(own)) for unit, own in values.items()}


def _by_group(by_trial: Mapping[tuple[str, int], float], kind: str) -> dict[str, float]:
    """Group -> mean over its seeds, by name.

    kind: pandas type in which to sum: the means of Float64 and float64 differ in the last bit, and published numbers
    were made with the one in summaries and with the other in differences.
    """
    if not by_trial:
        return {}
    groups = sorted({group for group, _ in by_trial})
    number = {group: place for place, group in enumerate(groups)}
    numbers = np.array([number[group] for group, _ in by_trial])
    means = pd.Series(list(by_trial.values()), dtype=kind).groupby(numbers).mean()
    return dict(zip(groups, map(float, means), strict=True))


def paired(frame: pd.DataFrame, metric: str, judge: str | None, a: str, b: str, *, direction: str = "lower") -> Paired:
    """`difference` of two methods, given by their labels as in tables; values that tie are equal.

    Raises BadInput if a label is absent or the frame holds several protocols, testbeds, versions of the weights, or
    versions of a method.
    """
    scores = select(frame, metric, judge)
    for column in ("protocol_digest", "testbed", "weights_version"):
        if (found := scores[column].nunique(dropna=False)) > 1:
            raise BadInput(f"paired differences need one {column}, got {found}; filter the frame")
    scores = tied(scores, tie_of(scores, METRICS.get(metric)))
    return difference(_of_label(scores, a, metric), _of_label(scores, b, metric), direction)


def _of_label(scores: pd.DataFrame, label: str, metric: str) -> pd.DataFrame:
    own = scores[scores["label"] == label]
    if own.empty:
        known = ", ".join(sorted(scores["label"].unique())) or "no method"
        raise BadInput(f"no {metric} of '{label}' in these records; they hold {known}")
    if own.duplicated(["group", "identity", "seed"]).any():
        raise BadInput(f"'{label}' was recorded with several versions of its code; filter by source_digest")
    return own
