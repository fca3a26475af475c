"""What each row measured in a column, and how that differs from the reference row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from guidebench.reporting import statistics, ties
from guidebench.reporting.model import Column
from guidebench.reporting.selection import Variant, by_variant, groups_of, row_order
from guidebench.reporting.statistics import Paired, Summary
from guidebench.suites import PaperTable

if TYPE_CHECKING:
    from guidebench.store.record import Record


@dataclass(frozen=True)
class Cost:
    """A column of the full layout that comes from every trial, not from a metric."""

    title: str
    digits: int
    unit: float = 1.0  # what a recorded number is divided by


COSTS = {
    "seconds_unlearn": Cost("unlearn, s", 1),
    "seconds_total": Cost("trial, s", 1),
    "peak_memory_bytes": Cost("peak memory, MiB", 0, 2**20),
    "trainable": Cost("trained parameters, k", 1, 1e3),
    "shipped_bytes": Cost("to ship, MiB", 1, 2**20),
    "relative_change": Cost("relative change of weights", 3),
}


NEEDED = (
    *("key", "status", "protocol", "group", "identity", "seed", "metric", "judge", "value", "reason"),
    *("n", "lost_before", "lost_after", "after_request"),
)  # columns of the table of scores; tables that show costs need those, too


class Grid:
    """The rows of a report in their order, with the scores of each in a column."""

    def __init__(
        self, records: Sequence[Record], frame: pd.DataFrame, table: PaperTable | None, reference: Variant | None
    ) -> None:
        """frame: the scores of ``records``. table: names and orders rows. reference: the row to compare with."""
        self._titles = dict(table.rows) if table else {}
        self.records = by_variant(records)
        self.variants = sorted(self.records, key=self._order)
        self.labels = unique_labels(self.variants)
        self.reference = reference
        needed = [name for name in (*NEEDED, *COSTS) if name in frame.columns]
        self.frame = frame[needed]  # every cell takes its own part of it
        rows = _rows_by_key(frame["key"])
        self._frames = {}
        for variant, own in self.records.items():
            places = np.concatenate([rows.get(key, _NO_ROWS) for key in {record.key for record in own}])
            of_variant = self.frame.iloc[np.sort(places)]
            for group in groups_of(own):
                is_own = of_variant["protocol"] == group.protocol
                self._frames[variant, group.protocol] = of_variant if is_own.all() else of_variant[is_own]
        self._scores = {(*place, 0): _each_of(own) for place, own in self._frames.items()}

    def _order(self, variant: Variant) -> tuple[int, int, tuple[int, str, str, str]]:
        place = list(self._titles).index(variant.label) if variant.label in self._titles else 0
        return self.section(variant), place, row_order(variant)

    def is_floor(self, variant: Variant) -> bool:
        """Whether the row is a floor or ceiling."""
        return self.records[variant][0].spec.method.floor

    def section(self, variant: Variant) -> int:
        """See `guidebench.reporting.model.Row`."""
        if self.is_floor(variant):
            return 0
        return 1 if variant.label in self._titles or not self._titles else 2

    def title(self, variant: Variant) -> str:
        """What the row is called: by the table, or else its label."""
        shown = self._titles.get(variant.label, variant.label)
        return self.labels[variant].replace(variant.label, shown, 1)

    def summary(self, variant: Variant, column: Column) -> Summary | None:
        """A cell's mean and spread; without intervals where the values are not independent."""
        scores = self.scores(variant, column)
        summary = statistics.summarise(scores)
        if summary and summary.n and column.counted:
            summary = replace(summary, hits=statistics.hits(scores))
        if summary and column.request:  # a trial that failed before this request lacks it
            summary = replace(summary, groups=self._groups_of_curve(variant, column))
        if summary is None or (column.independent and not _is_flat(summary, column)):
            return summary
        return replace(summary, low=None, high=None, is_sample=False)

    def tied(self, variant: Variant, column: Column) -> Summary | None:
        """`summary` of the values as methods are compared by them, see `guidebench.reporting.ties`."""
        return statistics.summarise(ties.tied(self.scores(variant, column), column.tie))

    def difference(self, variant: Variant, column: Column) -> Paired | None:
        """A row minus the reference, values that tie being equal.

        None for floors, the reference itself, and where nothing can be compared.
        """
        if self.reference in (None, variant) or self.is_floor(variant):
            return None
        if not column.independent or column.direction == "none":
            return None
        own, reference = (ties.tied(self.scores(row, column), column.tie) for row in (variant, self.reference))
        if own.empty or reference.empty:
            return None
        found = statistics.difference(own, reference, column.direction)
        return replace(found, low=None, high=None) if _is_flat(found, column) else found

    def scores(self, variant: Variant, column: Column) -> pd.DataFrame:
        """What `statistics.select` gives; of a cost, one score per trial."""
        place, none = (variant, column.group.protocol), self.frame[:0]
        if column.metric in COSTS:
            return _costs(self._frames.get(place, none), column.metric)
        key = (*place, column.request)
        if key not in self._scores:
            self._scores[key] = _each_of(self._frames.get(place, none), column.request)
        return self._scores[key].get((column.metric, column.judge), none)

    def _groups_of_curve(self, variant: Variant, column: Column) -> int:
        """Of how many groups of people there is a score after any request."""
        frame = self._frames[variant, column.group.protocol]
        judged = frame["judge"].isna() if column.judge is None else frame["judge"] == column.judge
        return int(frame[(frame["metric"] == column.metric) & judged]["group"].nunique())


def _is_flat(found: Summary | Paired, column: Column) -> bool:
    """Whether all people have the same share, 0 mostly: the interval would have no width and claim to know."""
    return column.counted and found.std == 0


_NO_ROWS = np.empty(0, dtype=np.intp)


def _rows_by_key(keys: pd.Series) -> dict[str, np.ndarray]:
    """Where the rows of each trial are."""
    codes, different = pd.factorize(keys)
    order = np.argsort(codes, kind="stable")
    return dict(zip(different, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True)) if len(keys) else {}


def _each_of(frame: pd.DataFrame, request: int = 0) -> dict[tuple[str, str | None], pd.DataFrame]:
    return statistics.select_each(frame.drop(columns=[*COSTS], errors="ignore"), request)  # no score needs them


def _costs(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    trials = frame[(frame["status"] == "measured") & frame[name].notna()].drop_duplicates("key")
    return trials.assign(value=trials[name] / COSTS[name].unit, n=1, lost_before=0, lost_after=0)


def unique_labels(variants: Sequence[Variant]) -> Mapping[Variant, str]:
    """Labels; one that several versions of the code or the defaults share is followed by what distinguishes them."""
    counts = Counter(variant.label for variant in variants)
    labels = {}
    for variant in variants:
        same = [other for other in variants if other.label == variant.label]
        by_code = len({other.source_digest for other in same}) == len(same)
        label, with_code = variant.names
        marked = with_code if by_code else f"{label} [variant {same.index(variant) + 1}]"
        labels[variant] = marked if counts[label] > 1 else label
    return labels
