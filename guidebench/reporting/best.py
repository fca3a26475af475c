"""Which cells are bold: the best means among rows that were measured on the same trials."""

from __future__ import annotations

import math
from collections.abc import Mapping

from guidebench.reporting.model import Column
from guidebench.reporting.statistics import Summary
from guidebench.reporting.ties import is_forgotten


def best_rows(column: Column, summaries: Mapping[str, Summary | None], tied: Mapping[str, Summary | None]) -> set[str]:
    """Labels of the best rows of a column, among those of the widest, equal coverage.

    summaries: by label, no floors. tied: the same of the values as `guidebench.reporting.ties` compares
    them, where they can tie.

    Means are compared as shown. Those that tie with different people are all equal, and so is any mean below one of
    them. A row without a rival is not marked, and neither is any row if one that lost more faces looks better: readers
    would take the mark for a verdict on it.
    """
    every = {label: summary for label, summary in summaries.items() if summary and summary.mean is not None}
    if column.direction == "none" or not every:
        return set()
    widest = max(summary.coverage for summary in every.values())
    rivals = {label: summary for label, summary in every.items() if summary.coverage == widest}
    if len(rivals) < 2 or len({summary.units for summary in rivals.values()}) > 1:
        return set()
    forgotten = max(
        (_shown(summary, column) for summary in rivals.values() if is_forgotten(summary, column.tie)),
        default=-math.inf,
    )
    values = {label: _loss(summary, tied.get(label), column, forgotten) for label, summary in every.items()}
    best = min(values[label] for label in rivals)
    if min(values.values()) < best:
        return set()
    return {label for label in rivals if values[label] == best}


def _loss(summary: Summary, tied: Summary | None, column: Column, forgotten: float) -> float:
    """What is less where a row is better. forgotten: the largest mean that ties with different people."""
    if column.direction == "higher":
        return -_shown(summary, column)
    if is_forgotten(summary, column.tie) or _shown(summary, column) <= forgotten:
        return -math.inf
    return _shown(tied or summary, column)


def _shown(summary: Summary, column: Column) -> float:
    return round(summary.mean or 0.0, column.digits)
