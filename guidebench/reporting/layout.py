"""From records to tables: which rows, which columns, what is bold, and how each row differs from the reference."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pandas as pd

from guidebench.errors import BadInput, unknown_name
from guidebench.reporting import footnotes, statistics
from guidebench.reporting.model import Cell, ClaimedTable, Column, Contrast, Group, PaperTable, Report, Row, Table
from guidebench.reporting.published import PublishedTable
from guidebench.reporting.rows import MULTI_IMAGE, Variant, groups_of, judges_of, protocol_order, row_order
from guidebench.reporting.scores import from_records
from guidebench.reporting.significance import with_tests
from guidebench.reporting.statistics import Summary

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store.folders import Record, StoredRecord

KINDS = ("auto", "paper", "full", "compare")  # layouts beside those that suites define
TITLES = {"table-1": "Forgetting single images", "table-2": "Forgetting people from one of several images"}
FLOOR_MARKS = {"nothing": "floor", "scramble": "ceiling"}
DEFAULT_AGAINST = "mean-latent"


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
}

_NEEDED = (
    *("key", "status", "protocol", "identity", "seed", "metric", "judge", "value", "reason"),
    *("n", "lost_before", "lost_after", "after_request"),
)


@dataclass(frozen=True)
class Choice:
    """A resolved layout."""

    kind: Literal["paper", "full", "compare"]
    table: PaperTable | None = None  # of the paper layout
    against: str | None = None  # the row that the table compares the others with

    @property
    def name(self) -> str:
        """The table's name, or the kind."""
        return self.table.name if self.table else self.kind


# Which layout ---------------------------------------------------------------------------------------------------


def resolve(layout: str, records: Sequence[StoredRecord], table: PaperTable | None = None) -> Choice:
    """What a layout's name stands for.

    "auto" and "paper" are the columns of Table 2 if all records are of the multi-image protocol, else those of Table
    1, with whatever protocols and methods there are. A suite's name such as "table-3", its file, or ``table`` is that
    table with its own protocols only. Raises BadInput for an unknown name, or if the records hold none of these
    protocols.
    """
    from guidebench import suites

    names = sorted({str(stored.record.protocol["name"]) for stored in records}, key=protocol_order)
    against = None
    if table is None and layout in ("auto", "paper"):
        columns = "table-2" if names == [MULTI_IMAGE] else "table-1"
        return Choice("paper", PaperTable(columns, TITLES[columns], suites.load(columns).metrics, tuple(names)))
    if table is None and layout in ("full", "compare"):
        return Choice("full" if layout == "full" else "compare")
    if table is None:
        if layout not in suites.names() and not layout.endswith(".toml"):
            raise unknown_name("layout", layout, [*KINDS, *suites.names()], command="guidebench report --help")
        suite = suites.load(layout).resolve(records[0].record.testbed)
        table, against = suite.table, suite.against_label
    if not set(names) & set(table.protocols):
        raise BadInput(
            f"layout {table.name} is a table of {', '.join(table.protocols)}; the records hold {', '.join(names)}; "
            f"`guidebench reproduce {table.name}` measures what it needs"
        )
    return Choice("paper", table, against)


# Records to a report ---------------------------------------------------------------------------------------------


def build(
    records: Sequence[StoredRecord],
    metrics: Mapping[str, Metric],
    *,
    choice: Choice,
    against: str | None = None,
    claims: Sequence[PublishedTable] = (),
    superseded: int = 0,
    unreadable: Sequence[str] = (),
) -> Report:
    """The report of unmixed records in a resolved layout.

    metrics: titles and directions by name; a recorded metric without one is shown in the full layout, undirected.
    against: label or name of the row that others are compared with; None: the table's own reference, else mean-latent,
    where it is there.
    superseded, unreadable: what was left out, for the footnotes. Raises BadInput if ``against`` is absent or not one.
    """
    if choice.table:
        records = [item for item in records if item.record.protocol["name"] in choice.table.protocols]
    plain = [stored.record for stored in records]
    reference = _reference(plain, against, choice.against)
    if choice.kind == "compare":
        records = _shared(records, reference)
        plain = [stored.record for stored in records]
    rows = _Rows(plain, from_records(records), choice.table, reference)
    if choice.table:
        tables = [_paper(plain, rows, metrics, choice.table)]
    else:
        tables = _full(plain, rows, metrics)
    first = plain[0]
    labels = _unique_labels(rows.variants)
    shown = labels[reference] if reference else None
    tables, families = with_tests(tables, judges_of(plain), shown, wilcoxon=choice.kind == "full")
    if choice.kind == "compare" and not families:
        names = " and ".join(sorted(labels.values()))
        raise BadInput(f"{names} have values for no identity and seed in common; `guidebench scores` lists all values")
    if choice.table:
        tables = [replace(table, detailed=frozenset(table.groups) - _answered(table)) for table in tables]
    report = Report(
        kind=choice.kind,
        layout=choice.name,
        testbed=first.testbed,
        conventions=first.conventions,
        caption=str(first.notes.get("caption", "")),
        tables=tuple(tables),
        against=shown,
        families=tuple(families),
        claims=tuple(claimed_tables(claims, plain, metrics, choice.name)),
    )
    return replace(
        report,
        footnotes=tuple(footnotes.notes(plain, report, superseded, unreadable)),
        tests=tuple(footnotes.test_notes(report, choice.against or DEFAULT_AGAINST)),
        lost=tuple(footnotes.lost_notes(tables)),
    )


def _reference(records: Sequence[Record], against: str | None, of_table: str | None) -> Variant | None:
    """The row to compare with: of this label, with or without its code, or else the only one of a method of this name.

    of_table: the label of the row that the table names itself; no other setting of that method stands in for it.
    """
    variants = {Variant.of(record): None for record in records}
    wanted = against or of_table or DEFAULT_AGAINST
    found = [variant for variant in variants if wanted in variant.names]
    if not found and wanted != of_table:
        found = [variant for variant in variants if variant.method == wanted]
    if len(found) == 1:
        return found[0]
    if against is None:
        return None
    if found:
        labels = ", ".join(sorted(_unique_labels(found).values()))
        raise BadInput(f"'{against}' stands for {len(found)} rows ({labels}); name one, or report each by itself")
    known = sorted({variant.label for variant in variants})
    close = difflib.get_close_matches(against, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    raise BadInput(f"no row '{against}' to compare with{hint} the records hold {', '.join(known)}")


def _shared(records: Sequence[StoredRecord], reference: Variant | None) -> list[StoredRecord]:
    """The records of the protocols that the reference and the one method beside it were both run under."""
    others = {Variant.of(item.record) for item in records} - {reference}
    if len(others) != 1:
        labels = ", ".join(sorted(_unique_labels(list(others)).values()))
        raise BadInput(
            f"a comparison needs one method beside the reference, got {len(others)} ({labels}); name its label"
        )
    if all(item.record.floor for item in records if Variant.of(item.record) in others):
        raise BadInput(f"'{others.pop().label}' is a floor or ceiling, which is not tested; name a method first")
    names = [
        {item.record.protocol["name"] for item in records if Variant.of(item.record) == one}
        for one in (reference, *others)
    ]
    if not names[0] & names[1]:
        said = " and ".join(", ".join(sorted(own)) for own in names)
        raise BadInput(f"the two methods were run under different protocols: {said}; run both under one")
    return [item for item in records if item.record.protocol["name"] in names[0] & names[1]]


class _Rows:
    """The rows of a report: their order, their titles, and their scores."""

    def __init__(
        self, records: Sequence[Record], frame: pd.DataFrame, table: PaperTable | None, reference: Variant | None
    ) -> None:
        self._named = dict(table.rows) if table else {}
        self._records = {
            variant: [r for r in records if Variant.of(r) == variant] for variant in map(Variant.of, records)
        }
        self.variants = sorted(self._records, key=self._order)
        needed = [name for name in (*_NEEDED, *COSTS) if name in frame.columns]
        self.frame = frame[needed]  # a fraction of the columns: every cell takes its own part of it
        self._frames = {
            (variant, group.protocol): self.frame[
                frame["key"].isin([record.key for record in own]) & (frame["protocol"] == group.protocol)
            ]
            for variant, own in self._records.items()
            for group in groups_of(own)
        }
        self._known: dict[tuple[Variant, Column], pd.DataFrame] = {}
        self._reference = reference

    def _order(self, variant: Variant) -> tuple[int, int, tuple[int, str, str, str]]:
        place = list(self._named).index(variant.label) if variant.label in self._named else 0
        return self._section(variant), place, row_order(variant)

    def _section(self, variant: Variant) -> int:
        if self._records[variant][0].floor:
            return 0
        return 1 if variant.label in self._named or not self._named else 2

    def table(
        self, title: str, columns: Sequence[Column], records: Sequence[Record], detailed: Iterable[Group]
    ) -> Table:
        """A table of the rows that some of ``records`` belong to."""
        there = {Variant.of(record) for record in records}
        labels = _unique_labels(self.variants)
        groups = list(dict.fromkeys(column.group for column in columns))
        rows = []
        for variant in (variant for variant in self.variants if variant in there):
            own = [record for record in records if Variant.of(record) == variant]
            shown = self._named.get(variant.label, variant.label)
            rows.append(
                Row(
                    label=labels[variant],
                    title=labels[variant].replace(variant.label, shown, 1),
                    method=variant.method,
                    mark=FLOOR_MARKS.get(variant.method, "floor") if own[0].floor else "",
                    section=self._section(variant),
                    notes=_row_notes(own, records, groups),
                    cells=tuple(self._cell(variant, column) for column in columns),
                )
            )
        return Table(title, tuple(columns), tuple(_with_best(columns, rows)), frozenset(detailed))

    def _cell(self, variant: Variant, column: Column) -> Cell:
        scores = self._scores(variant, column)
        summary = statistics.summarise(scores)
        if not column.independent:
            return Cell(summary and replace(summary, low=None, high=None, bca=None))
        compared = self._reference not in (None, variant) and not self._records[variant][0].floor
        if summary is None or not compared or column.direction == "none":
            return Cell(summary)
        reference = self._scores(self._reference, column)  # type: ignore[arg-type]
        if reference.empty:
            return Cell(summary)
        return Cell(summary, contrast=Contrast(statistics.difference(scores, reference, column.direction)))

    def _scores(self, variant: Variant, column: Column) -> pd.DataFrame:
        """What `statistics.select` gives; of a cost, a score a trial."""
        if (variant, column) not in self._known:
            own = self._frames.get((variant, column.group.protocol), self.frame[:0])
            self._known[variant, column] = (
                _costs(own, column.metric)
                if column.metric in COSTS
                else statistics.select(own, column.metric, column.judge)
            )
        return self._known[variant, column]


def _costs(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    trials = frame[(frame["status"] == "measured") & frame[name].notna()].drop_duplicates("key")
    return trials.assign(value=trials[name] / COSTS[name].unit, n=1, lost_before=0, lost_after=0)


def _paper(records: Sequence[Record], rows: _Rows, metrics: Mapping[str, Metric], table: PaperTable) -> Table:
    """A table of the paper; each judge has its column."""
    present = {group.protocol: group for group in groups_of(records)}
    columns = []
    for group in (present[name] for name in table.protocols if name in present):
        for name in table.metrics:
            if name not in metrics:
                raise unknown_name("metric", name, metrics, command="guidebench list metrics")
            judges: list[str | None] = [*judges_of(records)] if metrics[name].judged else [None]
            columns += [_column(group, name, judge, records, metrics, digits=table.digits) for judge in judges]
    return rows.table(table.title, columns, records, detailed=())


def _full(records: Sequence[Record], rows: _Rows, metrics: Mapping[str, Metric]) -> list[Table]:
    """Per protocol: a table per judge with all its metrics, then one of image quality and cost."""
    tables = []
    for group in groups_of(records):
        own = [record for record in records if record.protocol["name"] == group.protocol]
        frame = rows.frame[rows.frame["protocol"] == group.protocol]
        for judge in (*judges_of(own), None):
            found = frame["judge"].isna() if judge is None else frame["judge"] == judge
            present = set(frame.loc[found & frame["metric"].notna(), "metric"])
            names = [name for name in metrics if name in present] + sorted(present - set(metrics))
            columns = [_column(group, name, judge, own, metrics, digits=2 if judge is None else 3) for name in names]
            if judge is None:
                columns += _cost_columns(group, frame)
            if columns:
                title = f"{group.title}: {f'judge {judge}' if judge else 'images and cost'}"
                tables.append(rows.table(title, columns, own, detailed=(group,)))
    return tables


def _cost_columns(group: Group, frame: pd.DataFrame) -> list[Column]:
    there = [name for name in COSTS if name in frame.columns and frame[name].notna().any()]
    return [
        Column(group, name, None, COSTS[name].title, COSTS[name].title, "none", COSTS[name].digits, independent=False)
        for name in there  # a machine's load is no sample of anything
    ]


def _column(
    group: Group, name: str, judge: str | None, records: Iterable[Record], metrics: Mapping[str, Metric], *, digits: int
) -> Column:
    metric = metrics.get(name)
    strangers = next((record.strangers[judge] for record in records if judge and judge in record.strangers), None)
    return Column(
        group=group,
        metric=name,
        judge=judge,
        title=metric.title if metric else name,
        latex=metric.latex if metric else name.replace("_", r"\_"),
        direction=metric.direction if metric else "none",
        digits=digits,
        independent=metric.independent if metric else True,
        strangers=(strangers[0], strangers[1]) if strangers else None,
    )


def _unique_labels(variants: Sequence[Variant]) -> dict[Variant, str]:
    """Labels; where one stands for several versions of the code or the defaults, with what tells them apart."""
    counts = Counter(variant.label for variant in variants)
    labels = {}
    for variant in variants:
        same = [other for other in variants if other.label == variant.label]
        by_code = len({other.source_digest for other in same}) == len(same)
        label, with_code = variant.names
        marked = with_code if by_code else f"{label} [variant {same.index(variant) + 1}]"
        labels[variant] = marked if counts[label] > 1 else label
    return labels


def _row_notes(own: Sequence[Record], records: Sequence[Record], groups: Sequence[Group]) -> tuple[str, ...]:
    """Failed trials, fewer identities than other rows, class defaults where others have a preset, unseen training."""
    said: dict[str, list[str]] = {}
    for group in groups:
        here = [record for record in own if record.protocol["name"] == group.protocol]
        failed = sum(record.status == "failed" for record in here)
        if failed:
            said.setdefault(f"{failed} of {len(here)} failed", []).append(group.title)
        people = {record.identity for record in here}
        everybody = {record.identity for record in records if record.protocol["name"] == group.protocol}
        if here and len(people) < len(everybody):
            said.setdefault(f"{len(people)} of {len(everybody)} identities run", []).append(group.title)
    notes = [text if len(where) == len(groups) else f"{', '.join(where)}: {text}" for text, where in said.items()]
    trained = not own[0].floor and own[0].training_seen and footnotes.rates_of(own[0])
    if trained and not own[0].preset and any(record.preset for record in records):
        notes.append(f"no preset for {own[0].testbed}: class defaults")
    if not own[0].training_seen:
        notes.append("training not seen")
    return tuple(notes)


# Best rows -------------------------------------------------------------------------------------------------------


def _with_best(columns: Sequence[Column], rows: Sequence[Row]) -> list[Row]:
    """Marks the best cells of every column."""
    best = [_best(column, [(row, row.cells[place].summary) for row in rows]) for place, column in enumerate(columns)]
    return [
        replace(row, cells=tuple(replace(cell, best=row.label in best[place]) for place, cell in enumerate(row.cells)))
        for row in rows
    ]


def _best(column: Column, summaries: Sequence[tuple[Row, Summary | None]]) -> set[str]:
    """Labels of the best rows among those of the widest, equal coverage; floors do not compete.

    Values are compared as shown. Under a judge, values at or below the mean of different people tie where lower is
    better: forgotten is forgotten. A row without a rival is not marked, and neither is any row if one that lost more
    faces looks better: the eye would take the mark for a verdict on it.
    """
    every = [
        (row.label, summary)
        for row, summary in summaries
        if not row.mark and summary is not None and summary.mean is not None
    ]
    if column.direction == "none" or not every:
        return set()
    widest = max(summary.coverage for _, summary in every)
    competing = [(label, summary) for label, summary in every if summary.coverage == widest]
    if len(competing) < 2 or len({summary.units for _, summary in competing}) > 1:
        return set()
    sign = 1 if column.direction == "lower" else -1
    least = column.strangers[0] if column.strangers and sign == 1 else float("-inf")
    values = {
        label: sign * round(max(summary.mean, least), column.digits)
        for label, summary in every
        if summary.mean is not None
    }
    rivals = {label for label, _ in competing}
    best = min(values[label] for label in rivals)
    if min(values.values()) < best:
        return set()
    return {label for label in rivals if values[label] == best}


def _answered(table: Table) -> set[Group]:
    """The protocols under which some test has identities enough: a mark says there what an interval says elsewhere."""
    return {
        column.group
        for _, column, cell in table.placed()
        if cell.contrast and cell.contrast.p and not cell.contrast.too_small
    }


# Published -------------------------------------------------------------------------------------------------------


def claimed_tables(
    published: Sequence[PublishedTable], records: Sequence[Record], metrics: Mapping[str, Metric], layout: str
) -> list[ClaimedTable]:
    """The published tables of a layout, cut to the photo sets that the records come from."""
    sources = {str(record.protocol.get("source")) for record in records}
    claimed = []
    for table in published:
        rows = [row for row in table.rows if row.source in sources]
        if layout not in table.layouts or not rows:
            continue
        columns = dict.fromkeys((row.protocol, metric) for row in rows for metric in row.claims)
        cells = {(row.row, row.protocol, metric): claim for row in rows for metric, claim in row.claims.items()}
        claimed.append(
            ClaimedTable(
                source=table,
                columns=tuple(columns),
                titles=tuple(metrics[metric].title for _, metric in columns),
                latex=tuple(metrics[metric].latex for _, metric in columns),
                rows=tuple(
                    (name, tuple(cells.get((name, *column)) for column in columns))
                    for name in dict.fromkeys(row.row for row in rows)
                ),
            )
        )
    return claimed
