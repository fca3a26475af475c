"""The tables of a paper as data: which columns, which rows, in which order. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper. Floors, and rows that it does not name, are added by the report."""

    name: str  # "table-3"
    title: str
    metrics: tuple[str, ...]  # columns under each protocol; a judged metric has one for each judge
    protocols: tuple[str, ...]  # column groups, in order
    rows: tuple[tuple[str, str], ...] = ()  # label as in records, title shown; in order
    digits: int = 2  # decimals shown
