"""Marks on rows: what a reader of a row must know before believing it, from `Outcome.marks` of its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from guidebench.reporting.model import Table

if TYPE_CHECKING:
    from guidebench.store.record import Record

WORDS: Mapping[str, str] = {
    "wrapper": (
        "the returned generator is not the original's class, or carries more than its weights: it decides at "
        "rendering time"
    ),
    "memorised": ("public and secret samples differ by more than chance: the method may know the evaluation's codes"),
    "in process": "ran in the process that judged it",
    "one by one": (
        "does not support what the protocol asks, and was applied once per person, each time on the generator of before"
    ),
}


def marks_of(records: Iterable[Record]) -> tuple[str, ...]:
    """The marks of a row: of any of its records, those of `WORDS` first and in their order."""
    found = {mark for record in records for mark in record.outcome.marks}
    return (*(mark for mark in WORDS if mark in found), *sorted(found - WORDS.keys()))


def mark_notes(tables: Sequence[Table]) -> list[str]:
    """One footnote per mark: whose it is and what it means."""
    rows: dict[str, list[str]] = {}
    for table in tables:
        for row in table.rows:
            for mark in row.marks:
                rows.setdefault(mark, []).append(row.title)
    return [
        f"{mark} ({', '.join(dict.fromkeys(titles))}): {WORDS.get(mark, 'see docs/records.md')}."
        for mark, titles in rows.items()
    ]
