"""Forgotten is forgotten: cosines at or below the mean of different people tie, where lower is better.

Every comparison of methods goes through this module: each person's value is lifted to that mean first, so that p
values, orderings, effect sizes and bold never depend on how far below it somebody is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from guidebench.metric import Metric

if TYPE_CHECKING:
    from guidebench.reporting.statistics import Summary

_FEWEST = 3  # groups from which an interval says more than the mean


def tied(scores: pd.DataFrame, tie: float | None) -> pd.DataFrame:
    """Scores of which each value below ``tie`` is ``tie``, as methods are compared by them; None: as they are."""
    if tie is None or not (scores["value"] < tie).any():
        return scores
    return scores.assign(value=scores["value"].clip(lower=tie))


def tie_of(scores: pd.DataFrame, metric: Metric | None) -> float | None:
    """The mean of different people that scores under one judge tie at; None if those of this metric never tie."""
    if metric is None or not metric.ties or "different_people_mean" not in scores:
        return None
    known = scores["different_people_mean"].dropna()
    return float(known.iloc[0]) if len(known) else None


def is_forgotten(summary: Summary | None, tie: float | None) -> bool:
    """Whether a mean ties: its 95 % interval holds ``tie`` or lies below it.

    Of fewer than three groups, whose interval means little, the mean itself must not exceed it.
    """
    if summary is None or summary.mean is None or tie is None:
        return False
    low = summary.low if summary.n >= _FEWEST else None
    return (summary.mean if low is None else low) <= tie
