"""What all formats share: the text of cells, titles and labels, and which tables a report shows."""

from __future__ import annotations

from guidebench.reporting.differences import TextTable, bca, comparison, differences, interval, matrices, number
from guidebench.reporting.model import Cell, ClaimedTable, Column, Report, Row, Table
from guidebench.reporting.statistics import Summary

DIFFERENT_PEOPLE = "different people"  # the label of their row


def mark(cell: Cell, column: Column, table: Table) -> str:
    """The mark of a row that differs significantly from the reference, where cells show no interval."""
    separated = cell.contrast is not None and cell.contrast.separated
    return "†" if separated and column.group not in table.detailed else ""


def intervals(cell: Cell, column: Column, table: Table) -> list[str]:
    """The intervals of a cell's mean, under the protocols where they are shown."""
    if column.group not in table.detailed:
        return []
    return [text for text in (interval(cell.summary, column.digits), bca(cell.summary, column.digits)) if text]


def coverage(summary: Summary | None) -> str:
    """How many people or groups have a value, where some have none."""
    if summary is None or summary.n == summary.groups:
        return ""
    return f"{summary.n} of {summary.groups}"


def counts(summary: Summary | None) -> str:
    """Of a share that is counted: how many of how many renders, over all people and seeds."""
    return "" if summary is None or summary.hits is None else f"{summary.hits} of {summary.pairs} renders"


def different_people(column: Column, plus_minus: str = " ± ") -> str:
    """The judge's mean and std of different people; blank where it has none."""
    known = column.different_people
    return "" if known is None else plus_minus.join(number(value, column.digits) for value in (known.mean, known.std))


def has_different_people(table: Table) -> bool:
    """Whether a table needs a row for them."""
    return any(column.different_people for column in table.columns)


def judge_count(table: Table) -> int:
    """How many judges have columns."""
    return len({column.judge for column in table.columns if column.judge})


def title(column: Column, judges: int) -> str:
    """The metric with its arrow, and its judge where a table has several."""
    judge = f" ({column.judge})" if column.judge and judges > 1 else ""
    return f"{column.title}{judge} {column.arrow}".rstrip()


def head(column: Column, table: Table) -> str:
    """What tells a column from the others of its table."""
    if table.across == "groups":
        return column.group.title
    return f"after request {column.request}" if table.across == "requests" else title(column, judge_count(table))


def label(row: Row, width: int | None = None) -> str:
    """The row's title, with its marks, floor and ceiling among them. width: so long at most; the title is cut first."""
    marks = ", ".join(mark for mark in (row.mark, *row.marks) if mark)
    behind = f" ({marks})" if marks else ""
    if width is None or len(row.title) + len(behind) <= width:
        return row.title + behind
    if len(behind) >= width - 1 or not row.marks:
        return shortened(row.title + behind, width)
    return shortened(row.title, width - len(behind)) + behind


def label_and_notes(row: Row) -> str:
    """The row's title, marks and notes in one line."""
    rest = "; ".join(part for part in (row.mark, *row.marks, *row.notes) if part)
    return f"{row.title} ({rest})" if rest else row.title


def heading(report: Report) -> str:
    """Where a report was measured."""
    return f"testbed {report.testbed}, conventions {report.conventions}"


def shown(report: Report) -> tuple[Table, ...]:
    """The measured tables; a comparison puts all of them into one of text."""
    return () if report.kind == "compare" else report.tables


def texts(report: Report) -> list[TextTable]:
    """The tables of differences; a table of the paper has marks instead."""
    if report.kind == "compare":
        return comparison(report)
    if report.matrices:
        return matrices(report)
    return differences(report) if report.kind == "full" else []


def claim_note(claimed: ClaimedTable) -> str:
    """Where published numbers come from and what was different."""
    source = claimed.source
    return f"{source.citation}. Testbed {source.testbed}, judge {source.judge}. Different: {source.different}."


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, ending in … if it is cut.

    >>> shortened("extrapolated-adj", 10)
    'extrapola…'
    """
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
