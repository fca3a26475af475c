"""Reports of one protocol as plain text of at most 80 columns: what a run prints last, and the layout `short`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from guidebench.reporting.differences import NONE, mean_std, number
from guidebench.reporting.formats import cells as shared
from guidebench.reporting.model import Cell, Column, Report, Row, Table
from guidebench.reporting.statistics import Summary
from guidebench.text import aligned

WIDTH = 80  # characters of a line
_WHOLE_LABEL = len("scramble (ceiling)")  # labels up to this length are shown whole where cells can be written closer
_LEAST_LABEL = 10  # characters of the labels before a column has to go


def as_compact_text(report: Report, width: int = WIDTH) -> str:
    """The one table of a report and its explanation. Cells are written closer and long labels shortened where the
    width asks for it, and columns of absurdly long numbers are left out.
    """
    (table,) = report.tables
    title = shared.shortened(f"{table.columns[0].group.title}, {shared.heading(report)}", width)
    explanation = [line for note in report.footnotes for line in wrapped(note, width)]
    return "\n".join([title, "", *_lines(table, report.kind, width), "", *explanation])


def wrapped(note: str, width: int = WIDTH) -> list[str]:
    """A sentence below a compact table, in lines."""
    return textwrap.wrap(note, width, break_on_hyphens=False)


def notes_on(row: Row, table: Table) -> str:
    """What is special about a row: failures, fewer people, columns with fewer values; often nothing."""
    fewer = [
        f"{column.title}: n = {cell.summary.n}"
        for cell, column in zip(row.cells, table.columns, strict=True)
        if cell.summary and 0 < cell.summary.n < _count(row)
    ]
    return "; ".join([*row.notes, *fewer])


def _lines(table: Table, kind: str, width: int) -> list[str]:
    heads = ["method", "n", *(shared.title(column, 1) for column in table.columns)]
    cells = [
        [str(_count(row)), *(_cell(cell, column, kind) for cell, column in zip(row.cells, table.columns, strict=True))]
        for row in table.rows
    ]
    longest = max(len(shared.label(row)) for row in table.rows)
    shown, gap, room = _fit(heads, cells, longest, width)
    if room < min(longest, _WHOLE_LABEL):
        cells = [[re.sub(" ?± ?", "±", cell) for cell in own] for own in cells]
        shown, gap, room = _fit(heads, cells, longest, width)
    rows = [[shared.label(row, room), *own[: shown - 1]] for row, own in zip(table.rows, cells, strict=True)]
    head, *lines = aligned([heads[:shown], *rows], gap=gap, left=1)
    rule = "-" * max(map(len, (head, *lines)))
    text = [head, rule]
    for before, row, line in zip((None, *table.rows), table.rows, lines, strict=False):
        text += [rule] if before and row.section != before.section else []
        text.append(line)
        if note := notes_on(row, table):
            text.append(shared.shortened(f"  {note}", width))
    return text


def _fit(heads: Sequence[str], cells: Sequence[Sequence[str]], longest: int, width: int) -> tuple[int, int, int]:
    """How many columns fit, with which gap, and how much room that leaves for labels. longest: of the labels."""
    widths = [max(map(len, column)) for column in zip(heads[1:], *cells, strict=True)]
    for shown in range(len(heads), 2, -1):
        for gap in (2, 1):
            room = width - sum(widths[: shown - 1]) - gap * (shown - 1)
            if room >= (longest if gap == 2 else _LEAST_LABEL):
                return shown, gap, min(room, max(longest, len(heads[0])))
    return 2, 1, width - widths[0] - 1


def _count(row: Row) -> int:
    return max((cell.summary.n for cell in row.cells if cell.summary), default=0)


def _cell(cell: Cell, column: Column, kind: str) -> str:
    """Mean ± std in a short table, mean ± half the interval and the mark of a test at the end of a run."""
    if cell.summary is None or cell.summary.mean is None:
        return "" if cell.summary is None else f"{NONE} "
    if kind == "short":
        return mean_std(cell.summary, column.digits) + ("*" if cell.best else " ")
    mark = "†" if cell.contrast and cell.contrast.separated else " "
    return f"{_in_short(cell.summary.mean, column.digits)}{_half_width(cell.summary, column.digits)}{mark}"


def _half_width(summary: Summary, digits: int) -> str:
    """Shown from three groups on, as `differences.interval` is."""
    if summary.low is None or summary.high is None or summary.n < 3:
        return ""
    return f" ±{_in_short((summary.high - summary.low) / 2, digits)}"


def _in_short(value: float, digits: int) -> str:
    """Without decimals from 100 on."""
    return number(value, 0 if abs(value) >= 100 else digits)
