"""Reports as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from guidebench import text
from guidebench.reporting.differences import TextTable, mean_std
from guidebench.reporting.formats import cells as shared
from guidebench.reporting.formats import compact
from guidebench.reporting.model import Cell, ClaimedTable, Column, Report, Table


def as_markdown(report: Report) -> str:
    """Tables with headings, then the footnotes as a list; of a compact report its table and explanation."""
    if report.is_compact:
        (table,) = report.tables
        notes = [f"{row.title}: {note}." for row in table.rows if (note := compact.notes_on(row, table))]
        lines = [line for note in (*report.footnotes, *notes) for line in compact.wrapped(note)]
        return "\n\n".join([_compact(table), "\n".join(map(escape, lines))])
    parts = [f"*{escape(report.caption)}*"] if report.caption else []
    for table in shared.shown(report):
        parts += [f"### {escape(table.title)} ({shared.heading(report)})", _table(table)]
    parts += [of_text(found) for found in shared.texts(report)]
    parts.append(bullets(report.footnotes + report.tests + report.lost))
    parts += [of_claims(claimed) for claimed in report.claims]
    return "\n\n".join(parts)


def of_text(table: TextTable) -> str:
    """A table of text below its title and sentence, where it has them."""
    head = [f"### {escape(table.title)}"] if table.title else []
    lead = [escape(table.lead)] if table.lead else []
    return "\n\n".join([*head, *lead, text.markdown_table(table.heads, table.rows)])


def of_claims(claimed: ClaimedTable) -> str:
    """A published table under a heading that sets it apart from measured ones."""
    heads = [f"{protocol}: {title}" for (protocol, _), title in zip(claimed.columns, claimed.titles, strict=True)]
    rows = [[name, *(claim.printed if claim else "" for claim in cells)] for name, cells in claimed.rows]
    head = f"### Published, not measured here: {claimed.source.title}"
    return "\n\n".join([head, text.markdown_table(["row", *heads], rows), escape(shared.claim_note(claimed))])


def bullets(lines: Sequence[str]) -> str:
    """A list with one item per line."""
    return "\n".join(f"- {escape(line)}" for line in lines)


def escape(prose: str) -> str:
    """Prose in which nothing is markup, on one line."""
    return " ".join(prose.split()).replace("|", r"\|").replace("<", "&lt;").replace("_", r"\_").replace("*", r"\*")


def _table(table: Table) -> str:
    several = len(table.groups) > 1 and table.across == "metrics"
    heads = [f"{f'{column.group.title}: ' if several else ''}{shared.head(column, table)}" for column in table.columns]
    rows = [
        [
            shared.label_and_notes(row),
            *(_cell(cell, column, table) for cell, column in zip(row.cells, table.columns, strict=True)),
        ]
        for row in table.rows
    ]
    if shared.has_different_people(table):
        known = map(shared.different_people, table.columns)
        rows.append([f"*{shared.DIFFERENT_PEOPLE}*", *(f"*{found}*" if found else "" for found in known)])
    return text.markdown_table(["method", *heads], rows)


def _cell(cell: Cell, column: Column, table: Table) -> str:
    mean = _mean(cell, column) + shared.mark(cell, column, table)
    bracketed = [f"({text})" for text in (shared.counts(cell.summary), shared.coverage(cell.summary)) if text]
    parts = [mean, *shared.intervals(cell, column, table), *bracketed]
    return " ".join(part for part in parts if part)


def _compact(table: Table) -> str:
    """A table whose lines fit 80 characters as rendered: long labels are shortened."""
    heads = [shared.title(column, 1) for column in table.columns]
    rows = []
    for row in table.rows:
        cells = [_mean(cell, column) for cell, column in zip(row.cells, table.columns, strict=True)]
        room = compact.WIDTH - len("|  |") - sum(len(cell.replace("**", "")) + len("  |") for cell in cells)
        rows.append([shared.label(row, room), *cells])
    return text.markdown_table(["method", *heads], rows)


def _mean(cell: Cell, column: Column) -> str:
    mean = mean_std(cell.summary, column.digits)
    return f"**{mean}**" if cell.best else mean
