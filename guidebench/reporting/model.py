"""What a report is made of: tables of rows, columns and cells, how rows differ, and the footnotes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from guidebench.evidence import DifferentPeople
from guidebench.reporting.statistics import ALPHA, Paired, Summary

if TYPE_CHECKING:
    from guidebench.store.record import Record

Kind = Literal["paper", "full", "compare", "brief", "short", "scenario", "sequence"]  # brief ends a run
Across = Literal["metrics", "groups", "requests"]  # what tells the columns of a table apart
COMPACT: tuple[Kind, ...] = ("brief", "short")  # one table that fits 80 characters: one protocol, one judge


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
    independent: bool = True  # values of different groups; otherwise neither interval nor test is valid
    tested: bool = True  # whether its differences may join the tests: primary under its protocol
    counted: bool = False  # values are shares of so many renders: cells say how many of how many
    different_people: DifferentPeople | None = None  # the judge's cosine of different people; None if it is no cosine
    request: int = 0  # after which it was measured, from 1; 0: the last

    @property
    def tie(self) -> float | None:
        """At or below which values tie: the mean of different people, where lower is better. None: nowhere."""
        return self.different_people.mean if self.different_people and self.direction == "lower" else None

    @property
    def arrow(self) -> str:
        """↓ where lower is better, ↑ where higher is."""
        return {"lower": "↓", "higher": "↑"}.get(self.direction, "")


@dataclass(frozen=True)
class Contrast:
    """A row minus the reference row in one column, on the groups and seeds that both have."""

    difference: Paired
    family: int = 0  # tests that Holm corrects for; 0: not tested
    p: float | None = None  # sign-flip permutation, two-sided; None: not tested, or no group in common
    exact: bool = True  # whether p counts all sign patterns
    adjusted: float | None = None  # Holm
    attainable: float | None = None  # the smallest adjusted p that the numbers of groups allow
    wilcoxon: float | None = None  # not adjusted; full layout only

    @property
    def too_small(self) -> bool:
        """Whether no data of this size could separate the methods."""
        return self.attainable is not None and self.attainable > ALPHA

    @property
    def separated(self) -> bool:
        """Whether the methods differ significantly, by the adjusted p."""
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
    section: int  # 0: floors, 1: the rows that the table names, 2: others; rules separate them
    notes: tuple[str, ...]  # failed trials, fewer groups, no preset, …
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()  # what its reader must know, see `guidebench.reporting.marks`
    records: tuple[Record, ...] = ()  # what it is made of

    @property
    def marked(self) -> str:
        """The title, with its marks."""
        return f"{self.title} ({', '.join(self.marks)})" if self.marks else self.title


@dataclass(frozen=True)
class Table:
    """A measured table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    detailed: frozenset[Group]  # under which protocols cells show intervals
    across: Across = "metrics"

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
class Matrix:
    """A metric of one row by the request that forgot somebody, and the request after which it was measured."""

    column: Column
    label: str  # of the row
    title: str
    cells: tuple[tuple[Summary | None, ...], ...]  # [forgotten by request][after request]; None: nothing to measure


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
class Claim:
    """One published number."""

    mean: float
    std: float | None
    printed: str  # with the digits of the publication


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table under one protocol."""

    row: str  # as the publication names it
    method: str  # the guidebench method that it corresponds to
    protocol: str
    source: str  # photo set of the protocol
    claims: Mapping[str, Claim]  # by metric


@dataclass(frozen=True)
class PublishedTable:
    """A published table."""

    name: str
    title: str
    citation: str
    testbed: str  # the testbed that holds the networks it was made with
    judge: str
    venue: str  # where it was published: "CVPR 2024"
    link: str  # to the publication
    layouts: tuple[str, ...]  # beside which layouts it is shown
    different: str  # what was different from what guidebench measures by default
    rows: tuple[PublishedRow, ...]


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

    kind: Kind
    layout: str  # the table's name, or the kind
    testbed: str
    conventions: str
    caption: str  # what must be printed with every table made on this testbed
    tables: tuple[Table, ...]
    against: str | None  # label of the row that the others are compared with
    families: tuple[Family, ...]
    claims: tuple[ClaimedTable, ...] = ()
    footnotes: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()  # footnotes on the tests
    lost: tuple[str, ...] = ()  # footnotes on undetected faces, for formats whose cells leave them out
    matrices: tuple[Matrix, ...] = ()
    people: Mapping[str, int] = field(default_factory=dict)  # by protocol: how many one trial forgets

    @property
    def is_compact(self) -> bool:
        """Whether it is one table of 80 characters with a line of explanation."""
        return self.kind in COMPACT
