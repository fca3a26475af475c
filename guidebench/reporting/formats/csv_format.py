"""Reports as CSV: one line per cell."""

from __future__ import annotations

import csv
import io
from typing import Any

from guidebench.reporting.model import Cell, ClaimedTable, Column, Matrix, Report, Row, Table
from guidebench.reporting.statistics import Summary

COLUMNS = (
    *(
        "origin",
        "table",
        "testbed",
        "conventions",
        "protocol",
        "method",
        "label",
        "mark",
        "marks",
        "metric",
        "judge",
        "direction",
    ),
    *("mean", "std", "ci95_low", "ci95_high", "groups_with_value", "groups_scored", "scores_without_value"),
    *("bca95_low", "bca95_high", "pairs", "hits", "lost_before", "lost_after"),
    *("different_people_mean", "different_people_std", "best", "notes"),
    *("against", "difference", "difference_std", "difference_ci95_low", "difference_ci95_high"),
    *("difference_bca95_low", "difference_bca95_high", "effect", "groups_paired", "groups_better"),
    *("trials_unpaired", "p", "p_exact", "p_adjusted", "p_attainable", "family", "p_wilcoxon"),
    *("published_mean", "published_std", "published_different", "caption"),
    *("people", "after_request", "forgotten_by"),
)


def as_csv(report: Report) -> str:
    """One line per cell, numbers with all their digits; published numbers have columns of their own."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in report.tables:
        for row in table.rows:
            for cell, column in zip(row.cells, table.columns, strict=True):
                if cell.summary is not None:
                    writer.writerow(
                        _cell(report, table, row, cell.summary, column, cell.best) | _contrast(report, cell)
                    )
    for matrix in report.matrices:
        for forgotten_by, cells in enumerate(matrix.cells, start=1):
            for request, summary in enumerate(cells, start=1):
                if summary is not None:
                    writer.writerow(_of_matrix(report, matrix, summary, forgotten_by, request))
    for claimed in report.claims:
        for line in _claims(claimed):
            writer.writerow(line)
    return stream.getvalue().rstrip("\n")


def _cell(report: Report, table: Table, row: Row, summary: Summary, column: Column, best: bool) -> dict[str, Any]:
    return {
        **_measured(report, column, summary),
        "table": table.title,
        "method": row.method,
        "label": row.label,
        "mark": row.mark,
        "marks": "; ".join(row.marks),
        "best": str(best).lower(),
        "notes": "; ".join(row.notes),
        "after_request": column.request or "",
    }


def _of_matrix(report: Report, matrix: Matrix, summary: Summary, forgotten_by: int, request: int) -> dict[str, Any]:
    return {
        **_measured(report, matrix.column, summary),
        "table": f"{matrix.column.group.title}: {matrix.column.title} by request",
        "label": matrix.label,
        "after_request": request,
        "forgotten_by": forgotten_by,
    }


def _measured(report: Report, column: Column, summary: Summary) -> dict[str, Any]:
    known = column.different_people
    return {
        "origin": "measured",
        "testbed": report.testbed,
        "conventions": report.conventions,
        "protocol": column.group.protocol,
        "metric": column.metric,
        "judge": column.judge or "",
        "direction": column.direction,
        "mean": summary.mean,
        "std": summary.std,
        "ci95_low": summary.low,
        "ci95_high": summary.high,
        **_pair("bca95", summary.bca),
        "groups_with_value": summary.n,
        "groups_scored": summary.groups,
        "scores_without_value": summary.missing,
        "pairs": summary.pairs,
        "hits": summary.hits,
        "lost_before": summary.lost_before,
        "lost_after": summary.lost_after,
        "different_people_mean": known.mean if known else "",
        "different_people_std": known.std if known else "",
        "caption": report.caption,
        "people": report.people.get(column.group.protocol, ""),
    }


def _pair(name: str, pair: tuple[float, float] | None) -> dict[str, float | None]:
    return {f"{name}_{end}": value for end, value in zip(("low", "high"), pair or (None, None), strict=True)}


def _contrast(report: Report, cell: Cell) -> dict[str, Any]:
    contrast = cell.contrast
    if contrast is None:
        return {}
    found = contrast.difference
    return {
        "against": report.against,
        "difference": found.mean,
        "difference_std": found.std,
        "difference_ci95_low": found.low,
        "difference_ci95_high": found.high,
        **_pair("difference_bca95", found.bca),
        "effect": found.effect,
        "groups_paired": found.n,
        "groups_better": found.wins,
        "trials_unpaired": found.missing,
        "p": contrast.p,
        "p_exact": str(contrast.exact).lower() if contrast.p is not None else "",
        "p_adjusted": contrast.adjusted,
        "p_attainable": contrast.attainable,
        "family": contrast.family or "",
        "p_wilcoxon": contrast.wilcoxon,
    }


def _claims(claimed: ClaimedTable) -> list[dict[str, Any]]:
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
