"""Records as one pandas table: one row per score, failed trials included."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from guidebench import allocator
from guidebench.errors import BadInput
from guidebench.metric import CrossMetric, Metric, Score
from guidebench.reporting.across import cross_scores
from guidebench.reporting.rows import Packed, by_object, gather
from guidebench.reporting.rows import column as make_column
from guidebench.store import index
from guidebench.store.record import Instrument
from guidebench.store.unreadable import left_out, nothing_readable

if TYPE_CHECKING:
    from guidebench.protocol import Protocol
    from guidebench.store.finding import Corrupt
    from guidebench.store.folders import StoredRecord
    from guidebench.store.record import ChosenMethod

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Column:
    """A column of the table of scores: one more recorded fact is one more line of `COLUMNS`."""

    summary: str  # what it holds
    of: Callable[[Any], Any]  # its value for a trial, a StoredRecord, or for the trial's `part`
    kind: str | None = None  # pandas type; None: objects, as they are
    of_score: Callable[[Instrument, Score], Any] | None = None  # its value for a score; None: that of its trial
    part: Callable[[StoredRecord], Any] | None = None  # all that it depends on, which trials of a large directory share


def _protocol(stored: StoredRecord) -> Protocol:
    return stored.record.spec.protocol


def _method(stored: StoredRecord) -> ChosenMethod:
    return stored.record.spec.method


def _different_people(name: str) -> Callable[[Instrument, Score], float | None]:
    def value(instrument: Instrument, score: Score) -> float | None:
        known = {judge.name: judge.different_people for judge in instrument.judges}.get(score.judge or "")
        return getattr(known, name) if known else None

    return value


def _nothing(stored: StoredRecord) -> None:
    """What a trial without scores has in a column of scores."""


COLUMNS: Mapping[str, Column] = {
    "key": Column("SHA-256 of everything that decides the trial's numbers", lambda at: at.record.key),
    "status": Column(
        '"measured" or "failed"; a failed trial is one row without a metric', lambda at: at.record.outcome.status
    ),
    "protocol": Column("name of the protocol", lambda protocol: protocol.name, part=_protocol),
    "protocol_digest": Column(
        "SHA-256 of what the protocol measures; rows of different digests never share a table column",
        lambda protocol: protocol.digest(),
        part=_protocol,
    ),
    "testbed": Column("name of the testbed", lambda at: at.record.spec.testbed),
    "conventions": Column('"corrected" or "published"', lambda protocol: protocol.conventions, part=_protocol),
    "manifest": Column("digest of the photo set", lambda at: at.record.spec.manifest),
    "numerics": Column("version of guidebench's numerics, as text", lambda at: str(at.record.spec.numerics)),
    "weights_version": Column(
        "of the networks that came with the testbed, as text; missing where they have no version",
        lambda at: at.record.instrument.weights_version,
    ),
    "weights_digest": Column(
        "SHA-256 of the digests of all networks; rows of different weights never share a table column",
        lambda at: at.record.spec.weights_digest,
    ),
    "method": Column("registered name of the method", lambda method: method.name, part=_method),
    "label": Column("name with overridden fields, as in tables", lambda method: method.label, part=_method),
    "source_digest": Column(
        "SHA-256 of the files that define the method", lambda method: method.source_digest, part=_method
    ),
    "fields": Column("all hyper-parameters, as JSON text", lambda method: method.fields_text, part=_method),
    "preset": Column(
        "whether the method's preset for this testbed was used", lambda method: method.preset, "bool", part=_method
    ),
    "fitted_on": Column(
        "metrics by which that preset was chosen, separated by semicolons",
        lambda method: "; ".join(method.fitted_on),
        part=_method,
    ),
    "floor": Column(
        "whether this is a floor or ceiling row: nothing, scramble", lambda method: method.floor, "bool", part=_method
    ),
    "training_seen": Column(
        "False for a checkpoint that other code unlearned", lambda method: method.training_seen, "bool", part=_method
    ),
    "group": Column(
        "everybody whom the trial forgets, as one name: the unit of means, intervals and tests",
        lambda at: at.record.spec.group,
    ),
    "people": Column("how many people the trial forgets", lambda at: len(at.record.spec.people), "int"),
    "identity": Column(
        "whom the score is about: a forgotten person, or the group",
        lambda at: at.record.spec.group,
        of_score=lambda _, score: score.identity,
    ),
    "seed": Column("repetition", lambda at: at.record.spec.seed, "int"),
    "salt": Column(
        "of the evaluation's draws, 0 for none; rows of different salts never share a table column",
        lambda at: at.record.spec.salt,
        "int",
    ),
    "after_request": Column(
        "the request after which it was measured, counted from 1; 0 for a failed trial",
        lambda at: 0,
        "int",
        lambda _, score: score.after_request,
    ),
    "metric": Column("name of the metric; missing for failed trials", _nothing, None, lambda _, score: score.metric),
    "judge": Column(
        "name of the recogniser; missing for metrics without one", _nothing, None, lambda _, score: score.judge
    ),
    "role": Column(
        "whose images were looked at: forget, probe, named, retain, lookalike, samples",
        _nothing,
        None,
        lambda _, score: score.role,
    ),
    "value": Column(
        "the measurement; missing, never zero, where there is none", _nothing, "Float64", lambda _, score: score.value
    ),
    "reason": Column(
        "why there is no value, or why the trial failed",
        lambda at: at.record.outcome.reason,
        None,
        lambda _, score: score.reason,
    ),
    "n": Column("pairs or samples that the value was computed from", lambda at: 0, "int", lambda _, score: score.n),
    "lost_before": Column(
        "pairs in which no face was found before unlearning", lambda at: 0, "int", lambda _, score: score.lost_before
    ),
    "lost_after": Column(
        "pairs in which a face was found before, none after", lambda at: 0, "int", lambda _, score: score.lost_after
    ),
    "different_people_mean": Column(
        "mean of the judge's cosine of different people", _nothing, "Float64", _different_people("mean")
    ),
    "different_people_std": Column("its standard deviation", _nothing, "Float64", _different_people("std")),
    "threshold": Column(
        "the cosine that one of 1,000 pairs of strangers exceeds under the judge; missing where it is not known",
        _nothing,
        "Float64",
        _different_people("threshold"),
    ),
    "seconds_unlearn": Column(
        "seconds in the method; missing, as all costs, if the trial failed",
        lambda at: at.record.cost and at.record.cost.seconds_unlearn,
        "Float64",
    ),
    "seconds_evaluate": Column(
        "seconds of rendering and judging", lambda at: at.record.cost and at.record.cost.seconds_evaluate, "Float64"
    ),
    "seconds_total": Column(
        "seconds of the trial", lambda at: at.record.cost and at.record.cost.seconds_total, "Float64"
    ),
    "seconds_attacks": Column(
        "seconds of all attacks on what the trial left, with controls and judging",
        lambda at: round(sum(run.seconds for run in at.record.attacks), 3),
        "Float64",
    ),
    "steps": Column(
        "step of the method's last progress report, summed over requests",
        lambda at: at.record.cost and at.record.cost.steps,
        "Int64",
    ),
    "trainable": Column(
        "parameters that the method left changed", lambda at: at.record.cost and at.record.cost.trainable, "Int64"
    ),
    "shipped_bytes": Column(
        "bytes of the tensors that the method left changed or added",
        lambda at: at.record.cost and at.record.cost.shipped_bytes,
        "Int64",
    ),
    "relative_change": Column(
        "how far the method moved the original's parameters, as a share of their length",
        lambda at: at.record.cost and at.record.cost.relative_change,
        "Float64",
    ),
    "peak_memory_bytes": Column(
        "most memory during unlearning, see docs/records.md; missing where it cannot be known",
        lambda at: at.record.cost and at.record.cost.peak_memory_bytes,
        "Int64",
    ),
    "device": Column("what it ran on, in words", lambda at: at.record.environment.device),
    "guidebench": Column("version that wrote the record", lambda at: at.record.environment.versions.get("guidebench")),
    "commit": Column("commit of the checkout; missing outside one", lambda at: at.record.environment.commit),
    "created": Column("UTC, ISO 8601", lambda at: at.record.environment.created),
    "attempts": Column("earlier attempts that failed", lambda at: len(at.record.outcome.attempts), "int"),
    "marks": Column(
        "what a reader of its row must know, separated by semicolons", lambda at: "; ".join(at.record.outcome.marks)
    ),
    "path": Column("folder of the record", lambda at: at.folder),
}


@dataclass(frozen=True)
class Loaded:
    """What was found in a directory."""

    records: list[StoredRecord]
    corrupt: list[Corrupt]  # left out, with a warning


@index.no_collection()
def load(directory: str | Path) -> pd.DataFrame:
    """All scores below a directory, one row each, with the columns of `COLUMNS`.

    Values are nullable floats: pandas' `mean` leaves missing ones out. From `guidebench.store.index.FROM` records on
    texts are pandas' categories, which take a fraction of the memory. Records that cannot be read, or are not as they
    were written, are left out with a warning. Raises BadInput if there is no readable record.
    """
    records = read(directory).records
    if len(records) < index.FROM:
        return from_records(records)
    return from_records(_handed_over(records), categories=True, computed=index.Computed(Path(directory), len(records)))


def _handed_over(records: list[StoredRecord]) -> Iterator[StoredRecord]:
    """Takes records out of a list one by one, in their order, so that whoever gets them can free them."""
    records.reverse()
    while records:
        yield records.pop()


def read(directory: str | Path) -> Loaded:
    """Records, and the record folders that are left out: one warning each, one for all of an older schema.

    Raises BadInput if there is no readable record.
    """
    from guidebench.store import folders

    records, corrupt = folders.scan(directory)
    if not records:
        raise BadInput(nothing_readable(directory, corrupt))
    for line in left_out(corrupt):
        _log.warning("left out: %s", line)
    return Loaded(records, corrupt)


def from_records(
    records: Iterable[StoredRecord],
    metrics: Mapping[str, Metric] | None = None,
    *,
    only: Collection[str] | None = None,
    columns: Collection[str] | None = None,
    categories: bool = False,
    computed: index.Computed | None = None,
) -> pd.DataFrame:
    """One row per score of these records; a record without scores is one row without a metric.

    Scores over several trials (`guidebench.metric.CrossMetric`) are computed here, from the evidence of these records.
    metrics: those whose scores over several trials are wanted, by name; None: every registered one. only: rows of
    these metrics, and of records without scores. columns: their names. categories: texts as pandas' categories, which
    take a fraction of the memory. computed: scores over several trials from earlier times. An iterator hands its
    records over: what they took in memory is given back before the rows are made.
    """
    from guidebench import registry

    is_handed_over = isinstance(records, Iterator)
    records = list(records)
    known = registry.known_metrics() if metrics is None else metrics
    wanted = [metric for metric in known.values() if isinstance(metric, CrossMetric)]
    across = cross_scores(records, wanted, computed)
    rows = gather(
        [stored.record.outcome.scores for stored in records],
        across,
        [stored.record.instrument for stored in records],
        only,
    )
    shown = {name: COLUMNS[name] for name in (COLUMNS if columns is None else columns)}
    parts = {
        part: by_object([part(stored) for stored in records]) for part in {fact.part for fact in shown.values()} if part
    }
    of_trials = {
        name: Packed.of(_of_trials(fact, records, parts, categories))
        for name, fact in shown.items()
        if fact.of_score is None
    }
    otherwise = {
        name: {place: fact.of(records[place]) for place in rows.without}
        for name, fact in shown.items()
        if fact.of_score is not None
    }
    del records, across, parts, computed
    if is_handed_over:
        gc.collect()
        allocator.give_back()
    found: dict[str, Any] = {}
    for name, fact in shown.items():
        if fact.of_score is None:
            found[name] = rows.spread(of_trials.pop(name))
        elif name == "value":
            found[name] = rows.values()
        elif name == "identity":
            found[name] = rows.identities(otherwise[name], categories)
        else:
            found[name] = rows.spread_scores(fact.of_score, otherwise[name], fact.kind, categories)
    return pd.DataFrame(found, copy=False)


def _of_trials(
    fact: Column, records: Sequence[StoredRecord], parts: Mapping[Any, tuple[np.ndarray, list[Any]]], categories: bool
) -> Any:
    """A column with a row per trial. parts: of trials, as numbers, and the different ones."""
    if fact.part is None:
        return make_column([fact.of(stored) for stored in records], fact.kind, categories)
    numbers, different = parts[fact.part]
    return make_column([fact.of(one) for one in different], fact.kind, categories).take(numbers)
