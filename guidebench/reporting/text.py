"""Numbers as text, and tables of text: what differences between methods look like in every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guidebench.reporting.layout import Cell, Column, Contrast, Group, Report, Row
from guidebench.reporting.statistics import ALPHA, Paired, Summary

NONE = "–"  # measured, but without a value; what was not measured is left blank
TOO_SMALL = "n too small for p"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text already."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lead: str = ""  # a sentence above it


def number(value: float, digits: int) -> str:
    """A number with fixed decimals; a zero has no sign."""
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
    """Shown from three identities on: the t interval of two is twelve standard errors to each side and says nothing."""
    if found is None or found.low is None or found.high is None or found.n < 3:
        return ""
    return f"[{number(found.low, digits)}, {number(found.high, digits)}]"


def bca(found: Summary | Paired | None, digits: int) -> str:
    """The bootstrap interval, where there is one."""
    if found is None or found.bca is None:
        return ""
    return f"BCa [{', '.join(number(value, digits) for value in found.bca)}]"


def p_value(p: float | None, *, exact: bool = True) -> str:
    """Three decimals; ≈ where sign patterns were drawn."""
    if p is None:
        return NONE
    text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return text if exact else f"≈ {text}"


def adjusted_p(contrast: Contrast) -> str:
    """The adjusted p, why there is none, or blank outside the family of tests."""
    if not contrast.family:
        return ""
    return TOO_SMALL if contrast.too_small else p_value(contrast.adjusted, exact=contrast.exact)


def finding(column: Column, row: Cell, reference: Cell) -> str:
    """What a contrast says of a row: better or worse only by a test or, outside the family, an interval.

    Where lower is better under a judge, two means at or below that of different people tie: forgotten is forgotten.
    """
    contrast = row.contrast
    if contrast is None or contrast.difference.mean is None or contrast.difference.low is None:
        return "not measured"
    means = [cell.summary.mean for cell in (row, reference) if cell.summary and cell.summary.mean is not None]
    if column.direction == "lower" and column.strangers and max(means) <= column.strangers[0]:
        return "tie: both at different people"
    if contrast.too_small:
        return TOO_SMALL
    by_interval = contrast.difference.low > 0 or (contrast.difference.high or 0.0) < 0
    if not (contrast.separated if contrast.family else by_interval and contrast.difference.n > 2):
        return "not separable"
    verdict = "better" if (contrast.difference.mean < 0) == (column.direction == "lower") else "worse"
    return verdict if contrast.family else f"{verdict} by the interval"


def differences(report: Report, *, brief: bool = False) -> list[TextTable]:
    """Per protocol: every row against the reference in every column; brief: only the tested ones, fewer columns."""
    heads = ["method", "metric", "difference [95 % interval]", "n"]
    heads += ["adjusted p"] if brief else ["better for", "effect", "p", "adjusted p", "Wilcoxon p"]
    tables = []
    for group in dict.fromkeys(family.group for family in report.families):
        rows = []
        for row, column, cell in _placed(report, group):
            if cell.contrast is not None and (cell.contrast.family or not brief):
                cells = _brief(cell.contrast, column) if brief else _whole(cell.contrast, column)
                rows.append((row.title, _metric(report, column), *cells))
        title = f"{group.title}: differences to {report.against}"
        tables += [TextTable(title, tuple(heads), tuple(rows))] if rows else []
    return tables


def _brief(contrast: Contrast, column: Column) -> tuple[str, ...]:
    found = contrast.difference
    return _difference(found, column.digits), str(found.n), adjusted_p(contrast)


def _whole(contrast: Contrast, column: Column) -> tuple[str, ...]:
    found = contrast.difference
    return (
        _difference(found, column.digits),
        str(found.n),
        f"{found.wins} of {found.n}",
        _effect(found),
        p_value(contrast.p, exact=contrast.exact) if contrast.family else "",
        adjusted_p(contrast),
        p_value(contrast.wilcoxon) if contrast.family else "",
    )


def comparison(report: Report) -> list[TextTable]:
    """Per protocol: two methods side by side in every metric, with what may be said of them."""
    tables = []
    for group in dict.fromkeys(group for table in report.tables for group in table.groups):
        placed = _placed(report, group)
        references = {column: cell for row, column, cell in placed if row.label == report.against}
        compared = [(row.title, column, cell) for row, column, cell in placed if cell.contrast]
        if not compared:
            continue
        name = compared[0][0]
        heads = ("metric", name, str(report.against), "difference [95 % interval]", "effect", "n")
        heads_of_verdict = (f"{name} better for", "adjusted p", "found")
        rows = [_compared(report, column, cell, references[column]) for _, column, cell in compared]
        verdicts = [
            (column.title, finding(column, cell, references[column]))
            for _, column, cell in compared
            if cell.contrast and cell.contrast.family
        ]
        title = f"{group.title}: {name} against {report.against}"
        tables.append(TextTable(title, heads + heads_of_verdict, tuple(rows), _lead(name, verdicts)))
    return tables


def _compared(report: Report, column: Column, cell: Cell, reference: Cell) -> tuple[str, ...]:
    assert cell.contrast is not None
    found = cell.contrast.difference
    return (
        f"{_metric(report, column)} {column.arrow}",
        mean_std(cell.summary, column.digits),
        mean_std(reference.summary, column.digits),
        _difference(found, column.digits),
        _effect(found),
        str(found.n),
        f"{found.wins} of {found.n}",
        adjusted_p(cell.contrast),
        finding(column, cell, reference),
    )


def _lead(name: str, found: Sequence[tuple[str, str]]) -> str:
    """The answer in one sentence."""
    by_verdict: dict[str, list[str]] = {}
    for title, verdict in found:
        by_verdict.setdefault(verdict, []).append(title)
    order = ("better", "worse")
    verdicts = sorted(
        by_verdict, key=lambda verdict: (order.index(verdict) if verdict in order else len(order), verdict)
    )
    said = "; ".join(f"{verdict}: {', '.join(by_verdict[verdict])}" for verdict in verdicts)
    return f"{name} is {said} (adjusted p < {ALPHA:g})." if said else ""


def _placed(report: Report, group: Group) -> list[tuple[Row, Column, Cell]]:
    """The cells under a protocol, a row's together."""
    order = [row.label for table in report.tables for row in table.rows]
    placed = [placed for table in report.tables for placed in table.placed() if placed[1].group == group]
    return sorted(placed, key=lambda place: order.index(place[0].label))


def _metric(report: Report, column: Column) -> str:
    judges = {column.judge for table in report.tables for column in table.columns if column.judge}
    return f"{column.title} ({column.judge})" if column.judge and len(judges) > 1 else column.title


def _difference(found: Paired, digits: int) -> str:
    if found.mean is None:
        return NONE
    parts = (number(found.mean, digits), interval(found, digits), bca(found, digits))
    return " ".join(part for part in parts if part)


def _effect(found: Paired) -> str:
    return NONE if found.effect is None else number(found.effect, 2)
