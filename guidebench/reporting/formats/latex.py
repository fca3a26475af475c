"""Reports as LaTeX in the paper's layout."""

from __future__ import annotations

import re
from collections.abc import Sequence

from guidebench.reporting.differences import NONE, TextTable, mean_std
from guidebench.reporting.formats import cells as shared
from guidebench.reporting.formats.terminal import chunks, column_lines, column_width, label_width
from guidebench.reporting.model import Cell, ClaimedTable, Column, Report, Row, Table

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
    letters = "".join(_LATEX.get(char) or _letter(char) for char in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", letters)  # two hyphens would become a dash


def _letter(char: str) -> str:
    if char.isascii() or ord(char) in _LATIN:
        return char if char.isprintable() else " "
    return rf"\texttt{{U+{ord(char):04X}}}"


_PAGE = 134  # characters in small print across two columns; further columns go on in floats of their own
_STACK = r"\guidebenchstack"
_LATEX_STACK = rf"\providecommand{{{_STACK}}}[2][c]{{\begin{{tabular}}[t]{{@{{}}#1@{{}}}}#2\end{{tabular}}}}"


def as_latex(report: Report) -> str:
    """Floating tables in the paper's layout; needs \\usepackage{booktabs} and nothing else."""
    parts = [r"% needs \usepackage{booktabs}" + "\n" + _LATEX_STACK]
    tables, texts = shared.shown(report), shared.texts(report)
    notes = report.footnotes + report.tests + report.lost
    for place, table in enumerate(tables):
        parts.append(_table(table, report, notes if place == len(tables) - 1 and not texts else ()))
    for place, text in enumerate(texts):
        parts.append(_text(text, report, notes if place == len(texts) - 1 else ()))
    parts += [_claims(claimed) for claimed in report.claims]
    return "\n\n".join(parts)


def _table(table: Table, report: Report, notes: Sequence[str]) -> str:
    """One float, or several where the columns are too wide for a page; the notes are in the last."""
    widths = [2 + column_width(column_lines(table, place)) for place in range(len(table.columns))]
    fits = label_width(table) + sum(widths) <= _PAGE
    blocks = [list(range(len(table.columns)))] if fits else chunks(table, _PAGE)
    caption = f"{escape(table.title)} ({escape(shared.heading(report))}). {escape(report.caption)}".strip()
    floats = []
    for places in blocks:
        last = places is blocks[-1]
        floats.append(_block(table, places, caption, notes if last else ()))
        caption = f"{escape(table.title)} (continued)."
    return "\n\n".join(floats)


def _block(table: Table, places: Sequence[int], caption: str, notes: Sequence[str]) -> str:
    """A float of some columns."""
    body = []
    for before, row in zip((None, *table.rows), table.rows, strict=False):
        body += [r"\midrule"] if before and row.section != before.section else []
        body.append(_row(row, table, places))
    columns = [table.columns[place] for place in places]
    if any(column.different_people for column in columns):
        cells = (
            f"${shared.different_people(column, chr(92) + 'pm ')}$" if column.different_people else ""
            for column in columns
        )
        body += [r"\midrule", rf"\textit{{{shared.DIFFERENT_PEOPLE}}} & " + " & ".join(cells) + r" \\"]
    heads = [_head(column, table) for column in columns]
    groups = {} if table.across == "groups" else dict.fromkeys(column.group for column in columns)
    spans = [(group.title, sum(column.group == group for column in columns)) for group in groups]
    return _float(caption, "method", spans, heads, body, notes)


def _head(column: Column, table: Table) -> str:
    if table.across != "metrics":
        return escape(shared.head(column, table))
    judges = shared.judge_count(table)
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$"}.get(column.direction, "")
    judge = rf"\\{{\scriptsize {escape(column.judge)}}}" if column.judge and judges > 1 else ""
    return rf"{_STACK}{{{column.latex}{arrow}{judge}}}" if judge else column.latex + arrow


def _row(row: Row, table: Table, places: Sequence[int]) -> str:
    label = escape(shared.label(row))
    if row.notes:
        notes = r"\\".join(rf"{{\scriptsize {escape(note)}}}" for note in row.notes)
        label = rf"{_STACK}[l]{{{label}\\{notes}}}"
    cells = [_cell(row.cells[place], table.columns[place], table) for place in places]
    return " & ".join([label, *cells]) + r" \\[4pt]"


def _cell(cell: Cell, column: Column, table: Table) -> str:
    text = mean_std(cell.summary, column.digits, r" \pm ")
    if text in ("", NONE):
        text = "--" if text else ""
    else:
        mark = r"^\dagger" if shared.mark(cell, column, table) else ""
        text = rf"$\mathbf{{{text}}}{mark}$" if cell.best else f"${text}{mark}$"
    counted = (shared.counts(cell.summary), shared.coverage(cell.summary))
    small = [escape(line) for line in (*shared.intervals(cell, column, table), *counted) if line]
    lines = [text, *(rf"{{\scriptsize {line}}}" for line in small)]
    return text if len(lines) == 1 else rf"{_STACK}{{{(chr(92) * 2).join(lines)}}}"


def _text(text: TextTable, report: Report, notes: Sequence[str]) -> str:
    body = [" & ".join(escape(_with_minus(cell)) for cell in row) + r" \\" for row in text.rows]
    heads = [escape(head) for head in text.heads]
    caption = f"{escape(text.title)} ({escape(shared.heading(report))}). {escape(text.lead)}".strip()
    return _float(caption, heads[0], [], heads[1:], body, notes)


def _with_minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def _claims(claimed: ClaimedTable) -> str:
    protocols = list(dict.fromkeys(protocol for protocol, _ in claimed.columns))
    spans = [(name, sum(protocol == name for protocol, _ in claimed.columns)) for name in protocols]
    body = []
    for name, cells in claimed.rows:
        texts = [f"${claim.printed.replace('±', chr(92) + 'pm')}$" if claim else "" for claim in cells]
        body.append(" & ".join([escape(name), *texts]) + r" \\")
    caption = f"Published, not measured here: {escape(claimed.source.title)}."
    return _float(caption, "row", spans, list(claimed.latex), body, [shared.claim_note(claimed)])


def _float(
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
