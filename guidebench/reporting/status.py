"""Counts of what is recorded below a directory, without loading torch or pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guidebench.store.folders import scan
from guidebench.store.unreadable import left_out
from guidebench.text import aligned

_PLACE = ("testbed", "weights", "protocol", "method")


def status_of(directory: str | Path) -> dict[str, Any]:
    """Counts by testbed, weights, protocol and method, failed trials with reasons, unreadable folders. Raises BadInput.

    Weights without a version are named by the beginning of `TrialSpec.weights_digest`.
    """
    stored, corrupt = scan(directory)
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    failures = []
    for item in stored:
        spec, outcome, cost = item.record.spec, item.record.outcome, item.record.cost
        weights = item.record.instrument.weights_version or spec.weights_digest[:12]
        place = (spec.testbed, weights, spec.protocol.name, spec.method.label)
        row = rows.setdefault(
            place, dict(zip(_PLACE, place, strict=True)) | {"measured": 0, "failed": 0, "seconds": 0.0}
        )
        row["seconds"] = round(row["seconds"] + (cost.seconds_total if cost else 0.0), 1)
        row[outcome.status] += 1
        if outcome.status == "failed":
            failures.append(
                {"method": spec.method.label, "group": spec.group, "seed": spec.seed, "reason": outcome.reason}
            )
    return {
        "rows": [rows[place] for place in sorted(rows)],
        "failures": failures,
        "unreadable": [{"path": str(item.path), "reason": item.reason} for item in corrupt],
        "left_out": left_out(corrupt),
    }


def status_lines(status: dict[str, Any]) -> list[str]:
    """The counts as aligned text."""
    heads = (*_PLACE, "measured", "failed", "seconds")
    lines = aligned([heads, *[tuple(str(row[name]) for name in heads) for row in status["rows"]]], left=len(_PLACE))
    for failure in status["failures"]:
        lines.append(f"failed: {failure['method']} on {failure['group']}, seed {failure['seed']}: {failure['reason']}")
    return [*lines, *(f"left out: {line}" for line in status["left_out"])]
