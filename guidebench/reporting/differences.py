"""Numbers and differences in words, the same in every format: digits, intervals, p, verdicts, tables of differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guidebench.reporting.model import Cell, Column, Contrast, Group, Report, Row
from guidebench.reporting.statistics import Paired, Summary
from guidebench.reporting.ties import is_forgotten

NONE = "–"  # measured, but without a value; what was not measured is left blank
TOO_SMALL = "n too small for p"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text already."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: str = ""  # a sentence above it


def number(value: float, digits: int) -> str:
    """A number with fixed decimals; a zero has no sign.

    >>> number(-0.004, 2), number(-0.006, 2)
    ('0.00', '-0.01')
    """
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def mean_std(summary: Summary | None, digits: int, plus_minus: str = " ± ") -> str:
    """Blank if nothing was measured, a dash if nothing had a value."""
    if summary is None:
        return ""
    if summary.mean is None:
        return NONE
    mean = number(summary.mean, digits)
    return mean if summary.std is None else f"{mean}{plus_minus}{number(summary.std, digits)}"


def interval(found: Summary | Paired | None, digits: int) -> str:
    """Shown from three values on: the t interval of two reaches twelve standard errors to each side."""
    if found is None or found.low is None or found.high is None or found.n < 3:
        return ""
    return f"[{number(found.low, digits)}, {number(found.high, digits)}]"


def bca(found: Summary | Paired | None, digits: int) -> str:
    """The bootstrap interval, where there is one."""
    if found is None or found.bca is None:
        return ""
    return f"BCa [{', '.join(number(value, digits) for value in found.bca)}]"


def p_value(p: float | None, *, exact: bool = True) -> str:
    """Three decimals; ≈ where sign patterns were drawn.

    >>> p_value(0.0039), p_value(0.0001), p_value(0.21, exact=False), p_value(None)
    ('0.004', '< 0.001', '≈ 0.210', '–')
    """
    if p is None:
        return NONE
    text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return text if exact else f"≈ {text}"


def adjusted_p(contrast: Contrast) -> str:
    """The adjusted p, or why there is none."""
    if contrast.too_small and contrast.difference.n:
        return TOO_SMALL
    return p_value(contrast.adjusted, exact=contrast.exact)


def finding(column: Column, row: Cell, reference: Cell) -> str:
    """The verdict on a row: better or worse only by a test or, outside the family, an interval.

    Otherwise two means that tie with different people are both forgotten, as far as so many people can tell.
    """
    contrast = row.contrast
    if contrast is None or contrast.difference.mean is None:
        return NOT_MEASURED
    if contrast.separated if contrast.family else _leaves_out_zero(contrast.difference):
        return "better" if (contrast.difference.mean < 0) == (column.direction == "lower") else "worse"
    if all(is_forgotten(cell.summary, column.tie) for cell in (row, reference)):
        return "both forgotten"
    return TOO_SMALL if contrast.too_small else "not separable"


def _leaves_out_zero(found: Paired) -> bool:
    return found.n > 2 and found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)


_Placed = tuple[Row, Column, Cell, Contrast]


@dataclass(frozen=True)
class _Block:
    """Contrasts that one table shows."""

    title: str  # protocol and judge
    tested: bool
    placed: tuple[_Placed, ...]


def differences(report: Report) -> list[TextTable]:
    """Every row against the reference in every column: what is tested, other columns, then each further judge."""
    heads = ("method", "metric", "difference [95 % interval]", "better for", "effect", "p", "adjusted p", "Wilcoxon p")
    tables = []
    for block in _blocks(report):
        rows = [(row.marked, column.title, *_described(contrast, column)) for row, column, _, contrast in block.placed]
        texts = [line if block.tested else line[:5] for line in (heads, *rows)]
        tables.append(TextTable(f"{block.title}: differences to {report.against}", texts[0], tuple(texts[1:])))
    return tables


def _described(contrast: Contrast, column: Column) -> tuple[str, ...]:
    found = contrast.difference
    return (
        _difference(found, column.digits),
        better_for(found),
        _effect(found),
        p_value(contrast.p, exact=contrast.exact),
        adjusted_p(contrast),
        p_value(contrast.wilcoxon),
    )


def comparison(report: Report) -> list[TextTable]:
    """Two methods side by side in every metric, with a verdict each: tests, other columns, then further judges."""
    references = {
        column: cell for table in report.tables for row, column, cell in table.placed() if row.label == report.against
    }
    marked = {row.label: row.marked for table in report.tables for row in table.rows}
    tables = []
    for block in _blocks(report):
        name, against = block.placed[0][0].marked, marked.get(str(report.against), str(report.against))
        rows = [_compared(column, cell, contrast, references[column]) for _, column, cell, contrast in block.placed]
        by = "adjusted p" if block.tested else "by"
        heads = ("metric", name, against, "difference [95 % interval]", "effect", "better for", by, "found")
        verdicts = [(column.title, row[-1]) for (_, column, _, _), row in zip(block.placed, rows, strict=True)]
        tables.append(
            TextTable(
                f"{block.title}: {name} against {against}", heads, tuple(rows), _lead(name, verdicts, block.tested)
            )
        )
    return tables


def matrices(report: Report) -> list[TextTable]:
    """By protocol, the matrices of all rows below each other: who was forgotten by which request, after which."""
    tables = []
    for group in dict.fromkeys(matrix.column.group for matrix in report.matrices):
        own = [matrix for matrix in report.matrices if matrix.column.group == group]
        column = own[0].column
        rows = [
            (matrix.title, str(named), *(mean_std(summary, column.digits) for summary in cells))
            for matrix in own
            for named, cells in enumerate(matrix.cells, start=1)
        ]
        heads = ("method", "forgotten by", *(f"after {after}" for after in range(1, len(own[0].cells) + 1)))
        tables.append(
            TextTable(
                f"{group.title}: {column.title} {column.arrow} by request{f', judge {column.judge}'}",
                heads,
                tuple(rows),
                "Rows: the request that forgot the people. Columns: the request after which they were judged again.",
            )
        )
    return tables


def _compared(column: Column, cell: Cell, contrast: Contrast, reference: Cell) -> tuple[str, ...]:
    found = contrast.difference
    verdict = finding(column, cell, reference)
    by = p_value(contrast.adjusted, exact=contrast.exact) if contrast.family else "interval"
    return (
        f"{column.title} {column.arrow}",
        mean_std(cell.summary, column.digits),
        mean_std(reference.summary, column.digits),
        _difference(found, column.digits),
        _effect(found),
        better_for(found),
        NONE if verdict in (TOO_SMALL, NOT_MEASURED) else by,
        verdict,
    )


_VERDICTS = ("better", "worse", "both forgotten", "not separable", TOO_SMALL, NOT_MEASURED)


def _lead(name: str, verdicts: Sequence[tuple[str, str]], tested: bool) -> str:
    """The answer in one sentence."""
    said = {verdict: [title for title, found in verdicts if found == verdict] for verdict in _VERDICTS}
    parts = [f"{verdict} in {', '.join(titles)}" for verdict, titles in said.items() if titles]
    return f"{name}{'' if tested else ', by intervals that are not adjusted for their number'}: {'; '.join(parts)}."


def _blocks(report: Report) -> list[_Block]:
    """Contrasts by protocol, a row's together: those of the tests, the columns beside them, each further judge."""
    order = [row.label for table in report.tables for row in table.rows]
    placed = [
        (row, column, cell, cell.contrast)
        for table in report.tables
        for row, column, cell in table.placed()
        if cell.contrast and (cell.contrast.family or cell.contrast.difference.n)
    ]
    placed.sort(key=lambda place: order.index(place[0].label))
    columns = [column for table in report.tables for column in table.columns]
    blocks = []
    for group in dict.fromkeys(column.group for column in columns):
        own = [place for place in placed if place[1].group == group]
        judges = list(dict.fromkeys(column.judge for column in columns if column.group == group and column.judge))
        tested = [place for place in own if place[3].family]
        beside = [place for place in own if not place[3].family and place[1].judge in (None, *judges[:1])]
        by_judge = [[place for place in own if place[1].judge == judge] for judge in judges[1:]]
        blocks += [_block(group, tested, ""), _block(group, beside, ", not primary")]
        blocks += [_block(group, there, "") for there in by_judge]
    return [block for block in blocks if block.placed]


def _block(group: Group, placed: Sequence[_Placed], suffix: str) -> _Block:
    judge = next((column.judge for _, column, _, _ in placed if column.judge), None)
    tested = any(contrast.family for _, _, _, contrast in placed)
    return _Block(f"{group.title}{f', judge {judge}' if judge else ''}{suffix}", tested, tuple(placed))


def _difference(found: Paired, digits: int) -> str:
    if found.mean is None:
        return NONE
    parts = (number(found.mean, digits), interval(found, digits), bca(found, digits))
    return " ".join(part for part in parts if part)


def better_for(found: Paired) -> str:
    """For how many people the first method is better, and for how many neither is."""
    return f"{found.wins} of {found.n}" + (f", {found.ties} tie" if found.ties else "")


def _effect(found: Paired) -> str:
    return NONE if found.effect is None else number(found.effect, 2)
