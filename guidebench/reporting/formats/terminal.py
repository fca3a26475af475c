"""Reports as aligned plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from guidebench.reporting.differences import TextTable, mean_std
from guidebench.reporting.formats import cells as shared
from guidebench.reporting.model import Cell, Claim, ClaimedTable, Column, Report, Row, Table
from guidebench.text import aligned

WIDTH = 120  # characters of a terminal line
Lines = list[str]  # the lines of one cell
_LABEL_WIDTH = 26


def as_text(report: Report, width: int = WIDTH) -> str:
    """Aligned plain text of at most ``width`` columns: mean ± std, and below it the interval, coverage, lost faces.

    A table that is too wide goes on in further blocks, a protocol starts a new one. Bold is an asterisk. A method
    without a trial under a protocol is left out of that protocol's blocks.
    """
    parts = [shared.heading(report)]
    parts += [textwrap.fill(report.caption, width)] if report.caption else []
    for table in shared.shown(report):
        shown = set()
        for places in chunks(table, width):
            group = table.columns[places[0]].group
            parts.append(_block(table, table.title + (" (continued)" if group in shown else ""), places))
            shown.add(group)
    parts += [_of_text(found, width) for found in shared.texts(report)]
    parts.append("\n".join(_wrapped(note, width) for note in report.footnotes + report.tests))
    for claimed in report.claims:
        parts.append(_claims(claimed, width))
    return "\n\n".join(parts)


def _of_text(text: TextTable, width: int) -> str:
    rows = [text.heads, *text.rows]
    widths = _fitting(rows, width)
    lines = []
    for row in rows:
        cells = [_wrap(cell, size) for cell, size in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = [f"{part:>{size}}" for part, size in zip(parts[1:], widths[1:], strict=True)]
            lines.append("  ".join([f"{parts[0]:<{widths[0]}}", *padded]).rstrip())
        lines += ["-" * (sum(widths) + 2 * (len(widths) - 1))] if row is text.heads else []
    return "\n".join([text.title, *_wrap(text.lead, width), *lines])


def _fitting(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths of columns that fit beside each other, cut where it costs the fewest lines; no word is cut."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(len(word) for cell in column for word in [*cell.split(), ""]) for column in columns]

    def lines(place: int) -> tuple[int, int]:
        cut = [size - (number == place) for number, size in enumerate(widths)]
        height = sum(max(len(_wrap(cell, size)) for cell, size in zip(row, cut, strict=True)) for row in rows)
        return height, -widths[place]

    while sum(widths) + 2 * (len(widths) - 1) > width:
        narrower = [place for place in range(len(widths)) if widths[place] > least[place]]
        if not narrower:
            break
        widths[min(narrower, key=lines)] -= 1
    return widths


def _wrap(text: str, width: int) -> Lines:
    return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def _wrapped(note: str, width: int) -> str:
    """A footnote as an item of a list."""
    return "\n  ".join(_wrap(f"- {note}", width - 2))


def chunks(table: Table, width: int) -> list[list[int]]:
    """Places of the columns that fit beside each other; a block never holds two protocols."""
    chunks: list[list[int]] = []
    room = 0
    for place, column in enumerate(table.columns):
        needed = 2 + column_width(column_lines(table, place))
        other = chunks and table.across != "groups" and table.columns[chunks[-1][-1]].group != column.group
        if not chunks or needed > room or other:
            chunks.append([])
            room = width - label_width(table)
        chunks[-1].append(place)
        room -= needed
    return chunks


def column_lines(table: Table, place: int) -> list[Lines]:
    """Header, a cell per row, and the different-people line of one column."""
    column = table.columns[place]
    judges = shared.judge_count(table)
    head = [f"{column.title} {column.arrow}".rstrip()] + ([column.judge] if column.judge and judges > 1 else [])
    if table.across != "metrics":
        head = [shared.head(column, table)]
    cells = [_cell(row.cells[place], column, table) for row in table.rows]
    return [head, *cells, [shared.different_people(column)]]


def _cell(cell: Cell, column: Column, table: Table) -> Lines:
    summary = cell.summary
    lines = [mean_std(summary, column.digits) + shared.mark(cell, column, table) + ("*" if cell.best else " ")]
    lines += [f"{line} " for line in shared.intervals(cell, column, table)]
    lines += [f"{line} " for line in (shared.counts(summary), shared.coverage(summary)) if line]
    if summary is not None and (summary.lost_before or summary.lost_after):
        lines.append(f"lost {summary.lost_before}/{summary.lost_after} ")
    return lines


def column_width(lines: Sequence[Lines]) -> int:
    """The longest line of `column_lines`."""
    return max(len(line) for cell in lines for line in cell)


def label_width(table: Table) -> int:
    """Room for labels, their notes and n."""
    longest = max(len(line) for row in table.rows for line in _label(row))
    return max(longest, len(shared.DIFFERENT_PEOPLE)) + 4  # and room for n


def _label(row: Row) -> Lines:
    return [line for text in (shared.label(row), *row.notes) for line in textwrap.wrap(text, _LABEL_WIDTH)]


def _block(table: Table, title: str, places: Sequence[int]) -> str:
    columns = [column_lines(table, place) for place in places]
    widths = [column_width(lines) for lines in columns]
    room = label_width(table)
    group = table.columns[places[0]].group
    heading = title if group.title in title or table.across == "groups" else f"{title}: {group.title}"
    rule = "-" * (room + sum(2 + column for column in widths))

    def line(label: str, count: str, cells: Sequence[str]) -> str:
        padded = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
        return f"{label:<{room - 4}}{count:>4}{padded}".rstrip()

    def lines(label: Lines, count: str, cells: Sequence[Lines]) -> Lines:
        spread = list(zip_longest(label, [count], *cells, fillvalue=""))
        return [line(first, second, rest) for first, second, *rest in spread]

    text = [heading, rule, *lines(["method"], "n", [column[0] for column in columns]), rule]
    section = None
    for place, row in enumerate(table.rows, start=1):
        summaries = [row.cells[number].summary for number in places]
        if any(summaries) or row.notes:
            text += [rule] if section not in (None, row.section) else []
            section = row.section
            n = max((summary.n for summary in summaries if summary), default=0)
            text += lines(_label(row), str(n), [column[place] for column in columns])
    if any(table.columns[place].different_people for place in places):
        text += [rule, *lines([shared.DIFFERENT_PEOPLE], "", [column[-1] for column in columns])]
    return "\n".join([*text, rule])


def _claims(claimed: ClaimedTable, width: int) -> str:
    """Published numbers, a block per protocol."""
    lines = [f"Published, not measured here: {claimed.source.title}"]
    for protocol in dict.fromkeys(protocol for protocol, _ in claimed.columns):
        places = [place for place, column in enumerate(claimed.columns) if column[0] == protocol]
        rows = [(name, *(_printed(cells[place]) for place in places)) for name, cells in claimed.rows]
        heads = (protocol, *(claimed.titles[place] for place in places))
        lines += aligned([heads, *(row for row in rows if any(row[1:]))], left=1)
    return "\n".join([*lines, _wrapped(shared.claim_note(claimed), width)])


def _printed(claim: Claim | None) -> str:
    return claim.printed if claim else ""
