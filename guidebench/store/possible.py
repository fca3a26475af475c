"""What no trial can have measured: shares above 1, negative counts, one score twice, scores of people of other trials.

A record that says so is the trace of an accident, and is left out of every table. So is one whose text would act on the
terminal that it is shown on: a recorded trial has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from guidebench.evidence import DifferentPeople
from guidebench.metric import check_scores
from guidebench.metrics import METRICS
from guidebench.store import lazy
from guidebench.store.record import Cost, Record
from guidebench.text import brief, is_plain, plain

_BOUNDS: Mapping[str, tuple[float, float]] = {"cosine": (-1.0, 1.0), "share": (0.0, 1.0)}  # by unit
_ROUNDING = 1e-3  # of float32
_KEPT, _PROSE = ("spec", "files"), ("title", "summary")


def check_possible(record: Record) -> None:
    """Raises ValueError, in one line, on the first thing in a record that no trial can have measured."""
    spec, judges = record.spec, {judge.name for judge in record.instrument.judges}
    if not spec.requests or not all(spec.requests):
        raise ValueError("its trial, or one of its requests, forgot nobody")
    shown = _shown(record)
    if not _is_surely_plain(shown):
        for place, text in _texts(shown):
            if not is_plain(text):
                raise ValueError(f"its {place} is {brief(text)}, which a terminal would not show as it is")
    check_scores(record.outcome.scores, requests=len(spec.requests))
    for score in record.outcome.scores:
        metric = METRICS.get(score.metric)
        if metric is None:
            continue
        low, high = _BOUNDS.get(metric.unit, (float("-inf"), float("inf")))
        if score.value is not None and not low - _ROUNDING <= score.value <= high + _ROUNDING:
            raise ValueError(f"{score.metric} of {score.identity} is {score.value:g}, which no {metric.unit} can be")
        if score.identity not in (*spec.people, spec.group):
            raise ValueError(f"{score.metric} is of {score.identity}, whom the trial did not forget")
        if score.judge is not None and score.judge not in judges:
            raise ValueError(f"{score.metric} is by {score.judge}, which is not among its judges")
    for file in record.attack_files:
        if not re.fullmatch(r"attacks/[A-Za-z0-9._+-]+", file):
            raise ValueError(f"an attack's file is {brief(file)}, which is not where attacks leave theirs")
    for judge in record.instrument.judges:
        if judge.different_people is not None:
            _check_different_people(judge.name, judge.different_people)
    if record.cost is not None:
        _check_cost(record.cost)


def in_plain_text(record: Record) -> Record:
    """The record with texts of methods, metrics and testbeds of any make in one line each, as `plain` writes them.

    What decides its key stays as it is.
    """
    data = msgspec.to_builtins(record, enc_hook=lazy.plain)
    protocol = data["spec"]["protocol"]
    cleaned = {
        **_in_plain_text({name: part for name, part in data.items() if name not in _KEPT}),
        **{name: data[name] for name in _KEPT},
        "spec": {**data["spec"], "protocol": {**protocol, **{name: plain(protocol[name]) for name in _PROSE}}},
    }
    return record if cleaned == data else msgspec.convert(cleaned, Record)


def _in_plain_text(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _in_plain_text(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_in_plain_text(value) for value in data]
    return plain(data) if isinstance(data, str) else data


def _shown(record: Record) -> dict[str, Any]:
    """What reports show of a record as it is; of fields they show JSON."""
    data: dict[str, Any] = msgspec.to_builtins(record, enc_hook=lazy.plain)
    data["spec"]["method"].pop("fields")
    for attack in data.get("attacks", ()):
        attack["attack"].pop("fields")
    return data


_ESCAPE = re.compile(r'\\[^"\\]')  # in JSON: of what cannot stand there as it is


def _is_surely_plain(data: Any) -> bool:
    """Whether every text in nested data is plain, by one look at them all; False also where that does not tell."""
    text = msgspec.json.encode(data).decode()
    return is_plain(text) and _ESCAPE.search(text) is None


def _texts(data: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested data, with the last name on the way to it; names of entries are texts, too."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield place, name
            yield from _texts(value, name)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value, place)
    elif isinstance(data, str):
        yield place, data


def _check_different_people(judge: str, known: DifferentPeople) -> None:
    cosines = [known.mean, known.threshold or 0.0, *(known.threshold_interval or ())]
    if not all(-1 - _ROUNDING <= cosine <= 1 + _ROUNDING for cosine in cosines):
        raise ValueError(f"different_people of {judge} holds a cosine outside -1 to 1")
    if known.std < 0 or (known.pairs is not None and known.pairs < 1):
        raise ValueError(f"different_people of {judge} has std = {known.std:g} and pairs = {known.pairs}")


_COSTS = (
    "seconds_unlearn",
    "seconds_evaluate",
    "seconds_total",
    "steps",
    "trainable",
    "peak_memory_bytes",
    "shipped_bytes",
    "relative_change",
)


def _check_cost(cost: Cost) -> None:
    for name in _COSTS:
        value = getattr(cost, name)
        if value is not None and value < 0:
            raise ValueError(f"cost has {name} = {value}")
