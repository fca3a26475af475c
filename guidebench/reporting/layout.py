"""From records to tables: rows, columns and cells. Content is decided first, then tables are built once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guidebench.errors import BadInput
from guidebench.reporting import footnotes, scenarios
from guidebench.reporting.best import best_rows
from guidebench.reporting.choice import Choice
from guidebench.reporting.grid import COSTS, NEEDED, Grid, unique_labels
from guidebench.reporting.marks import mark_notes, marks_of
from guidebench.reporting.model import (
    Cell,
    Column,
    Contrast,
    Family,
    Group,
    PublishedTable,
    Report,
    Row,
    Table,
)
from guidebench.reporting.published import claimed_tables
from guidebench.reporting.scores import from_records
from guidebench.reporting.selection import Variant, by_variant, groups_of, judges_of
from guidebench.reporting.significance import Place, contrasts
from guidebench.reporting.sketches import Sketch, full, paper
from guidebench.reporting.statistics import Paired, Summary

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store.folders import StoredRecord
    from guidebench.store.record import Record

FLOOR_MARKS = {"nothing": "floor", "scramble": "ceiling", "oracle": "knows the truth"}
DEFAULT_AGAINST = "mean-latent"


@dataclass(frozen=True)
class _Decisions:
    """The content of all cells, and which tests were made."""

    summaries: Mapping[tuple[Variant, Column], Summary | None]
    contrasts: Mapping[Place, Contrast]
    families: Sequence[Family]
    best: Mapping[Column, set[str]]  # labels of rows

    @property
    def answered(self) -> set[Group]:
        """The protocols under which a test has enough groups, so that marks can replace intervals."""
        tested = self.contrasts.items()
        return {column.group for (_, column), contrast in tested if contrast.p and not contrast.too_small}


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
    against: label or name of the row that others are compared with; None: the table's own reference, else mean-latent
    where it was measured. superseded, unreadable: what was left out, for the footnotes. Raises BadInput if ``against``
    names no row or several.
    """
    if choice.protocols is not None:
        records = [item for item in records if item.record.spec.protocol.name in choice.protocols]
    plain = [stored.record for stored in records]
    reference = None if choice.kind == "short" else _reference(plain, against, choice.against)
    if choice.kind == "compare":
        records = _shared(records, reference)
        plain = [stored.record for stored in records]
    shown = choice.table.metrics if choice.table else [*metrics]  # evidence is read for no other
    frame = from_records(
        records,
        {name: metrics[name] for name in shown if name in metrics},
        only=shown if choice.table else None,
        columns=NEEDED if choice.table else (*NEEDED, *COSTS),
        categories=True,
    )
    grid = Grid(plain, frame, choice.table, reference)
    sketches = _sketches(plain, grid, metrics, choice)
    decided = _decide(grid, sketches, judges_of(plain), wilcoxon=choice.kind == "full")
    if choice.kind == "compare" and not any(found.difference.n for found in decided.contrasts.values()):
        names = " and ".join(sorted(grid.labels.values()))
        raise BadInput(f"{names} have values for no person and seed in common; `guidebench scores` lists all values")
    marked = set(groups_of(plain)) if choice.is_compact else decided.answered if choice.has_marks else set()
    tables = tuple(_table(grid, sketch, decided, marked) for sketch in sketches)
    first = plain[0]
    report = Report(
        kind=choice.kind,
        layout=choice.name,
        testbed=first.spec.testbed,
        conventions=first.spec.protocol.conventions,
        caption=first.instrument.caption,
        tables=tables,
        against=grid.labels[reference] if reference else None,
        families=tuple(decided.families),
        claims=tuple(claimed_tables(claims, plain, metrics, choice.name)),
        people={record.spec.protocol.name: record.spec.protocol.people for record in plain},
        matrices=tuple(scenarios.matrices(plain, grid, metrics)) if choice.kind == "sequence" else (),
    )
    if choice.is_compact:
        return replace(report, footnotes=(footnotes.in_short(plain, report), *mark_notes(tables)))
    return replace(
        report,
        footnotes=tuple(footnotes.notes(plain, report, superseded, unreadable)),
        tests=tuple(footnotes.test_notes(report, choice.against or DEFAULT_AGAINST)),
        lost=tuple(footnotes.lost_notes(tables)),
    )


def _reference(records: Sequence[Record], against: str | None, of_table: str | None) -> Variant | None:
    """The row to compare with: of this label, with or without its code, or else the only one of a method of this name.

    of_table: the label of the row that the table itself names; no other setting of that method replaces it.
    """
    variants = by_variant(records)
    wanted = against or of_table or DEFAULT_AGAINST
    found = [variant for variant in variants if wanted in variant.names]
    if not found and wanted != of_table:
        found = [variant for variant in variants if variant.method == wanted]
    if len(found) == 1:
        return found[0]
    if against is None:
        return None
    if found:
        labels = ", ".join(sorted(unique_labels(found).values()))
        raise BadInput(f"'{against}' names {len(found)} rows ({labels}); name one, or report each by itself")
    known = sorted({variant.label for variant in variants})
    close = difflib.get_close_matches(against, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    raise BadInput(f"no row '{against}' to compare with{hint} the records hold {', '.join(known)}")


def _shared(records: Sequence[StoredRecord], reference: Variant | None) -> list[StoredRecord]:
    """The records of the protocols that the reference and the one method beside it were both run under."""
    rows = by_variant(item.record for item in records)
    others = rows.keys() - {reference}
    if len(others) != 1:
        labels = ", ".join(sorted(unique_labels(list(others)).values()))
        raise BadInput(
            f"a comparison needs one method beside the reference, got {len(others)} ({labels}); name its label"
        )
    other = others.pop()
    if all(record.spec.method.floor for record in rows[other]):
        raise BadInput(f"'{other.label}' is a floor or ceiling, which is not tested; name a method first")
    names = [
        {record.spec.protocol.name for variant, own in rows.items() if variant == one for record in own}
        for one in (reference, other)
    ]
    if not names[0] & names[1]:
        said = " and ".join(", ".join(sorted(own)) for own in names)
        raise BadInput(f"the two methods were run under different protocols: {said}; run both under one")
    return [item for item in records if item.record.spec.protocol.name in names[0] & names[1]]


def _sketches(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric], choice: Choice) -> list[Sketch]:
    if choice.table:
        return [paper(records, grid, metrics, choice)]
    made = {"scenario": scenarios.by_people, "sequence": scenarios.by_request}.get(choice.kind, full)
    return made(records, grid, metrics)


# Content of cells -----------------------------------------------------------------------------------------------


def _decide(grid: Grid, sketches: Sequence[Sketch], judges: Sequence[str], *, wilcoxon: bool) -> _Decisions:
    summaries = {
        (variant, column): grid.summary(variant, column)
        for sketch in sketches
        for variant in sketch.variants
        for column in sketch.columns
    }
    tested, families = contrasts(_differences(grid, summaries), _compared(grid, summaries), judges, wilcoxon=wilcoxon)
    best = {column: _best(grid, sketch, summaries, column) for sketch in sketches for column in sketch.columns}
    return _Decisions(summaries, tested, families, best)


def _differences(grid: Grid, cells: Iterable[tuple[Variant, Column]]) -> dict[Place, Paired]:
    found = {(grid.labels[variant], column): grid.difference(variant, column) for variant, column in cells}
    return {place: difference for place, difference in found.items() if difference}


def _compared(grid: Grid, summaries: Mapping[tuple[Variant, Column], Summary | None]) -> list[Place]:
    """All places of the rows that are compared under a protocol: measured there, no floor, and not the reference."""
    measured = {(variant, column.group) for (variant, column), summary in summaries.items() if summary}
    return [
        (grid.labels[variant], column)
        for variant, column in summaries
        if (variant, column.group) in measured and variant != grid.reference and not grid.is_floor(variant)
    ]


def _best(
    grid: Grid, sketch: Sketch, summaries: Mapping[tuple[Variant, Column], Summary | None], column: Column
) -> set[str]:
    rivals = [variant for variant in sketch.variants if not grid.is_floor(variant)]
    tied = {grid.labels[variant]: grid.tied(variant, column) for variant in rivals} if column.tie is not None else {}
    return best_rows(column, {grid.labels[variant]: summaries[variant, column] for variant in rivals}, tied)


# Tables ----------------------------------------------------------------------------------------------------------


def _table(grid: Grid, sketch: Sketch, decided: _Decisions, marked: set[Group]) -> Table:
    """marked: the protocols under which cells show marks instead of intervals."""
    groups = list(dict.fromkeys(column.group for column in sketch.columns))
    notes, own = _row_notes(sketch.records, groups), by_variant(sketch.records)
    rows = tuple(
        Row(
            label=grid.labels[variant],
            title=grid.title(variant),
            method=variant.method,
            mark=FLOOR_MARKS.get(variant.method, "floor") if grid.is_floor(variant) else "",
            section=grid.section(variant),
            notes=notes[variant],
            cells=tuple(_cell(variant, grid.labels[variant], column, decided) for column in sketch.columns),
            marks=marks_of(own.get(variant, ())),
            records=tuple(own.get(variant, ())),
        )
        for variant in sketch.variants
    )
    return Table(sketch.title, sketch.columns, rows, frozenset(groups) - marked, sketch.across)


def _cell(variant: Variant, label: str, column: Column, decided: _Decisions) -> Cell:
    return Cell(
        decided.summaries[variant, column],
        best=label in decided.best[column],
        contrast=decided.contrasts.get((label, column)),
    )


def _row_notes(records: Sequence[Record], groups: Sequence[Group]) -> dict[Variant, tuple[str, ...]]:
    """What is said beside each row of these records."""
    everybody: dict[Group, set[str]] = {
        group: {record.spec.group for record in records if record.spec.protocol.name == group.protocol}
        for group in groups
    }
    presets = any(record.spec.method.preset for record in records)
    return {variant: _notes(own, everybody, presets) for variant, own in by_variant(records).items()}


def _notes(own: Sequence[Record], everybody: Mapping[Group, set[str]], presets: bool) -> tuple[str, ...]:
    """Failed trials, fewer people than other rows, class defaults where others have a preset, unseen training.

    own: a row's records. everybody: whom any row forgets under a protocol. presets: whether any row has a preset.
    """
    said: dict[str, list[str]] = {}
    for group, people in everybody.items():
        here = [record for record in own if record.spec.protocol.name == group.protocol]
        failed = sum(not record.is_measured for record in here)
        if failed:
            said.setdefault(f"{failed} of {len(here)} failed", []).append(group.title)
        run = {record.spec.group for record in here}
        if here and len(run) < len(people):
            unit = footnotes.unit_of(here)
            said.setdefault(f"{len(run)} of {len(people)} {unit}", []).append(group.title)
    notes = [text if len(where) == len(everybody) else f"{', '.join(where)}: {text}" for text, where in said.items()]
    method = own[0].spec.method
    trained = not method.floor and method.training_seen and footnotes.rates_of(own[0])
    if trained and presets and not method.preset:
        notes.append(f"no preset for {own[0].spec.testbed}: class defaults")
    if not method.training_seen:
        notes.append("training not seen")
    return tuple(notes)
