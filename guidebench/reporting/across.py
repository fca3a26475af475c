"""Scores over several trials: computed when records are read, from the evidence of all of them."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from guidebench.errors import in_one_line
from guidebench.metric import CrossMetric, Score
from guidebench.metrics import CROSS_METRICS
from guidebench.reporting.rows import Part
from guidebench.store.index import Computed
from guidebench.store.lazy import ScoreColumns, Scores
from guidebench.store.record import Record

if TYPE_CHECKING:
    from guidebench.evidence import Afterwards
    from guidebench.store.folders import StoredRecord


def cross_scores(
    records: Sequence[StoredRecord], metrics: Sequence[CrossMetric], computed: Computed | None = None
) -> list[Part]:
    """The scores of records over all people whom the same method forgot under the same seed.

    computed: scores of the metrics that ship, from earlier times; new ones are added.

    A record whose evidence cannot be read gets scores without a value, with the reason, and the others are compared
    without it: their n is smaller. A metric that raises gives nobody a value, with what it raised as the reason.
    Where a protocol forgets one person only there is nothing to compare and no score.
    """
    found: list[Part] = []
    ships = all(CROSS_METRICS.get(metric.name) is metric for metric in metrics)
    kept, names = computed if ships else None, [metric.name for metric in metrics]
    for company in _companies(records) if metrics else []:  # evidence is read for a metric only
        together = [records[place] for place in company]
        scores = kept.get([(item.record, item.has_evidence) for item in together], sorted(names)) if kept else None
        if scores is None:
            scores, is_whole = _of_company(together, metrics)
            gc.collect(0)  # NumPy leaves cycles of what it reads, and large directories are read without collection
            if kept and is_whole:
                kept.put(scores)
        trial_of = {person: place for place in company for person in records[place].record.spec.people}
        found.append(_placed(scores, trial_of))
    if kept:
        kept.save(whole=True)
    return found


def _placed(scores: Sequence[Score], trial_of: Mapping[str, int]) -> Part:
    """Scores with the places of their trials. trial_of: the place of everybody's."""
    if isinstance(scores, Scores):
        columns = scores.columns.take(slice(scores.start, scores.stop))
    else:
        columns = ScoreColumns.of(scores)
    people, person = np.unique(columns.identity, return_inverse=True)
    places = np.array([trial_of[columns.identities[one]] for one in people.tolist()], dtype=np.int32)
    return places[person], columns


def _of_company(trials: Sequence[StoredRecord], metrics: Sequence[CrossMetric]) -> tuple[Sequence[Score], bool]:
    """The scores of trials that belong together, and whether all evidence could be read and no metric raised."""
    everybody, unreadable = _faces_after(trials)
    trial_of = {person: stored.record for stored in trials for person in stored.record.spec.people}
    found: list[Score] = []
    is_whole = not unreadable
    for metric in metrics:
        scores, raised = _compared(metric, everybody)
        is_whole = is_whole and not raised
        for person, reason in {**raised, **unreadable}.items():
            scores += _without_value(metric, trial_of[person], person, reason)
        found += [replace(score, after_request=len(trial_of[score.identity].spec.requests)) for score in scores]
    return found, is_whole


def _compared(metric: CrossMetric, everybody: Sequence[Afterwards]) -> tuple[list[Score], dict[str, str]]:
    """A metric's scores of everybody, or why nobody has one: a metric of the user's may raise, or give other things."""
    people = {one.identity for one in everybody}
    try:
        scores = list(metric.compute(everybody))
        for score in scores:
            if not isinstance(score, Score) or score.metric != metric.name or score.identity not in people:
                raise ValueError(f"{score!r:.80} is not a score of {metric.name} for one of these people")
    except Exception as error:  # any code may be in somebody's file; what else was measured stays
        return [], dict.fromkeys(sorted(people), f"the metric raised {in_one_line(error)}")
    return scores, {}


def _faces_after(trials: Sequence[StoredRecord]) -> tuple[list[Afterwards], dict[str, str]]:
    """What everybody who was forgotten looks like afterwards, and why that is not known of some."""
    from guidebench.store.evidence_files import UnreadableEvidence, load_faces_after

    everybody: list[Afterwards] = []
    unreadable: dict[str, str] = {}
    for stored in trials:
        try:
            everybody += load_faces_after(stored.path / "evidence.npz")
        except UnreadableEvidence as error:
            reason = f"its evidence cannot be read: {error}"
            unreadable |= dict.fromkeys(stored.record.spec.people, reason)
    return everybody, unreadable


def _without_value(metric: CrossMetric, record: Record, person: str, reason: str) -> list[Score]:
    judges = [judge.name for judge in record.instrument.judges] if metric.judged else [None]
    return [
        Score(
            metric=metric.name, judge=judge, identity=person, role="forget", after_request=1, value=None, reason=reason
        )
        for judge in judges
    ]


def _companies(records: Sequence[StoredRecord]) -> list[list[int]]:
    """Places in ``records`` of measured trials that agree in everything but the people, several people together."""
    companies: dict[tuple[object, ...], dict[tuple[str, ...], int]] = defaultdict(dict)
    for place, stored in enumerate(records):
        if stored.record.is_measured:
            spec = stored.record.spec
            shared = (spec.protocol.digest(), spec.testbed, spec.manifest, spec.weights_digest, spec.seed, spec.salt)
            method = (spec.method.label, spec.method.digest, spec.precision, spec.numerics)  # inputs are personal
            companies[*shared, *method][spec.people] = place
    return [
        list(company.values())
        for company in companies.values()
        if len(company) > 1 or any(records[place].record.spec.protocol.identities > 1 for place in company.values())
    ]
