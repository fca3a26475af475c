"""What is recorded below a directory, counted; needs no torch and no pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guidebench.store.folders import scan

_PLACE = ("testbed", "weights", "protocol", "method")


def status_of(directory: str | Path) -> dict[str, Any]:
    """Counts by testbed, weights, protocol and method, failed trials with reasons, unreadable folders. Raises BadInput.

    Weights without a version are told by the beginning of `Record.weights_digest`.
    """
    stored, corrupt = scan(directory)
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    failures = []
    for item in stored:
        record = item.record
        weights = record.weights_version or record.weights_digest[:12]
        place = (record.testbed, weights, str(record.protocol["name"]), record.label)
        counts = {"measured": 0, "failed": 0, "seconds": 0.0}
        row = rows.setdefault(place, dict(zip(_PLACE, place, strict=True)) | counts)
        if record.status == "measured":
            row["measured"] += 1
            row["seconds"] = round(row["seconds"] + record.seconds.get("total", 0.0), 1)
        else:
            row["failed"] += 1
            failures.append(
                {"method": record.label, "identity": record.identity, "seed": record.seed, "reason": record.reason}
            )
    return {
        "rows": [rows[place] for place in sorted(rows)],
        "failures": failures,
        "unreadable": [{"path": str(item.path), "reason": item.reason} for item in corrupt],
    }


def status_lines(status: dict[str, Any]) -> list[str]:
    """The counts as aligned text."""
    header = (*_PLACE, "measured", "failed", "seconds")
    table = [header, *[tuple(str(row[name]) for name in header) for row in status["rows"]]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    for failure in status["failures"]:
        lines.append(
            f"failed: {failure['method']} on {failure['identity']}, seed {failure['seed']}: {failure['reason']}"
        )
    for item in status["unreadable"]:
        lines.append(f"unreadable: {item['path']}: {item['reason']}")
    return lines
