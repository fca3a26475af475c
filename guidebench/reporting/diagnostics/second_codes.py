"""How much FID_pre depends on the one set of latent codes: the same generators on a second set, as a section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guidebench.reporting.diagnostics.reliability import swaps
from guidebench.reporting.diagnostics.runs import Quantity, Section, percent
from guidebench.reporting.differences import NONE, TextTable
from guidebench.reporting.layout import DEFAULT_AGAINST

_FID = Quantity("fid_pre", None)


@dataclass(frozen=True)
class Reading:
    """FID_pre of one kept generator on two sets of codes."""

    label: str  # of the method
    group: str
    seed: int
    first: float | None  # as recorded
    second: float | None  # None: not measured
    reason: str | None = None  # why


def second_codes_section(readings: Sequence[Reading], methods: Sequence[str]) -> Section:
    """Level and spread per method, and what becomes of differences. methods: labels in the order of tables."""
    pairs = {label: _pairs(readings, label) for label in methods}
    rows = [(label, *_described(list(own.values()))) for label, own in pairs.items() if own]
    reasons = dict.fromkeys(reading.reason for reading in readings if reading.reason)
    findings = [*_order(pairs), *(f"Left out: {reason}." for reason in reasons)]
    heads = ("method", "trials", "FID_pre", "second codes", "mean change", "std of changes", "largest change")
    tables = [TextTable("", heads, tuple(rows))] if rows else []
    against = [
        (label, *_against(own, pairs[DEFAULT_AGAINST]))
        for label, own in pairs.items()
        if label != DEFAULT_AGAINST and own.keys() & pairs.get(DEFAULT_AGAINST, {}).keys()
    ]
    if against:
        titles = (f"method, against {DEFAULT_AGAINST}", "trials", "difference", "on second codes")
        tables.append(TextTable("Differences on both sets", titles, tuple(against)))
    return Section(
        "A second set of codes: how much FID_pre depends on them",
        "All trials of a protocol sample one set of latent codes and cameras, so intervals say nothing of another set. "
        "Here every kept generator (`run --keep-generators`) and the original are sampled again with as many other "
        "codes and cameras. *Change* is second minus first, trial by trial. A change that all trials share moves the "
        "level of a column and leaves differences of methods as they are; its spread moves them, too.",
        findings,
        tables,
    )


def _pairs(readings: Sequence[Reading], label: str) -> dict[tuple[str, int], tuple[float, float]]:
    """(group, seed) -> both values of a method, where both are known."""
    return {
        (one.group, one.seed): (one.first, one.second)
        for one in readings
        if one.label == label and one.first is not None and one.second is not None
    }


def _described(values: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    first, second = np.array(values).T
    change = second - first
    level = float(first.mean())
    relative = f" ({'+' if change.mean() > 0 else ''}{percent(float(change.mean()) / level)})" if level else ""
    std = NONE if len(change) < 2 else _FID.shown(float(change.std(ddof=1)))
    largest = float(change[np.abs(change).argmax()])
    shown = (_FID.shown(level), _FID.shown(float(second.mean())), f"{_FID.shown(float(change.mean()))}{relative}")
    return str(len(values)), *shown, std, _FID.shown(largest)


def _against(
    own: Mapping[tuple[str, int], tuple[float, float]], baseline: Mapping[tuple[str, int], tuple[float, float]]
) -> tuple[str, ...]:
    units = sorted(own.keys() & baseline.keys())
    first, second = (np.mean([own[unit][at] - baseline[unit][at] for unit in units]) for at in (0, 1))
    return str(len(units)), _FID.shown(float(first)), _FID.shown(float(second))


def _order(pairs: Mapping[str, Mapping[tuple[str, int], tuple[float, float]]]) -> list[str]:
    """Whether the methods' means are in the same order on both sets, over the trials that all of them have."""
    import pandas as pd

    measured = {label: own for label, own in pairs.items() if own}
    shared = sorted(set.intersection(*(set(own) for own in measured.values()))) if measured else []
    if len(measured) < 2 or not shared:
        return []
    first, second = (
        pd.Series({label: np.mean([own[unit][at] for unit in shared]) for label, own in measured.items()})
        for at in (0, 1)
    )
    if swapped := swaps(first, second):
        pairs_in_words = ", ".join(" and ".join(pair) for pair in swapped)
        return [f"The order of {pairs_in_words} is reversed on the second codes."]
    return [f"The {len(measured)} methods are in the same order on both sets of codes."]
