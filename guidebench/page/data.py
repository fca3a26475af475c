"""What the page shows, as JSON-like data: boards, their rows and cells, everyone's value, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from guidebench import registry
from guidebench.metrics.attacks import METRICS as WORST_CASES
from guidebench.page.boards import Board, conditions, trial_of
from guidebench.page.flags import flags_of, kinds, seen
from guidebench.page.provenance import command_of
from guidebench.reporting import published as claims
from guidebench.reporting.choice import BRIEF
from guidebench.reporting.differences import adjusted_p, better_for, finding, interval, mean_std, number
from guidebench.reporting.formats import cells as shared
from guidebench.reporting.grid import COSTS
from guidebench.reporting.model import Cell, Column, PublishedTable, Row
from guidebench.reporting.plots.style import look_of
from guidebench.reporting.selection import judges_of

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store.folders import StoredRecord
    from guidebench.store.record import Record

SUMMARY = ("recognised_others", "id_others", "id_worst", "recognised_worst", *BRIEF)  # columns that are shown at first
_MORE = 1  # decimals of a single value beyond those of its column

# A trial and a person -> the names of the files of their pictures: photo, before and after, as `bundle` wrote them.
Pictures = Callable[["StoredRecord", str], Mapping[str, Any] | None]


@dataclass
class _Texts:
    """Texts that many trials share, each stored once and named by its place."""

    known: list[Any] = field(default_factory=list)
    places: dict[Hashable, int] = field(default_factory=dict)

    def place(self, text: Any, key: Hashable | None = None) -> int:
        place = self.places.setdefault(text if key is None else key, len(self.known))
        if place == len(self.known):
            self.known.append(text)
        return place


def data_of(
    boards: Sequence[Board],
    pictures: Pictures | None = None,
    *,
    records: bool = False,
    attacked: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Everything that the page shows.

    pictures: where each person's are; None: the page has none. records: whether record.json files lie beside the page.
    attacked: what submitted attacks find, by the key and label of attacked trials.
    """
    metrics = {**registry.known_metrics(), **registry.attack_metrics(_attacks(boards))}
    published = claims.load()
    return {
        "pictures": pictures is not None,
        "records": records,
        "boards": [_board(board, metrics, published, pictures, attacked) for board in boards],
    }


def _attacks(boards: Sequence[Board]) -> list[str]:
    return [run.attack.label for board in boards for item in board.stored.values() for run in item.record.attacks]


def _board(
    board: Board,
    metrics: Mapping[str, Metric],
    published: Sequence[PublishedTable],
    pictures: Pictures | None,
    attacked: Mapping[tuple[str, str], Sequence[str]],
) -> dict[str, Any]:
    report, first = board.report, board.first
    protocol = first.spec.protocol
    cells = {row.label: dict[Column, Cell]() for table in report.tables for row in table.rows}
    rows = {row.label: row for table in report.tables for row in table.rows}
    for table in report.tables:
        for row, column, cell in table.placed():
            cells[row.label][column] = cell
    columns = list(dict.fromkeys(column for table in report.tables for column in table.columns))
    groups = sorted({record.spec.group for row in rows.values() for record in row.records})
    texts = _Texts()
    attacks = {*registry.attack_metrics(_attacks([board])), *(metric.name for metric in WORST_CASES)}
    places = {group: place for place, group in enumerate(groups)}
    writer = _Rows(board, columns, cells, places, texts, pictures, attacked)
    return {
        "name": board.name,
        "testbed": first.spec.testbed,
        "protocol": {"name": protocol.name, "title": protocol.title, "summary": protocol.summary},
        "conditions": conditions(first),
        "caption": report.caption,
        "judges": judges_of(item.record for item in board.stored.values()),
        "against": report.against,
        "people": groups,
        "unit": "person" if all(record.spec.group in record.spec.people for record in _records(rows)) else "group",
        "columns": [_column(column, metrics, _kind(column, attacks)) for column in columns],
        "rows": [writer.row(row) for row in rows.values()],
        "notes": list(report.footnotes + report.tests),
        "weights": {name: digest for record in _records(rows) for name, digest in record.spec.weights.items()},
        "reported": [
            _reported(table, protocol.name, metrics) for table in published if _is_about(table, protocol.name)
        ],
        "texts": texts.known,
    }


def _records(rows: Mapping[str, Row]) -> list[Record]:
    return [record for row in rows.values() for record in row.records]


# Columns ---------------------------------------------------------------------------------------------------------


def _column(column: Column, metrics: Mapping[str, Metric], kind: str) -> dict[str, Any]:
    known = column.different_people
    metric = metrics.get(column.metric)
    return {
        "metric": column.metric,
        "judge": column.judge,
        "title": column.title,
        "arrow": column.arrow,
        "direction": column.direction,
        "digits": column.digits,
        "kind": kind,
        "first": column.metric in SUMMARY,
        "summary": metric.summary if metric else "",
        "unit": metric.unit if metric else "",
        "people": {"mean": known.mean, "std": known.std, "text": shared.different_people(column)} if known else None,
    }


def _kind(column: Column, attacks: Collection[str]) -> str:
    """Which of the page's sets of columns a column belongs to. attacks: the metrics of attacks."""
    if column.metric in COSTS:
        return "cost"
    if column.metric in attacks:
        return "attacks"
    return "identity" if column.judge else "images"


# Rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """Writes the rows of a board."""

    board: Board
    columns: Sequence[Column]
    cells: Mapping[str, Mapping[Column, Cell]]  # by the row's label
    groups: Mapping[str, int]  # place of everybody
    texts: _Texts
    pictures: Pictures | None
    attacked: Mapping[tuple[str, str], Sequence[str]]  # what submitted attacks find, by trial

    def row(self, row: Row) -> dict[str, Any]:
        """A method with its cells and trials."""
        method, own = row.records[0].spec.method, self.cells[row.label]
        against = self.board.report.against
        flags = flags_of(row, own, against)
        places = {column: place for place, column in enumerate(self.columns)}
        reference = self.cells.get(against or "", {})
        trials = [trial_of(record) for record in row.records]
        by = dict.fromkeys(source for trial in trials if (source := self.board.by.get(trial)))
        return {
            "label": row.label,
            "title": row.title,
            "method": row.method,
            "colour": look_of(row.method).colour,
            "mark": row.mark,
            "marks": list(row.marks),
            "notes": [note for note in row.notes if note != "training not seen"],  # a flag
            "floor": method.floor,
            "seen": seen(row),
            "by": [{"name": source.by, "link": source.link, "tuning": source.tuning} for source in by],
            "attacked": list(dict.fromkeys(line for trial in trials for line in self.attacked.get(trial, ()))),
            "doubts": list(kinds(flags)),
            "flags": [
                {"kind": flag.kind, "text": flag.text, "columns": [places[column] for column in flag.columns]}
                for flag in flags
            ],
            "code": {
                "spec": method.spec,
                "class": method.class_name,
                "digest": method.source_digest,
                "preset": method.preset,
                "fields": {name: str(value) for name, value in method.fields.items()},
            },
            "cells": [self._cell(own.get(column), column, reference.get(column)) for column in self.columns],
            "trials": [self._trial(self.board.of(record)) for record in row.records],
        }

    def _cell(self, cell: Cell | None, column: Column, reference: Cell | None) -> dict[str, Any] | None:
        if cell is None or cell.summary is None:
            return None
        summary, digits = cell.summary, column.digits
        contrast = cell.contrast if cell.contrast and cell.contrast.difference.n else None
        data = {
            "text": mean_std(summary, digits),
            "mean": _rounded(summary.mean, digits),
            "interval": interval(summary, digits),
            "n": summary.n,
            "of": summary.groups if summary.groups != summary.n else None,
            "counts": shared.counts(summary),
            "lost": [summary.lost_before, summary.lost_after] if summary.lost_before or summary.lost_after else None,
            "best": cell.best,
            "dagger": bool(contrast and contrast.separated),
            "values": self._values(summary.values, digits),
        }
        if contrast and reference and contrast.difference.mean is not None:
            data["difference"] = number(contrast.difference.mean, digits)
            data["between"] = interval(contrast.difference, digits)
            data["better"] = better_for(contrast.difference)
            data["p"] = adjusted_p(contrast) if contrast.family else ""
            data["finding"] = finding(column, cell, reference)
        return _said(data)

    def _values(self, values: Mapping[str, float], digits: int) -> list[float | None]:
        """In the order of ``groups``."""
        return [_rounded(values.get(group), digits) for group in self.groups]

    def _trial(self, stored: StoredRecord) -> dict[str, Any]:
        record = stored.record
        environment = record.environment
        made = {
            "device": environment.device,
            "commit": environment.commit,
            "versions": dict(environment.versions),
        }
        data = {
            "group": self.groups[record.spec.group],
            "seed": record.spec.seed,
            "key": record.key,
            "digest": record.digest,
            "created": environment.created,
            "command": self.texts.place(command_of(record)),
            "made": self.texts.place(made, repr(made)),
            "path": path_of(stored),
            "failed": record.outcome.reason if not record.is_measured else None,
            "people": list(record.spec.people) if len(record.spec.people) > 1 else None,
            "lacks": self._lacks(record),
            "pictures": self._pictures(stored),
        }
        return _said(data)

    def _lacks(self, record: Record) -> list[list[Any]]:
        """What was not measured, or on fewer faces: column, why there is no value, faces lost after, pairs, person."""
        places = {(column.metric, column.judge): place for place, column in enumerate(self.columns)}
        found: list[list[Any]] = []
        for score in record.outcome.scores:
            place = places.get((score.metric, score.judge))  # a judge without a threshold has no column, but a footnote
            if place is not None and (score.lost_after or score.value is None):
                why = None if score.value is not None else self.texts.place(score.reason or "no reason given")
                whom = [] if score.identity == record.spec.group else [score.identity]
                found.append([place, why, score.lost_after, score.n + score.lost_after, *whom])
        return found

    def _pictures(self, stored: StoredRecord) -> dict[str, Any]:
        """By person."""
        if self.pictures is None:
            return {}
        found = {person: self.pictures(stored, person) for person in stored.record.spec.people}
        return {person: dict(files) for person, files in found.items() if files}


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing: None, False, and what is empty. A zero says something."""
    return {name: value for name, value in data.items() if value or (value == 0 and value is not False)}


def path_of(stored: StoredRecord) -> str:
    """Where a record lies below a results directory, and below the page's folder."""
    parts = stored.path.absolute().parts
    return "/".join(parts[-4:] if stored.record.is_measured else parts[-5:]) + "/record.json"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits + _MORE)


# Published numbers -----------------------------------------------------------------------------------------------


def _is_about(table: PublishedTable, protocol: str) -> bool:
    return any(row.protocol == protocol for row in table.rows)


def _reported(table: PublishedTable, protocol: str, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A published table, cut to a protocol."""
    rows = [row for row in table.rows if row.protocol == protocol]
    names = list(dict.fromkeys(name for row in rows for name in row.claims))
    return {
        "title": table.title,
        "venue": table.venue,
        "link": table.link,
        "citation": table.citation,
        "testbed": table.testbed,
        "judge": table.judge,
        "different": table.different,
        "columns": [metrics[name].title for name in names],
        "rows": [
            {
                "title": row.row,
                "method": row.method,
                "cells": [row.claims[name].printed if name in row.claims else "" for name in names],
            }
            for row in rows
        ],
    }
