"""What a report is made of: tables of rows, columns and cells, how rows differ, and what must be said below."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from guidebench.reporting.published import Claim, PublishedTable
from guidebench.reporting.statistics import ALPHA, Paired, Summary


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper: what a suite asks for. Floors, and rows that it does not name, are added by the report."""

    name: str  # "table-3"
    title: str
    metrics: tuple[str, ...]  # columns under each protocol; a judged metric has one for each judge
    protocols: tuple[str, ...]  # column groups, in order
    rows: tuple[tuple[str, str], ...] = ()  # label as in records, title shown; in order
    digits: int = 2  # decimals shown


@dataclass(frozen=True)
class Group:
    """Neighbouring columns under one protocol."""

    protocol: str
    title: str


@dataclass(frozen=True)
class Column:
    """One metric under one protocol and, if it has one, one judge."""

    group: Group
    metric: str
    judge: str | None
    title: str
    latex: str
    direction: str  # "lower", "higher" or "none"
    digits: int  # decimals shown
    independent: bool = True  # values of different identities; otherwise neither interval nor test is valid
    strangers: tuple[float, float] | None = None  # mean and std of the judge's cosine of different people

    @property
    def arrow(self) -> str:
        """↓ where lower is better, ↑ where higher is."""
        return {"lower": "↓", "higher": "↑"}.get(self.direction, "")


@dataclass(frozen=True)
class Contrast:
    """A row minus the reference row in one column, on the identities and seeds that both have."""

    difference: Paired
    family: int = 0  # tests that Holm corrects for; 0: not tested
    p: float | None = None  # sign-flip permutation, two-sided; None: not tested, or no identity in common
    exact: bool = True  # whether p counts all sign patterns
    adjusted: float | None = None  # Holm
    attainable: float | None = None  # the smallest adjusted p that the numbers of identities allow
    wilcoxon: float | None = None  # not adjusted; full layout only

    @property
    def too_small(self) -> bool:
        """Whether no data of this size could separate the methods."""
        return self.attainable is not None and self.attainable > ALPHA

    @property
    def separated(self) -> bool:
        """Whether the adjusted p says that the methods differ."""
        return self.adjusted is not None and not self.too_small and self.adjusted < ALPHA


@dataclass(frozen=True)
class Cell:
    """What one row holds in one column; without a summary nothing was measured there."""

    summary: Summary | None = None
    best: bool = False
    contrast: Contrast | None = None  # None: a floor, the reference itself, or nothing to compare


@dataclass(frozen=True)
class Row:
    """A method."""

    label: str
    title: str  # what is shown: the label, or the paper's name of the row
    method: str
    mark: str  # "floor", "ceiling" or ""
    section: int  # 0: floors, 1: the rows that the table names, 2: others; a rule stands between them
    notes: tuple[str, ...]  # failed trials, fewer identities, no preset, …
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A measured table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    detailed: frozenset[Group]  # under which protocols cells show intervals

    @property
    def groups(self) -> list[Group]:
        """The protocols, in column order."""
        return list(dict.fromkeys(column.group for column in self.columns))

    def placed(self) -> Iterable[tuple[Row, Column, Cell]]:
        """Every cell with its row and column."""
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                yield row, column, cell


@dataclass(frozen=True)
class Family:
    """The tests under one protocol that Holm corrects together."""

    group: Group
    judge: str | None  # the first judge; None: the columns have none
    metrics: tuple[str, ...]  # titles
    labels: tuple[str, ...]  # the methods, without the reference

    @property
    def size(self) -> int:
        """Methods times metric columns."""
        return len(self.metrics) * len(self.labels)


@dataclass(frozen=True)
class ClaimedTable:
    """A published table, cut to the protocols and metrics of a report."""

    source: PublishedTable
    columns: tuple[tuple[str, str], ...]  # protocol and metric
    titles: tuple[str, ...]
    latex: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Claim | None, ...]], ...]


@dataclass(frozen=True)
class Report:
    """Everything that a renderer writes."""

    kind: str  # "paper", "full" or "compare"
    layout: str  # the table's name, or the kind
    testbed: str
    conventions: str
    caption: str  # what every table made on this testbed must say
    tables: tuple[Table, ...]
    against: str | None  # label of the row that the others are compared with
    families: tuple[Family, ...]
    claims: tuple[ClaimedTable, ...] = ()
    footnotes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # footnotes on the tests
    lost: tuple[str, ...] = ()  # footnotes on undetected faces, for formats whose cells do not say it
