"""How readings follow a method's numbers: every number that was varied alone, as a table of the instrument page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from guidebench import suites
from guidebench.metrics import METRICS
from guidebench.reporting import published, statistics
from guidebench.reporting.diagnostics.runs import Quantity, Runs, Section, shown_mean
from guidebench.reporting.differences import NONE, TextTable, interval
from guidebench.reporting.model import ClaimedTable
from guidebench.reporting.selection import Variant
from guidebench.reporting.statistics import Summary


@dataclass(frozen=True)
class Sweep:
    """Trials of one method in which a single number varies."""

    method: str
    field: str
    labels: Mapping[float, str]  # value -> label, by value
    plain: str | None  # how the method as it is differs from the sweep, where it is not a part of it

    @property
    def title(self) -> str:
        """As above a table."""
        return f"{self.field} of {self.method}"


def sweeps(variants: Sequence[Variant]) -> list[Sweep]:
    """Every number of a method that varies while all its other fields are equal, by method and field.

    Switches and texts are left out: rows that differ in them are different methods, which tables compare.
    """
    found: dict[tuple[str, ...], dict[float, str]] = {}
    for variant in variants:
        fields = json.loads(variant.fields)
        for name, value in fields.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                others = json.dumps({key: other for key, other in fields.items() if key != name}, sort_keys=True)
                place = (variant.method, variant.source_digest, name, others)
                found.setdefault(place, {}).setdefault(value, variant.label)
    plain = {variant.method: json.loads(variant.fields) for variant in variants if variant.label == variant.method}
    return [
        Sweep(method, name, dict(sorted(labels.items())), _apart(plain.get(method), json.loads(others)))
        for (method, _, name, others), labels in sorted(found.items())
        if len(labels) > 1
    ]


def _apart(plain: Mapping[str, Any] | None, others: Mapping[str, Any]) -> str | None:
    """The fields in which the method as it is differs from a sweep, besides the swept one; None if in none."""
    changed = [f"{name}={(plain or {})[name]}" for name, value in others.items() if plain and plain.get(name) != value]
    return ", ".join(changed) or None


def sensitivity_section(runs: Runs) -> Section:
    """One table per sweep, with the rows that a paper printed of it."""
    tables: list[TextTable] = []
    claims: list[ClaimedTable] = []
    findings = []
    for sweep in sweeps(runs.variants):
        rows = {f"{value:g}": label for value, label in sweep.labels.items()}
        if sweep.plain:
            rows[f"{sweep.method} as it is: {sweep.plain}"] = sweep.method
        units = set.intersection(*(runs.units(label) for label in rows.values()))
        if units:
            tables.append(_swept(runs, sweep, rows, units))
            claims += _printed(runs, sweep)
        else:
            findings.append(f"{sweep.title}: no person and seed in common to all of {', '.join(rows)}.")
    if not tables and not findings:
        findings.append("No number of a method was varied; `guidebench reproduce table-3` varies one.")
    return Section(
        "Sensitivity: how readings follow a method's numbers",
        "One table per number that was varied while everything else of the method stayed as it was: mean over people "
        "and its 95 % interval, over the people and seeds that all rows share. *Range* is the largest mean of the "
        "values minus the smallest. Rows that a paper printed have a table of their own; where they are of another "
        "testbed, only the way from row to row compares.",
        findings,
        tables,
        claims,
    )


def _swept(runs: Runs, sweep: Sweep, rows: Mapping[str, str], units: set[tuple[str, int]]) -> TextTable:
    """rows: how a row is called -> label. units: the (group, seed) that all of them have."""
    columns = []
    for quantity in runs.quantities():
        cells = [statistics.summarise(_within(runs.scores(label, quantity), units)) for label in rows.values()]
        swept = [cell.mean for cell in cells[: len(sweep.labels)] if cell and cell.mean is not None]
        reach = quantity.shown(max(swept) - min(swept)) if len(swept) > 1 else NONE
        columns.append([quantity.title, *(_with_interval(cell, quantity) for cell in cells), reach])
    people = len({group for group, _ in units})
    seeds = ", ".join(str(seed) for seed in sorted({seed for _, seed in units}))
    names = [sweep.field, *rows, "range"]
    heads, *lines = [tuple(row) for row in zip(names, *columns, strict=True)]
    return TextTable(f"{sweep.title} (n = {people}, seeds {seeds})", heads, tuple(lines))


def _within(scores: pd.DataFrame, units: set[tuple[str, int]]) -> pd.DataFrame:
    return scores[[unit in units for unit in zip(scores["group"], scores["seed"], strict=True)]]


def _with_interval(cell: Summary | None, quantity: Quantity) -> str:
    return f"{shown_mean(cell, quantity)} {interval(cell, quantity.digits)}".strip()


def _printed(runs: Runs, sweep: Sweep) -> list[ClaimedTable]:
    """The published tables of the suites of this protocol that set the swept number in several rows."""
    found = []
    for name in suites.names():
        suite = suites.load(name).resolve(runs.first.spec.testbed)
        labels = suite.labels
        setting = [
            row for row in suite.rows if sweep.field in row.settings and labels[row.title] in sweep.labels.values()
        ]
        if len(setting) > 1 and runs.first.spec.protocol.name in suite.table.protocols:
            found += published.claimed_tables(published.load(), [runs.first], METRICS, name)
    return found
