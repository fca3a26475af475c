"""From records to tables: which rows, which columns, what is bold and what the footnotes must say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from guidebench.errors import BadInput
from guidebench.reporting import statistics
from guidebench.reporting.frame import from_records
from guidebench.reporting.published import Claim, PublishedTable
from guidebench.reporting.statistics import Summary

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store import Record, StoredRecord

LAYOUTS = ("auto", "table-1", "table-2", "full")
MULTI_IMAGE = "celebahq-multi"  # the protocol of the paper's Table 2
PAPER_COLUMNS = {
    "table-1": ("id", "fid_pre", "delta_fid_real"),
    "table-2": ("id", "id_others", "fid_pre", "delta_fid_real"),
}
PROTOCOL_ORDER = ("random", "ffhq", "celebahq", MULTI_IMAGE)
METHOD_ORDER = ("nothing", "scramble", "mean-latent", "extrapolated", "extrapolated-adj", "guide")
FLOOR_MARKS = {"nothing": "floor", "scramble": "ceiling"}
SECONDS = {"seconds_unlearn": "unlearn, s", "seconds_total": "trial, s"}  # columns of the full layout, from every trial
RATE_FIELDS = ("steps", "lr", "learning_rate")  # what a preset changes


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
    strangers: tuple[float, float] | None = None  # mean and std of the judge's cosine of different people

    @property
    def arrow(self) -> str:
        """↓ where lower is better, ↑ where higher is."""
        return {"lower": "↓", "higher": "↑"}.get(self.direction, "")


@dataclass(frozen=True)
class Cell:
    """What one row holds in one column; without a summary nothing was measured there."""

    summary: Summary | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A method."""

    label: str
    method: str
    mark: str  # "floor", "ceiling" or ""
    notes: tuple[str, ...]  # failed trials, fewer identities, no preset, …
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A measured table."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def groups(self) -> list[Group]:
        """The protocols, in column order."""
        return list(dict.fromkeys(column.group for column in self.columns))


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

    layout: str
    testbed: str
    conventions: str
    caption: str  # what every table made on this testbed must say
    tables: tuple[Table, ...]
    claims: tuple[ClaimedTable, ...]
    footnotes: tuple[str, ...]
    lost: tuple[str, ...]  # footnotes on undetected faces, for formats whose cells do not say it


@dataclass(frozen=True)
class Variant:
    """What makes a row: one label with one code, one set of fields."""

    label: str
    method: str
    source_digest: str
    fields: str
    training_seen: bool

    @classmethod
    def of(cls, record: Record) -> Variant:
        """The row that a record belongs to."""
        fields = json.dumps(record.fields, sort_keys=True)
        return cls(record.label, record.method, record.source_digest, fields, record.training_seen)


def resolve_layout(layout: str, records: Sequence[StoredRecord]) -> str:
    """The layout that "auto" stands for: table-2 if all records are of the multi-image protocol, else table-1."""
    if layout not in LAYOUTS:
        raise BadInput(f"unknown layout '{layout}'; give one of {', '.join(LAYOUTS)}")
    names = {str(stored.record.protocol["name"]) for stored in records}
    if layout == "auto":
        return "table-2" if names == {MULTI_IMAGE} else "table-1"
    if layout == "table-2" and not any(stored.record.protocol.get("probe_photos") for stored in records):
        raise BadInput(
            f"layout table-2 needs a protocol with several photos a person; the records hold "
            f"{', '.join(sorted(names))}; "
            f"`guidebench run --protocol {MULTI_IMAGE}` measures one"
        )
    return layout


def build(
    records: Sequence[StoredRecord],
    metrics: Mapping[str, Metric],
    *,
    layout: str,
    claims: Sequence[PublishedTable] = (),
    superseded: int = 0,
) -> Report:
    """The report of unmixed records in a resolved layout.

    metrics: titles and directions by name; a recorded metric without one is shown in the full layout, undirected.
    superseded: failures that were left out, for the footnotes.
    """
    if layout == "table-2":
        records = [stored for stored in records if stored.record.protocol.get("probe_photos")]
    plain = [stored.record for stored in records]
    frame = from_records(records)
    tables = _full(plain, frame, metrics) if layout == "full" else _paper(plain, frame, metrics, layout)
    first = plain[0]
    return Report(
        layout=layout,
        testbed=first.testbed,
        conventions=first.conventions,
        caption=str(first.notes.get("caption", "")),
        tables=tuple(tables),
        claims=tuple(_claims(claims, plain, metrics, layout)),
        footnotes=tuple(_footnotes(plain, tables, superseded)),
        lost=tuple(_lost_notes(tables)),
    )


def _groups(records: Iterable[Record]) -> list[Group]:
    titles = {str(record.protocol["name"]): str(record.protocol.get("title", "")) for record in records}
    known = {name: place for place, name in enumerate(PROTOCOL_ORDER)}
    names = sorted(titles, key=lambda name: (known.get(name, len(known)), name))
    return [Group(name, titles[name] or name) for name in names]


def _judges(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(judge for record in records for judge in record.judges))


def _paper(records: Sequence[Record], frame: pd.DataFrame, metrics: Mapping[str, Metric], layout: str) -> list[Table]:
    """One table in the paper's layout; each judge has its column."""
    columns = []
    for group in _groups(records):
        for name in PAPER_COLUMNS[layout]:
            judges: list[str | None] = [*_judges(records)] if metrics[name].judged else [None]
            columns += [_column(group, name, judge, records, metrics, digits=2) for judge in judges]
    title = {"table-1": "Forgetting single images", "table-2": "Forgetting people from one of several images"}[layout]
    return [_table(title, columns, records, frame)]


def _full(records: Sequence[Record], frame: pd.DataFrame, metrics: Mapping[str, Metric]) -> list[Table]:
    """Per protocol: a table per judge with all its metrics, then one of image quality and cost."""
    tables = []
    for group in _groups(records):
        own = [record for record in records if record.protocol["name"] == group.protocol]
        own_frame = frame[frame["protocol"] == group.protocol]
        for judge in (*_judges(own), None):
            found = own_frame["judge"].isna() if judge is None else own_frame["judge"] == judge
            present = set(own_frame.loc[found & own_frame["metric"].notna(), "metric"])
            names = [name for name in metrics if name in present] + sorted(present - set(metrics))
            columns = [_column(group, name, judge, own, metrics, digits=2 if judge is None else 3) for name in names]
            if judge is None:
                columns += [Column(group, name, None, title, title, "none", 1) for name, title in SECONDS.items()]
            if columns:
                title = f"{group.title}: {f'judge {judge}' if judge else 'images and cost'}"
                tables.append(_table(title, columns, own, own_frame))
    return tables


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
        strangers=(strangers[0], strangers[1]) if strangers else None,
    )


def _table(title: str, columns: Sequence[Column], records: Sequence[Record], frame: pd.DataFrame) -> Table:
    variants = sorted({Variant.of(record) for record in records}, key=_row_order)
    labels = _unique_labels(variants)
    groups = list(dict.fromkeys(column.group for column in columns))
    rows = []
    for variant in variants:
        own = [record for record in records if Variant.of(record) == variant]
        own_frame = frame[frame["key"].isin([record.key for record in own])]
        mark = FLOOR_MARKS.get(variant.method, "floor") if own[0].floor else ""
        notes = _row_notes(own, records, groups)
        cells = tuple(Cell(_summary(own_frame, column)) for column in columns)
        rows.append(Row(labels[variant], variant.method, mark, notes, cells))
    return Table(title, tuple(columns), tuple(_with_best(columns, rows)))


def _summary(frame: pd.DataFrame, column: Column) -> Summary | None:
    own = frame[frame["protocol"] == column.group.protocol]
    if column.metric not in SECONDS:
        return statistics.summarise(statistics.select(own, column.metric, column.judge))
    measured = own[own["status"] == "measured"].drop_duplicates("key")
    seconds = statistics.summarise(measured.assign(value=measured[column.metric], n=1, lost_before=0, lost_after=0))
    return seconds and replace(seconds, low=None, high=None)  # a machine's load is no sample of anything


def _row_order(variant: Variant) -> tuple[int, str, str, str]:
    place = METHOD_ORDER.index(variant.method) if variant.method in METHOD_ORDER else len(METHOD_ORDER)
    return place, variant.method, variant.label, variant.source_digest


def _unique_labels(variants: Sequence[Variant]) -> dict[Variant, str]:
    """Labels; where one stands for several versions of the code or the defaults, with what tells them apart."""
    counts = Counter(variant.label for variant in variants)
    labels = {}
    for variant in variants:
        same = [other for other in variants if other.label == variant.label]
        by_code = len({other.source_digest for other in same}) == len(same)
        mark = f"code {variant.source_digest[:6]}" if by_code else f"variant {same.index(variant) + 1}"
        labels[variant] = f"{variant.label} [{mark}]" if counts[variant.label] > 1 else variant.label
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
    if not own[0].floor and not own[0].preset and any(record.preset for record in records):
        notes.append(f"no preset for {own[0].testbed}: class defaults")
    if not own[0].training_seen:
        notes.append("training not seen")
    return tuple(notes)


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


def _claims(
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


def _footnotes(records: Sequence[Record], tables: Sequence[Table], superseded: int) -> list[str]:
    """Everything a reader needs to repeat or doubt a number, one line each."""
    first = records[0]
    switches = first.notes.get("conventions", "")
    return [
        f"Testbed: {first.testbed}. Conventions: {first.conventions}{f' ({switches})' if switches else ''}.",
        *_protocol_notes(records),
        *_fid_notes(records),
        *_judge_notes(records),
        "mean ± std (ddof 1) over identities, seeds averaged within an identity first; [95 % Student-t interval of the "
        "mean, from three identities on]. A value that could not be measured is left out and counted, never zero.",
        "Bold (plain text: *): best of the rows of equal coverage, floors aside; none where a row with fewer values or "
        "pairs would be better after ties. Values at or below the mean of "
        "different people tie.",
        *_preset_notes(records),
        *_missing_notes(tables),
        *_failure_notes(records, superseded),
        *_version_notes(records),
    ]


def _protocol_notes(records: Sequence[Record]) -> list[str]:
    notes = []
    for group in _groups(records):
        own = [record for record in records if record.protocol["name"] == group.protocol]
        protocol = own[0].protocol
        people, seeds = len({record.identity for record in own}), sorted({record.seed for record in own})
        sizes = [
            _plural(people, "identity", "identities"),
            f"seed{'s' if len(seeds) > 1 else ''} {' '.join(map(str, seeds))}",
            f"{protocol.get('views')} views within ±{protocol.get('yaw_deg'):g}° yaw",
            f"{protocol.get('retain')} others to survive",
        ]
        if protocol.get("probe_photos"):
            sizes.insert(2, f"{protocol['probe_photos']} probe photos a person")
        notes.append(
            f"Protocol {group.protocol} v{protocol.get('version')} ({own[0].protocol_digest[:12]}): {', '.join(sizes)}."
        )
    return notes


def _fid_notes(records: Sequence[Record]) -> list[str]:
    first = records[0]
    samples = sorted({int(record.protocol["samples"]) for record in records if "samples" in record.protocol})
    parts = [f"{' or '.join(f'{count:,}' for count in samples)} samples a generator"]
    parts += [first.notes["features"]] if first.notes.get("features") else []
    parts += [f"real images: {first.notes['real']}"] if first.notes.get("real") else []
    return [f"FID: guidebench's Fréchet distance in float64; {'; '.join(parts)}."]


def _judge_notes(records: Sequence[Record]) -> list[str]:
    notes = []
    for judge in _judges(records):
        strangers = next((record.strangers[judge] for record in records if judge in record.strangers), None)
        known = f", different people {strangers[0]:.3f} ± {strangers[1]:.3f}" if strangers else ""
        digest = next(
            (value for record in records for name, value in record.digests.items() if name.split("/")[-1] == judge),
            None,
        )
        notes.append(f"Judge {judge}{known}{f', weights {digest[:12]}' if digest else ''}.")
    return notes


def _preset_notes(records: Sequence[Record]) -> list[str]:
    """Steps and learning rate of every method, grouped, and where they come from."""
    rates: dict[str, list[str]] = {}
    for record in sorted(records, key=lambda record: _row_order(Variant.of(record))):
        if record.floor:
            continue
        values = ", ".join(
            f"{name} {record.fields[name]:g}" for name in RATE_FIELDS if _is_number(record.fields.get(name))
        )
        origin = f"preset for {record.testbed}" if record.preset else f"class defaults, no preset for {record.testbed}"
        labels = rates.setdefault(f"{values} ({origin})" if values else f"({origin})", [])
        if record.label not in labels:
            labels.append(record.label)
    return [f"{', '.join(labels)}: {rate}." for rate, labels in rates.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(tables: Sequence[Table]) -> Iterable[tuple[Row, Column, Summary]]:
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if cell.summary is not None:
                    yield row, column, cell.summary


def _missing_notes(tables: Sequence[Table]) -> list[str]:
    """Which metrics have no value in how many trials of a row, with one of the reasons."""
    metrics: dict[tuple[str, str, int, int], list[str]] = {}
    reasons: dict[tuple[str, str, int, int], str] = {}
    for row, column, summary in _cells(tables):
        if summary.missing:
            place = (row.label, column.group.protocol, summary.missing, summary.missing + len(summary.units))
            metrics.setdefault(place, []).append(column.title)
            reasons.setdefault(place, summary.reason or "no reason given")
    return [
        f"No value: {label} ({protocol}), {', '.join(dict.fromkeys(titles))} in {missing} of {trials} trials, such as: "
        f"{reasons[label, protocol, missing, trials]}."
        for (label, protocol, missing, trials), titles in metrics.items()
    ]


def _lost_notes(tables: Sequence[Table]) -> list[str]:
    """How many faces were not found before, and how many more after, in each row."""
    lost: dict[tuple[str, str], list[str]] = {}
    several = len({column.judge for table in tables for column in table.columns if column.judge}) > 1
    for row, column, summary in _cells(tables):
        if summary.lost_before or summary.lost_after:
            judge = f" {column.judge}" if several else ""
            counts = f"{column.title}{judge} {summary.lost_before}/{summary.lost_after}"
            lost.setdefault((row.label, column.group.protocol), []).append(counts)
    return [
        f"Faces lost before/after: {label} ({protocol}): {', '.join(counts)}."
        for (label, protocol), counts in lost.items()
    ]


def _failure_notes(records: Sequence[Record], superseded: int) -> list[str]:
    reasons = Counter(
        (record.label, record.reason or "no reason given") for record in records if record.status == "failed"
    )
    notes = [
        f"Failed: {label}, {_plural(count, 'trial')}: {reason}" for (label, reason), count in sorted(reasons.items())
    ]
    if superseded:
        notes.append(f"Left out: {_plural(superseded, 'failure')} of code that was changed and measured later.")
    return notes


def _version_notes(records: Sequence[Record]) -> list[str]:
    names = [name for name in ("guidebench", "numerics", "torch", "python") if any(name in r.versions for r in records)]
    versions = [
        f"{name} {', '.join(sorted({str(r.versions[name]) for r in records if name in r.versions}))}" for name in names
    ]
    commits = sorted(
        {
            record.commit[:12] + ("+dirty" if record.commit.endswith("+dirty") else "")
            for record in records
            if record.commit
        }
    )
    devices = sorted({record.device for record in records})
    notes = f"Made with {', '.join(versions)}" if versions else "Made"
    return [notes + (f", commit {', '.join(commits)}" if commits else "") + f", on {'; '.join(devices)}."]


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
