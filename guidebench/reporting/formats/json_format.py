"""Reports as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from guidebench.reporting.model import Cell, ClaimedTable, Contrast, Matrix, Report, Table


def as_json(report: Report) -> str:
    """Everything that the other formats show, not rounded; null where there is no value."""
    data = {
        "layout": report.layout,
        "testbed": report.testbed,
        "conventions": report.conventions,
        "caption": report.caption,
        "tables": [_table(table) for table in report.tables],
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
        "published": [_claims(claimed) for claimed in report.claims],
        "people": dict(report.people),
        "matrices": [_matrix(matrix) for matrix in report.matrices],
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)


def _table(table: Table) -> dict[str, Any]:
    columns = [
        {
            "protocol": column.group.protocol,
            "metric": column.metric,
            "judge": column.judge,
            "title": column.title,
            "direction": column.direction,
            "different_people": dataclasses.asdict(column.different_people) if column.different_people else None,
            **({"after_request": column.request} if column.request else {}),
        }
        for column in table.columns
    ]
    rows = [
        {
            "label": row.label,
            "title": row.title,
            "method": row.method,
            "mark": row.mark or None,
            "marks": list(row.marks),
            "notes": list(row.notes),
            "cells": [_cell(cell) for cell in row.cells],
        }
        for row in table.rows
    ]
    return {"title": table.title, "columns": columns, "rows": rows}


def _matrix(matrix: Matrix) -> dict[str, Any]:
    """Rows: the request that forgot somebody; columns: the request after which it was measured."""
    return {
        "protocol": matrix.column.group.protocol,
        "metric": matrix.column.metric,
        "judge": matrix.column.judge,
        "label": matrix.label,
        "title": matrix.title,
        "cells": [[_cell(Cell(summary)) for summary in row] for row in matrix.cells],
    }


def _cell(cell: Cell) -> dict[str, Any] | None:
    if cell.summary is None:
        return None
    units = sorted(cell.summary.units)
    data = dataclasses.asdict(dataclasses.replace(cell.summary, units=frozenset(), values={}))
    del data["values"], data["is_sample"]
    data = _after("scores", data, bca=cell.summary.bca)
    return {**data, "units": units, "best": cell.best, "contrast": _contrast(cell.contrast)}


def _contrast(contrast: Contrast | None) -> dict[str, Any] | None:
    if contrast is None:
        return None
    data = dataclasses.asdict(contrast)
    data["difference"] = _after("high", data["difference"], bca=contrast.difference.bca)
    data["difference"]["effect"] = contrast.difference.effect
    return {**data, "too_small": contrast.too_small, "separated": contrast.separated}


def _after(name: str, data: dict[str, Any], **further: Any) -> dict[str, Any]:
    """The entries with further ones after the one of a name."""
    place = list(data).index(name) + 1
    return {**dict(list(data.items())[:place]), **further, **dict(list(data.items())[place:])}


def _claims(claimed: ClaimedTable) -> dict[str, Any]:
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
