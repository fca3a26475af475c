"""Which cells are bold: the best means among rows that were measured on the same trials."""

from __future__ import annotations

from collections.abc import Mapping

from guidebench.reporting.model import Column
from guidebench.reporting.statistics import Summary


def best_rows(column: Column, summaries: Mapping[str, Summary | None]) -> set[str]:
    """Labels of the best rows of a column, among those of the widest, equal coverage. summaries: by label, no floors.

    Values are compared as shown. Under a judge, values at or below the mean of different people tie where lower is
    better: forgotten is forgotten. A row without a rival is not marked, and neither is any row if one that lost more
    faces looks better: readers would take the mark for a verdict on it.
    """
    every = {label: summary for label, summary in summaries.items() if summary and summary.mean is not None}
    if column.direction == "none" or not every:
        return set()
    widest = max(summary.coverage for summary in every.values())
    rivals = {label: summary for label, summary in every.items() if summary.coverage == widest}
    if len(rivals) < 2 or len({summary.units for summary in rivals.values()}) > 1:
        return set()
    values = {label: _loss(summary, column) for label, summary in every.items()}
    best = min(values[label] for label in rivals)
    if min(values.values()) < best:
        return set()
    return {label for label in rivals if values[label] == best}


def _loss(summary: Summary, column: Column) -> float:
    """The mean as shown, so that less is better and everything that counts as forgotten is equal."""
    mean = summary.mean or 0.0
    if column.direction == "higher":
        return -round(mean, column.digits)
    forgotten = column.different_people.mean if column.different_people else float("-inf")
    return round(max(mean, forgotten), column.digits)
