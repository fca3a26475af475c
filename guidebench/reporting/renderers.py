"""Reports as text: markdown, LaTeX, CSV, JSON and aligned plain text. What is said is decided in `layout`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from guidebench.reporting.differences import NONE, TextTable, bca, comparison, differences, interval, mean_std, number
from guidebench.reporting.model import Cell, ClaimedTable, Column, Contrast, Report, Row, Table
from guidebench.reporting.statistics import Summary

WIDTH = 120  # characters of a terminal line
STRANGERS = "different people"


# Cells ------------------------------------------------------------------------------------------------------


def exact(value: float | None) -> float | None:
    """Ten significant digits: more than any measurement has, fewer than platforms disagree about."""
    return None if value is None else float(f"{value:.10g}")


def _mark(cell: Cell, column: Column, table: Table) -> str:
    """Where cells show no interval, a mark says that a row differs from the reference."""
    separated = cell.contrast is not None and cell.contrast.separated
    return "†" if separated and column.group not in table.detailed else ""


def _intervals(cell: Cell, column: Column, table: Table) -> list[str]:
    """The intervals of a cell's mean, under the protocols where they are shown."""
    if column.group not in table.detailed:
        return []
    return [text for text in (interval(cell.summary, column.digits), bca(cell.summary, column.digits)) if text]


def _coverage(summary: Summary | None) -> str:
    """How many identities have a value, where some have none."""
    if summary is None or summary.n == summary.identities:
        return ""
    return f"{summary.n} of {summary.identities}"


def _strangers(column: Column, plus_minus: str = " ± ") -> str:
    if column.strangers is None:
        return ""
    return plus_minus.join(number(value, column.digits) for value in column.strangers)


def _has_strangers(table: Table) -> bool:
    return any(column.strangers for column in table.columns)


def _judge_count(table: Table) -> int:
    return len({column.judge for column in table.columns if column.judge})


def _title(column: Column, judges: int) -> str:
    """The metric with its arrow, and its judge where a table has several."""
    judge = f" ({column.judge})" if column.judge and judges > 1 else ""
    return f"{column.title}{judge} {column.arrow}".rstrip()


def _label(row: Row) -> str:
    return f"{row.title} ({row.mark})" if row.mark else row.title


def _label_and_notes(row: Row) -> str:
    rest = "; ".join(part for part in (row.mark, *row.notes) if part)
    return f"{row.title} ({rest})" if rest else row.title


def _heading(report: Report) -> str:
    return f"testbed {report.testbed}, conventions {report.conventions}"


# Markdown ---------------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """GitHub-flavoured markdown: a table each, footnotes as a list."""
    parts = [f"*{_markdown_text(report.caption)}*"] if report.caption else []
    for table in _shown(report):
        parts += [f"### {_markdown_text(table.title)} ({_heading(report)})", _markdown_table(table)]
    parts += [markdown_table(text) for text in _texts(report)]
    parts.append(markdown_list(report.footnotes + report.tests + report.lost))
    parts += [markdown_claims(claimed) for claimed in report.claims]
    return "\n\n".join(parts)


def markdown_table(text: TextTable) -> str:
    """A table of text below its title and sentence, where it has them."""
    head = [f"### {_markdown_text(text.title)}"] if text.title else []
    lead = [_markdown_text(text.lead)] if text.lead else []
    return "\n\n".join([*head, *lead, _pipes([text.heads, *text.rows])])


def markdown_list(lines: Sequence[str]) -> str:
    """An item a line."""
    return "\n".join(f"- {_markdown_text(line)}" for line in lines)


def _shown(report: Report) -> tuple[Table, ...]:
    """The measured tables; a comparison says all of them in one."""
    return () if report.kind == "compare" else report.tables


def _texts(report: Report) -> list[TextTable]:
    """What is said of differences; in a table of the paper a mark says it."""
    if report.kind == "compare":
        return comparison(report)
    return differences(report) if report.kind == "full" else []


def _markdown_table(table: Table) -> str:
    judges, several = _judge_count(table), len(table.groups) > 1
    heads = [f"{f'{column.group.title}: ' if several else ''}{_title(column, judges)}" for column in table.columns]
    rows = [["method", *heads]]
    for row in table.rows:
        cells = [_markdown_cell(cell, column, table) for cell, column in zip(row.cells, table.columns, strict=True)]
        rows.append([_label_and_notes(row), *cells])
    if _has_strangers(table):
        rows.append(
            [f"*{STRANGERS}*", *(f"*{_strangers(column)}*" if column.strangers else "" for column in table.columns)]
        )
    return _pipes(rows)


def _markdown_cell(cell: Cell, column: Column, table: Table) -> str:
    text = mean_std(cell.summary, column.digits)
    text = (f"**{text}**" if cell.best else text) + _mark(cell, column, table)
    coverage = _coverage(cell.summary)
    return " ".join(
        [*([text] if text else []), *_intervals(cell, column, table), *([f"({coverage})"] if coverage else [])]
    )


def markdown_claims(claimed: ClaimedTable) -> str:
    """A published table under a heading that says that it was not measured here."""
    heads = [f"{protocol}: {title}" for (protocol, _), title in zip(claimed.columns, claimed.titles, strict=True)]
    rows = [["row", *heads]]
    rows += [[name, *(claim.printed if claim else "" for claim in cells)] for name, cells in claimed.rows]
    head = f"### Published, not measured here: {claimed.source.title}"
    return "\n\n".join([head, _pipes(rows), _markdown_text(_claim_note(claimed))])


def _claim_note(claimed: ClaimedTable) -> str:
    source = claimed.source
    return f"{source.citation}. Testbed {source.testbed}, judge {source.judge}. Different: {source.different}."


def _markdown_text(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;").replace("_", r"\_").replace("*", r"\*")


def _pipes(rows: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", r"\|").replace("<", "&lt;").replace("_", r"\_") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in escaped]
    return "\n".join([lines[0], "|---" + "|---:" * (len(rows[0]) - 1) + "|", *lines[1:]])


# LaTeX ------------------------------------------------------------------------------------------------------

_LATEX = {
    "\\": r"\textbackslash{}",
    **{symbol: "\\" + symbol for symbol in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "°": r"$^\circ$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "−": "$-$",
    "→": r"$\to$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "Σ": r"$\Sigma$",
    "σ": r"$\sigma$",
    "²": r"$^2$",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "†": r"$^\dagger$",
    "`": "'",
    "’": "'",
    "“": "``",
    "”": "''",
    "[": "{[}",  # not the argument of a line break
    "]": "{]}",
}
_LATIN = range(0xC0, 0x180)  # accented letters, which every LaTeX reads


def escape(text: str) -> str:
    """``text`` as LaTeX that compiles; a character outside Latin and the table becomes its code point."""
    letters = "".join(_LATEX.get(char) or _latex_letter(char) for char in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", letters)  # two hyphens would become a dash


def _latex_letter(char: str) -> str:
    if char.isascii() or ord(char) in _LATIN:
        return char if char.isprintable() else " "
    return rf"\texttt{{U+{ord(char):04X}}}"


_PAGE = 134  # characters in small print across two columns; further columns go on in floats of their own
_STACK = r"\guidebenchstack"
_LATEX_STACK = rf"\providecommand{{{_STACK}}}[2][c]{{\begin{{tabular}}[t]{{@{{}}#1@{{}}}}#2\end{{tabular}}}}"


def latex(report: Report) -> str:
    """Floating tables in the paper's layout; needs \\usepackage{booktabs} and nothing else."""
    parts = [r"% needs \usepackage{booktabs}" + "\n" + _LATEX_STACK]
    tables, texts = _shown(report), _texts(report)
    notes = report.footnotes + report.tests + report.lost
    for place, table in enumerate(tables):
        parts.append(_latex_table(table, report, notes if place == len(tables) - 1 and not texts else ()))
    for place, text in enumerate(texts):
        parts.append(_latex_text(text, report, notes if place == len(texts) - 1 else ()))
    parts += [_latex_claims(claimed) for claimed in report.claims]
    return "\n\n".join(parts)


def _latex_table(table: Table, report: Report, notes: Sequence[str]) -> str:
    """One float, or several where the columns do not fit beside each other; the notes stand in the last."""
    widths = [2 + _column_width(_column_lines(table, place)) for place in range(len(table.columns))]
    fits = _label_width(table) + sum(widths) <= _PAGE
    blocks = [list(range(len(table.columns)))] if fits else _chunks(table, _PAGE)
    caption = f"{escape(table.title)} ({escape(_heading(report))}). {escape(report.caption)}".strip()
    floats = []
    for places in blocks:
        last = places is blocks[-1]
        floats.append(_latex_block(table, places, caption, notes if last else ()))
        caption = f"{escape(table.title)} (continued)."
    return "\n\n".join(floats)


def _latex_block(table: Table, places: Sequence[int], caption: str, notes: Sequence[str]) -> str:
    """A float of some columns."""
    body = []
    for before, row in zip((None, *table.rows), table.rows, strict=False):
        body += [r"\midrule"] if before and row.section != before.section else []
        body.append(_latex_row(row, table, places))
    columns = [table.columns[place] for place in places]
    if any(column.strangers for column in columns):
        cells = (f"${_strangers(column, chr(92) + 'pm ')}$" if column.strangers else "" for column in columns)
        body += [r"\midrule", rf"\textit{{{STRANGERS}}} & " + " & ".join(cells) + r" \\"]
    heads = [_latex_head(column, _judge_count(table)) for column in columns]
    groups = dict.fromkeys(column.group for column in columns)
    spans = [(group.title, sum(column.group == group for column in columns)) for group in groups]
    return _latex_float(caption, "method", spans, heads, body, notes)


def _latex_head(column: Column, judges: int) -> str:
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}.get(column.direction, "")
    judge = rf"\\{{\scriptsize {escape(column.judge)}}}" if column.judge and judges > 1 else ""
    return rf"{_STACK}{{{column.latex}{arrow}{judge}}}" if judge else column.latex + arrow


def _latex_row(row: Row, table: Table, places: Sequence[int]) -> str:
    label = escape(_label(row))
    if row.notes:
        notes = r"\\".join(rf"{{\scriptsize {escape(note)}}}" for note in row.notes)
        label = rf"{_STACK}[l]{{{label}\\{notes}}}"
    cells = [_latex_cell(row.cells[place], table.columns[place], table) for place in places]
    return " & ".join([label, *cells]) + r" \\[4pt]"


def _latex_cell(cell: Cell, column: Column, table: Table) -> str:
    text = mean_std(cell.summary, column.digits, r" \pm ")
    if text in ("", NONE):
        text = "--" if text else ""
    else:
        mark = r"^\dagger" if _mark(cell, column, table) else ""
        text = rf"$\mathbf{{{text}}}{mark}$" if cell.best else f"${text}{mark}$"
    small = [escape(line) for line in (*_intervals(cell, column, table), _coverage(cell.summary)) if line]
    lines = [text, *(rf"{{\scriptsize {line}}}" for line in small)]
    return text if len(lines) == 1 else rf"{_STACK}{{{(chr(92) * 2).join(lines)}}}"


def _latex_text(text: TextTable, report: Report, notes: Sequence[str]) -> str:
    body = [" & ".join(escape(_with_minus(cell)) for cell in row) + r" \\" for row in text.rows]
    heads = [escape(head) for head in text.heads]
    caption = f"{escape(text.title)} ({escape(_heading(report))}). {escape(text.lead)}".strip()
    return _latex_float(caption, heads[0], [], heads[1:], body, notes)


def _with_minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def _latex_claims(claimed: ClaimedTable) -> str:
    protocols = list(dict.fromkeys(protocol for protocol, _ in claimed.columns))
    spans = [(name, sum(protocol == name for protocol, _ in claimed.columns)) for name in protocols]
    body = []
    for name, cells in claimed.rows:
        texts = [f"${claim.printed.replace('±', chr(92) + 'pm')}$" if claim else "" for claim in cells]
        body.append(" & ".join([escape(name), *texts]) + r" \\")
    caption = f"Published, not measured here: {escape(claimed.source.title)}."
    return _latex_float(caption, "row", spans, list(claimed.latex), body, [_claim_note(claimed)])


def _latex_float(
    caption: str,
    corner: str,
    spans: Sequence[tuple[str, int]],
    heads: Sequence[str],
    body: Sequence[str],
    notes: Sequence[str],
) -> str:
    groups, rules, start = [], [], 2
    for title, width in spans:
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(title)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    lines = [
        r"\begin{table*}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'c' * len(heads)}}}",
        r"\toprule",
        *([" & ".join(["", *groups]) + r" \\", "".join(rules)] if groups else []),
        " & ".join([corner, *heads]) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if notes:
        text = r"\\".join(escape(note) for note in notes)
        lines += [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\raggedright\scriptsize {text}}}"]
    return "\n".join([*lines, r"\end{table*}"])


# CSV and JSON -----------------------------------------------------------------------------------------------

CSV_COLUMNS = (
    *(
        "origin",
        "table",
        "testbed",
        "conventions",
        "protocol",
        "method",
        "label",
        "mark",
        "metric",
        "judge",
        "direction",
    ),
    *("mean", "std", "ci95_low", "ci95_high", "identities_with_value", "identities_scored", "scores_without_value"),
    *(
        "bca95_low",
        "bca95_high",
        "pairs",
        "lost_before",
        "lost_after",
        "strangers_mean",
        "strangers_std",
        "best",
        "notes",
    ),
    *("against", "difference", "difference_std", "difference_ci95_low", "difference_ci95_high"),
    *("difference_bca95_low", "difference_bca95_high", "effect", "identities_paired", "identities_better"),
    *("trials_unpaired", "p", "p_exact", "p_adjusted", "p_attainable", "family", "p_wilcoxon"),
    *("published_mean", "published_std", "published_different", "caption"),
)


def as_csv(report: Report) -> str:
    """One line a cell, numbers not rounded; published numbers have columns of their own."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in report.tables:
        for row in table.rows:
            for cell, column in zip(row.cells, table.columns, strict=True):
                if cell.summary is not None:
                    writer.writerow(
                        _csv_cell(report, table, row, cell.summary, column, cell.best) | _csv_contrast(report, cell)
                    )
    for claimed in report.claims:
        for line in _csv_claims(claimed):
            writer.writerow(line)
    return stream.getvalue().rstrip("\n")


def _csv_cell(report: Report, table: Table, row: Row, summary: Summary, column: Column, best: bool) -> dict[str, Any]:
    strangers = column.strangers or ("", "")
    return {
        "origin": "measured",
        "table": table.title,
        "testbed": report.testbed,
        "conventions": report.conventions,
        "protocol": column.group.protocol,
        "method": row.method,
        "label": row.label,
        "mark": row.mark,
        "metric": column.metric,
        "judge": column.judge or "",
        "direction": column.direction,
        "mean": exact(summary.mean),
        "std": exact(summary.std),
        "ci95_low": exact(summary.low),
        "ci95_high": exact(summary.high),
        **_csv_pair("bca95", summary.bca),
        "identities_with_value": summary.n,
        "identities_scored": summary.identities,
        "scores_without_value": summary.missing,
        "pairs": summary.pairs,
        "lost_before": summary.lost_before,
        "lost_after": summary.lost_after,
        "strangers_mean": strangers[0],
        "strangers_std": strangers[1],
        "best": str(best).lower(),
        "notes": "; ".join(row.notes),
        "caption": report.caption,
    }


def _csv_pair(name: str, pair: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_{end}": exact(value) for end, value in zip(("low", "high"), pair or (None, None), strict=True)}


def _csv_contrast(report: Report, cell: Cell) -> dict[str, Any]:
    contrast = cell.contrast
    if contrast is None:
        return {}
    found = contrast.difference
    return {
        "against": report.against,
        "difference": exact(found.mean),
        "difference_std": exact(found.std),
        "difference_ci95_low": exact(found.low),
        "difference_ci95_high": exact(found.high),
        **_csv_pair("difference_bca95", found.bca),
        "effect": exact(found.effect),
        "identities_paired": found.n,
        "identities_better": found.wins,
        "trials_unpaired": found.missing,
        "p": exact(contrast.p),
        "p_exact": str(contrast.exact).lower() if contrast.p is not None else "",
        "p_adjusted": exact(contrast.adjusted),
        "p_attainable": exact(contrast.attainable),
        "family": contrast.family or "",
        "p_wilcoxon": exact(contrast.wilcoxon),
    }


def _csv_claims(claimed: ClaimedTable) -> list[dict[str, Any]]:
    source = claimed.source
    return [
        {
            "origin": "published",
            "table": source.title,
            "testbed": source.testbed,
            "protocol": protocol,
            "label": name,
            "metric": metric,
            "judge": source.judge if metric.startswith("id") else "",
            "published_mean": claim.mean,
            "published_std": claim.std,
            "published_different": source.different,
        }
        for name, cells in claimed.rows
        for (protocol, metric), claim in zip(claimed.columns, cells, strict=True)
        if claim is not None
    ]


def as_json(report: Report) -> str:
    """Everything that the other formats show, not rounded; null where there is no value."""
    data = {
        "layout": report.layout,
        "testbed": report.testbed,
        "conventions": report.conventions,
        "caption": report.caption,
        "tables": [_json_table(table) for table in report.tables],
        "against": report.against,
        "families": [
            {
                "protocol": family.group.protocol,
                "judge": family.judge,
                "metrics": list(family.metrics),
                "methods": list(family.labels),
                "size": family.size,
            }
            for family in report.families
        ],
        "footnotes": list(report.footnotes + report.tests + report.lost),
        "published": [_json_claims(claimed) for claimed in report.claims],
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)


def _json_table(table: Table) -> dict[str, Any]:
    columns = [
        {
            "protocol": column.group.protocol,
            "metric": column.metric,
            "judge": column.judge,
            "title": column.title,
            "direction": column.direction,
            "strangers": list(column.strangers) if column.strangers else None,
        }
        for column in table.columns
    ]
    rows = [
        {
            "label": row.label,
            "title": row.title,
            "method": row.method,
            "mark": row.mark or None,
            "notes": list(row.notes),
            "cells": [_json_cell(cell) for cell in row.cells],
        }
        for row in table.rows
    ]
    return {"title": table.title, "columns": columns, "rows": rows}


def _json_cell(cell: Cell) -> dict[str, Any] | None:
    if cell.summary is None:
        return None
    units = sorted(cell.summary.units)
    data = _rounded(dataclasses.asdict(dataclasses.replace(cell.summary, units=frozenset())))
    return {**data, "units": units, "best": cell.best, "contrast": _json_contrast(cell.contrast)}


def _json_contrast(contrast: Contrast | None) -> dict[str, Any] | None:
    if contrast is None:
        return None
    data: dict[str, Any] = _rounded(dataclasses.asdict(contrast))
    data["difference"]["effect"] = exact(contrast.difference.effect)
    return {**data, "too_small": contrast.too_small, "separated": contrast.separated}


def _rounded(data: Any) -> Any:
    """JSON-like data with floats of ten digits."""
    if isinstance(data, float):
        return exact(data)
    if isinstance(data, dict):
        return {name: _rounded(value) for name, value in data.items()}
    return [_rounded(value) for value in data] if isinstance(data, list | tuple) else data


def _json_claims(claimed: ClaimedTable) -> dict[str, Any]:
    source = claimed.source
    return {
        "title": source.title,
        "citation": source.citation,
        "testbed": source.testbed,
        "judge": source.judge,
        "different": source.different,
        "columns": [{"protocol": protocol, "metric": metric} for protocol, metric in claimed.columns],
        "rows": [
            {"row": name, "cells": [{"mean": c.mean, "std": c.std, "printed": c.printed} if c else None for c in cells]}
            for name, cells in claimed.rows
        ],
    }


# Terminal ---------------------------------------------------------------------------------------------------

Lines = list[str]  # the lines of one cell
_LABEL_WIDTH = 26


def terminal(report: Report, width: int = WIDTH, *, tests: Report | None = None) -> str:
    """Aligned plain text of at most ``width`` columns: mean ± std, and below it the interval, coverage, lost faces.

    A table that is too wide goes on in further blocks, a protocol starts a new one. Bold is an asterisk. A method
    without a trial under a protocol is left out of that protocol's blocks. tests: whose differences are told, in brief;
    None tells those of the report itself.
    """
    parts = [_heading(report)]
    parts += [textwrap.fill(report.caption, width)] if report.caption else []
    for table in _shown(report):
        shown = set()
        for places in _chunks(table, width):
            group = table.columns[places[0]].group
            parts.append(_block(table, table.title + (" (continued)" if group in shown else ""), places))
            shown.add(group)
    parts += [_terminal_text(text, width) for text in (differences(tests, brief=True) if tests else _texts(report))]
    notes = report.footnotes + (tests or report).tests
    parts.append("\n".join(_wrapped(note, width) for note in notes))
    for claimed in report.claims:
        parts.append(_terminal_claims(claimed, width))
    return "\n\n".join(parts)


def _terminal_text(text: TextTable, width: int) -> str:
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


def _chunks(table: Table, width: int) -> list[list[int]]:
    """Places of the columns that fit beside each other; a block never holds two protocols."""
    chunks: list[list[int]] = []
    room = 0
    for place, column in enumerate(table.columns):
        needed = 2 + _column_width(_column_lines(table, place))
        if not chunks or needed > room or table.columns[chunks[-1][-1]].group != column.group:
            chunks.append([])
            room = width - _label_width(table)
        chunks[-1].append(place)
        room -= needed
    return chunks


def _column_lines(table: Table, place: int) -> list[Lines]:
    """Header, a cell a row, and the different-person line of one column."""
    column = table.columns[place]
    judges = _judge_count(table)
    head = [f"{column.title} {column.arrow}".rstrip()] + ([column.judge] if column.judge and judges > 1 else [])
    cells = [_terminal_cell(row.cells[place], column, table) for row in table.rows]
    return [head, *cells, [_strangers(column)]]


def _terminal_cell(cell: Cell, column: Column, table: Table) -> Lines:
    summary = cell.summary
    lines = [mean_std(summary, column.digits) + _mark(cell, column, table) + ("*" if cell.best else " ")]
    lines += [f"{line} " for line in _intervals(cell, column, table)]
    if _coverage(summary):
        lines.append(f"{_coverage(summary)} ")
    if summary is not None and (summary.lost_before or summary.lost_after):
        lines.append(f"lost {summary.lost_before}/{summary.lost_after} ")
    return lines


def _column_width(lines: Sequence[Lines]) -> int:
    return max(len(line) for cell in lines for line in cell)


def _label_width(table: Table) -> int:
    longest = max(len(line) for row in table.rows for line in _terminal_label(row))
    return max(longest, len(STRANGERS)) + 4  # and room for n


def _terminal_label(row: Row) -> Lines:
    return [line for text in (_label(row), *row.notes) for line in textwrap.wrap(text, _LABEL_WIDTH)]


def _block(table: Table, title: str, places: Sequence[int]) -> str:
    columns = [_column_lines(table, place) for place in places]
    widths = [_column_width(lines) for lines in columns]
    label_width = _label_width(table)
    group = table.columns[places[0]].group
    heading = title if group.title in title else f"{title}: {group.title}"
    rule = "-" * (label_width + sum(2 + column for column in widths))

    def line(label: str, count: str, cells: Sequence[str]) -> str:
        padded = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
        return f"{label:<{label_width - 4}}{count:>4}{padded}".rstrip()

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
            text += lines(_terminal_label(row), str(n), [column[place] for column in columns])
    if any(table.columns[place].strangers for place in places):
        text += [rule, *lines([STRANGERS], "", [column[-1] for column in columns])]
    return "\n".join([*text, rule])


def _terminal_claims(claimed: ClaimedTable, width: int) -> str:
    """Published numbers, a block per protocol."""
    text = [f"Published, not measured here: {claimed.source.title}"]
    for protocol in dict.fromkeys(protocol for protocol, _ in claimed.columns):
        places = [place for place, column in enumerate(claimed.columns) if column[0] == protocol]
        first = max(len(protocol), *(len(name) for name, _ in claimed.rows))
        text.append("".join([f"{protocol:<{first}}", *(f"  {claimed.titles[place]:>17}" for place in places)]))
        for name, cells in claimed.rows:
            printed = [(claim.printed if claim else "") for claim in (cells[place] for place in places)]
            if any(printed):
                text.append("".join([f"{name:<{first}}", *(f"  {cell:>17}" for cell in printed)]).rstrip())
    return "\n".join([*text, _wrapped(_claim_note(claimed), width)])


RENDERERS: dict[str, Callable[[Report], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": as_csv,
    "json": as_json,
    "terminal": terminal,
}
