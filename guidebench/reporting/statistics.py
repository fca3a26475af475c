"""Means, intervals and paired differences over identities. A missing value is counted, never taken for zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from guidebench.errors import BadInput

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """One cell of a table: a metric over identities, the seeds of each identity averaged first."""

    mean: float | None  # None: no identity has a value
    std: float | None  # ddof 1 over identities; None below two
    low: float | None  # Student-t 95 % interval of the mean; None below two identities
    high: float | None
    n: int  # identities with a value
    identities: int  # identities with a value or a reason why there is none
    missing: int  # scores without a value
    pairs: int = 0  # pairs or samples behind the values
    lost_before: int = 0  # pairs in which no face was found before unlearning
    lost_after: int = 0  # pairs in which a face was found before, none after
    reason: str | None = None  # of the first missing score
    units: frozenset[tuple[str, int]] = frozenset()  # (identity, seed) with a value

    @property
    def coverage(self) -> tuple[int, int]:
        """What must be equal for two cells to compete: trials with a value, and pairs behind them."""
        return len(self.units), self.pairs


@dataclass(frozen=True)
class Paired:
    """How much two methods differ on the same identities and seeds: first minus second."""

    mean: float | None
    low: float | None  # Student-t 95 % interval
    high: float | None
    n: int  # identities compared
    wins: int  # identities for which the first method is better
    missing: int  # trials of either method without a counterpart or a value


def t_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Student-t 95 % interval of the mean; (None, None) below two values."""
    n = len(values)
    if n < 2:
        return None, None
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - half, mean + half


def select(frame: pd.DataFrame, metric: str, judge: str | None) -> pd.DataFrame:
    """The scores of one metric under one judge (None: the metric has none), after the last request of each trial."""
    of_judge = frame["judge"].isna() if judge is None else frame["judge"] == judge
    scores = frame[(frame["metric"] == metric) & of_judge]
    last = scores.groupby(["key", "identity"])["after_request"].transform("max")
    return scores[scores["after_request"] == last]


def summarise(scores: pd.DataFrame) -> Summary | None:
    """Mean over identities of one metric, from what `select` gave for one method; None without any score."""
    if scores.empty:
        return None
    valued = scores[scores["value"].notna()]
    means = [float(value) for value in valued.groupby("identity")["value"].mean()]
    low, high = t_interval(means)
    return Summary(
        mean=float(np.mean(means)) if means else None,
        std=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        low=low,
        high=high,
        n=len(means),
        identities=scores["identity"].nunique(),
        missing=len(scores) - len(valued),
        pairs=int(valued["n"].sum()),
        lost_before=int(scores["lost_before"].sum()),
        lost_after=int(scores["lost_after"].sum()),
        reason=None if len(valued) == len(scores) else str(scores.loc[scores["value"].isna(), "reason"].iloc[0]),
        units=frozenset(zip(valued["identity"], (int(seed) for seed in valued["seed"]), strict=True)),
    )


def paired(frame: pd.DataFrame, metric: str, judge: str | None, a: str, b: str, *, direction: str = "lower") -> Paired:
    """Method ``a`` minus method ``b`` (labels as in tables) over the trials that both have.

    Differences are averaged over the seeds of an identity, then over identities. direction: "lower" or "higher" is
    better, for counting wins. Raises BadInput if a label is absent or the frame holds several protocols or testbeds.
    """
    scores = select(frame, metric, judge)
    for column in ("protocol_digest", "testbed"):
        if scores[column].nunique() > 1:
            raise BadInput(f"paired differences need one {column}, got {scores[column].nunique()}; filter the frame")
    first, second = (_values(scores, label, metric) for label in (a, b))
    both = {unit: first[unit] - second[unit] for unit in first if unit in second}
    by_identity = pd.Series(both, dtype=float).groupby(level=0).mean().tolist() if both else []
    low, high = t_interval(by_identity)
    sign = 1 if direction == "higher" else -1
    trials = set(zip(scores["label"], scores["identity"], scores["seed"], strict=True))
    every = {(identity, seed) for label, identity, seed in trials if label in (a, b)}
    return Paired(
        mean=float(np.mean(by_identity)) if by_identity else None,
        low=low,
        high=high,
        n=len(by_identity),
        wins=sum(sign * difference > 0 for difference in by_identity),
        missing=len(every) - len(both),
    )


def _values(scores: pd.DataFrame, label: str, metric: str) -> Mapping[tuple[str, int], float]:
    """(identity, seed) -> value of one method."""
    own = scores[scores["label"] == label]
    if own.empty:
        known = ", ".join(sorted(scores["label"].unique())) or "no method"
        raise BadInput(f"no {metric} of '{label}' in these records; they hold {known}")
    if own.duplicated(["identity", "seed"]).any():
        raise BadInput(f"'{label}' was recorded with several versions of its code; filter by source_digest")
    own = own[own["value"].notna()]
    return {(row.identity, int(row.seed)): float(row.value) for row in own.itertuples()}
