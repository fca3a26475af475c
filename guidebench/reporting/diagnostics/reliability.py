"""How far a measurement can be trusted: spread over seeds, resolvable differences, agreement of judges, sample counts.

Pure functions of scores and evidence; `instrument` makes a page of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd

from guidebench.evidence import Evidence, FrechetStatistics
from guidebench.metrics.frechet import frechet_distance
from guidebench.reporting.statistics import ALPHA, CONFIDENCE

POWER = 0.8  # a difference is resolved if so many of all experiments find it (Cohen 1988)
ROUNDING = 1e-6  # values that differ by no more than this part of the largest are alike: evidence is kept in float32


@dataclass(frozen=True)
class Retest:
    """What seeds and groups add to the spread of one method's values: a one-way random effects analysis.

    Shrout & Fleiss 1979, ICC(1,1); with unequal numbers of seeds from the unweighted means of groups.
    """

    seeds: float | None  # std over seeds within a group, pooled; None: nobody has a second seed
    df: int  # degrees of freedom of that: seeds beyond each group's first
    groups: float | None  # std over groups of their means over seeds, ddof 1; None below two groups
    n: int  # groups with a value
    share: float | None  # part of one value's variance that is the seed's, 1 - ICC; None: not known, nothing varies

    def widening(self, few: int, many: int) -> float | None:
        """The standard error of a mean over groups with ``few`` seeds each, over that with ``many``."""
        if self.share is None:
            return None
        return math.sqrt((1 - self.share + self.share / few) / (1 - self.share + self.share / many))


def retest(scores: pd.DataFrame) -> Retest:
    """Spread over seeds and groups, from what `statistics.select` gave for one method."""
    valued = scores[scores["value"].notna()].astype({"value": float})
    values = valued.groupby(["group", "seed"], sort=False)["value"].mean().reset_index()  # over the people of a trial
    by_group = values.groupby("group")["value"]
    counts, means = by_group.count(), by_group.mean()
    df = int((counts - 1).sum())
    within = float(((values["value"] - by_group.transform("mean")) ** 2).sum()) / df if df else None
    spread = float(means.std(ddof=1)) if len(means) > 1 else None
    share = None
    if within is not None and spread is not None and _varies(values["value"]):
        between = max(0.0, spread**2 - within * float((1 / counts).mean()))  # without what seeds add to it
        share = within / (within + between)
    return Retest(None if within is None else math.sqrt(within), df, spread, len(means), share)


@cache
def resolvable(n: int) -> float:
    """The smallest true mean difference that n paired differences resolve, in units of their standard deviation.

    δ/s = λ/√n, where a noncentral t with n - 1 degrees of freedom and noncentrality λ exceeds the critical t of a
    two-sided test at `ALPHA` with probability `POWER`: the difference is found, and with its own sign. Raises
    ValueError below two differences.

    >>> round(resolvable(20), 2)  # twenty people resolve two thirds of a standard deviation
    0.66
    """
    if n < 2:
        raise ValueError(f"a paired t test needs at least two differences, got {n}")
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = t.ppf(1 - ALPHA / 2, n - 1)

    def beyond_power(noncentrality: float) -> float:
        return float(nct.sf(critical, n - 1, noncentrality)) - POWER

    return float(brentq(beyond_power, 0.0, 1.5 * critical)) / math.sqrt(n)


def spread_interval(n: int) -> tuple[float, float]:
    """The 95 % interval of a normal standard deviation estimated from n values, in units of the estimate."""
    from scipy.special import chdtri

    low, high = (math.sqrt((n - 1) / chdtri(n - 1, tail)) for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return low, high


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree on one metric. A unit is a method and a group, seeds averaged first."""

    n: int  # units with a value under both
    pearson: float | None  # over all units; None below three, or if either judge gives all the same value
    spearman: float | None
    within: float | None  # mean over methods of Spearman's correlation over groups
    shift: float | None  # mean of second - first
    limits: tuple[float, float] | None  # of agreement: shift ± 1.96 std of the differences (Bland & Altman 1986)
    kendall: float | None  # of the methods' means
    methods: int
    swapped: tuple[tuple[str, str], ...]  # methods that the judges put in opposite order


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> Agreement:
    """Two judges' scores of the same metric and trials, from what `statistics.select` gave for each."""
    trials = ["label", "group", "seed"]
    both = pd.concat({"first": _by(first, trials), "second": _by(second, trials)}, axis=1).dropna()
    units = both.groupby(level=["label", "group"]).mean()
    means = units.groupby(level="label").mean()
    inner = [_correlation(own, "spearman") for _, own in units.groupby(level="label")]
    known = [value for value in inner if value is not None]
    differences = units["second"] - units["first"]
    shift = float(differences.mean()) if len(units) else None
    return Agreement(
        n=len(units),
        pearson=_correlation(units, "pearson"),
        spearman=_correlation(units, "spearman"),
        within=float(np.mean(known)) if known else None,
        shift=shift,
        limits=_limits(differences),
        kendall=_correlation(means, "kendall", least=2),
        methods=len(means),
        swapped=swaps(means["first"], means["second"]),
    )


def swaps(first: pd.Series, second: pd.Series) -> tuple[tuple[str, str], ...]:
    """The pairs of labels of one index that two columns put in opposite order."""
    return tuple((a, b) for a, b in combinations(first.index, 2) if (first[a] - first[b]) * (second[a] - second[b]) < 0)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None below three pairs, or if either side is constant."""
    return _correlation(pd.DataFrame({"first": first, "second": second}), "spearman")


def _limits(differences: pd.Series) -> tuple[float, float] | None:
    if len(differences) < 2:
        return None
    mean, reach = float(differences.mean()), 1.96 * float(differences.std(ddof=1))
    return mean - reach, mean + reach


def _by(scores: pd.DataFrame, columns: list[str]) -> pd.Series:
    return scores.astype({"value": float}).groupby(columns)["value"].mean()


def _correlation(pairs: pd.DataFrame, kind: str, *, least: int = 3) -> float | None:
    """Of the columns first and second. kind: pearson, spearman, kendall (τ_b)."""
    if len(pairs) < least or not _varies(pairs["first"]) or not _varies(pairs["second"]):
        return None
    return float(pairs["first"].corr(pairs["second"], method=kind))


def _varies(values: pd.Series) -> bool:
    return float(values.max() - values.min()) > ROUNDING * float(values.abs().max())


def fid_of_first(evidence: Evidence, count: int) -> float:
    """FID_pre of the first ``count`` samples, even below the number from which the benchmark reports it.

    After the last request. Raises ValueError if fewer samples are recorded, or if the covariance would be singular.
    """
    source, after = evidence.source.features, evidence.after[-1].features
    if count > min(len(source), len(after)):
        raise ValueError(f"{min(len(source), len(after))} samples are recorded, fewer than {count}")
    if count <= source.shape[1]:
        raise ValueError(f"{count} samples of {source.shape[1]} features have a singular covariance")
    return frechet_distance(FrechetStatistics.of(source[:count]), FrechetStatistics.of(after[:count]))
