"""What every section of the instrument page works on: the trials of one protocol, by method and quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import scores as frames
from guidebench.reporting import statistics
from guidebench.reporting.choice import BRIEF
from guidebench.reporting.differences import NONE, TextTable, number
from guidebench.reporting.formats import markdown
from guidebench.reporting.model import ClaimedTable
from guidebench.reporting.selection import Variant, judges_of, row_order
from guidebench.reporting.statistics import Summary
from guidebench.store.folders import StoredRecord

BRACKETS = ("nothing", "scramble")


@dataclass(frozen=True)
class Quantity:
    """What a column of a table holds: a metric, under a judge where it has one."""

    metric: str
    judge: str | None

    @property
    def title(self) -> str:
        """As in tables, with the judge."""
        return f"{METRICS[self.metric].title} ({self.judge})" if self.judge else METRICS[self.metric].title

    @property
    def digits(self) -> int:
        """Decimals shown."""
        return 3 if self.judge else 2

    def shown(self, value: float | None) -> str:
        """The value as text."""
        return NONE if value is None else number(value, self.digits)


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    reading: str  # how to read it
    findings: Sequence[str] = ()  # a sentence each; also why something is missing
    tables: Sequence[TextTable] = ()
    claims: Sequence[ClaimedTable] = ()

    def markdown(self) -> str:
        """The section as Markdown."""
        listed = [markdown.bullets(self.findings)] if self.findings else []
        tables = [markdown.of_text(table) for table in self.tables]
        return "\n\n".join([f"## {self.title}", self.reading, *listed, *tables, *map(markdown.of_claims, self.claims)])


class Runs:
    """The trials of one protocol, by method."""

    def __init__(self, records: Sequence[StoredRecord]) -> None:
        """records: unmixed, of one protocol, each label of one method. Raises BadInput if all are floors."""
        self.records = [stored for stored in records if stored.record.is_measured]
        self.failed = len(records) - len(self.records)
        self.first = records[0].record
        self.frame = frames.from_records(self.records)
        variants = {Variant.of(stored.record): stored.record for stored in self.records}
        self.variants = sorted((one for one, record in variants.items() if not record.spec.method.floor), key=row_order)
        if not self.variants:
            raise BadInput(
                f"no method was measured under {self.first.spec.protocol.name}, only floors; "
                f"`guidebench run --protocol {self.first.spec.protocol.name} --method guide …` measures one"
            )
        self.floors = [
            name for name in BRACKETS if any(record.spec.method.name == name for record in variants.values())
        ]
        self.judges = judges_of(stored.record for stored in self.records)

    @cached_property
    def methods(self) -> list[str]:
        """Labels in the order of tables. Other settings of a method that is there as it is are left to the sweeps."""
        plain = {variant.method for variant in self.variants if variant.label == variant.method}
        return [one.label for one in self.variants if one.label == one.method or one.method not in plain]

    def quantities(self, metrics: Sequence[str] = BRIEF) -> list[Quantity]:
        """Those of these metrics that were measured, a judge after the other; by default those that a run prints."""
        there = set(self.frame["metric"].dropna())
        valued = set(self.frame.loc[self.frame["value"].notna(), "metric"])
        return [
            Quantity(name, judge)
            for name in metrics
            if name in there and (name in valued or not METRICS[name].counted)  # a judge may have no threshold
            for judge in (self.judges if METRICS[name].judged else [None])
        ]

    def scores(self, label: str, quantity: Quantity) -> pd.DataFrame:
        """What `statistics.select` gives for one method."""
        return self._selected.get(label, {}).get((quantity.metric, quantity.judge), self.frame[:0])

    @cached_property
    def _selected(self) -> dict[str, dict[tuple[str, str | None], pd.DataFrame]]:
        return {label: statistics.select_each(own) for label, own in self.frame.groupby("label", sort=False)}

    def trials(self, label: str) -> list[StoredRecord]:
        """The measured trials of one method."""
        return [stored for stored in self.records if stored.record.spec.method.label == label]

    def units(self, label: str) -> set[tuple[str, int]]:
        """The (group, seed) that one method was measured on."""
        return {(stored.record.spec.group, stored.record.spec.seed) for stored in self.trials(label)}

    def people(self, label: str) -> int:
        """How many people, or groups of people forgotten together, one method was measured on."""
        return len({group for group, _ in self.units(label)})


def percent(share: float | None) -> str:
    """Whole per cent from 10 on, with a decimal below."""
    return NONE if share is None else f"{share * 100:.{0 if abs(share) >= 0.0995 else 1}f} %"


def as_correlation(value: float | None) -> str:
    """Two decimals."""
    return NONE if value is None else number(value, 2)


def shown_mean(cell: Summary | None, quantity: Quantity) -> str:
    """A mean, with its coverage where some people have no value."""
    if cell is None:
        return ""
    coverage = "" if cell.n == cell.groups else f" ({cell.n} of {cell.groups})"
    return f"{quantity.shown(cell.mean)}{coverage}"
