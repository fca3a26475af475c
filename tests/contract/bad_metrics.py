"""Metrics that break the contract, each in one way. `test_metrics.py` says which finding must report it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

from guidebench.evidence import Evidence
from guidebench.metric import Score, TrialMetric

_calls = itertools.count(1)


def _scores(evidence: Evidence, **changes: object) -> list[Score]:
    """What the others would give without their fault: the mean cosine of the views in which a face is found."""
    scores = []
    for judge, sight in evidence.sights.items():
        for request in range(1, len(evidence.after) + 1):
            for person in evidence.forgotten:
                rows = evidence.rows("forget", person.identity)
                before, after = sight.before[rows], sight.after[request - 1][rows]
                both = before.found & after.found
                value = float((before.vectors * after.vectors).sum(axis=-1)[both].mean()) if both.any() else None
                given = {"value": value, "reason": None if both.any() else "no face", "judge": judge}
                given |= {"identity": person.identity, "after_request": request, "n": int(both.sum())}
                scores.append(Score(metric="mine", role="forget", **(given | changes)))
    return scores


def _metric(compute: Callable[[Evidence], object]) -> TrialMetric:
    return TrialMetric(
        name="mine",
        title="Mine",
        latex="Mine",
        direction="lower",
        unit="cosine",
        summary="mine",
        compute=compute,  # type: ignore[arg-type]
    )


OBEDIENT = _metric(_scores)
NAMELESS = dataclasses.replace(OBEDIENT, name="")
UPWARDS = dataclasses.replace(OBEDIENT, direction="up")  # type: ignore[arg-type]
NOTHING_AT_ALL = _metric(lambda evidence: [])
RETURNS_NUMBER = _metric(lambda evidence: 0.5)
RETURNS_NUMBERS = _metric(lambda evidence: [0.5])
NO_REASON = _metric(lambda evidence: _scores(evidence, value=None, reason=None))
BOTH = _metric(lambda evidence: _scores(evidence, value=0.5, reason="just so"))
NOT_A_NUMBER = _metric(lambda evidence: _scores(evidence, value=float("nan"), reason=None))
OF_OTHERS = _metric(lambda evidence: _scores(evidence, identity="somebody-else"))
OF_A_LATER_REQUEST = _metric(lambda evidence: _scores(evidence, after_request=3))
OF_NO_JUDGE = _metric(lambda evidence: _scores(evidence, judge=None)[:1])
OTHERWISE_CALLED = _metric(lambda evidence: [dataclasses.replace(one, metric="other") for one in _scores(evidence)])
TWICE = _metric(lambda evidence: _scores(evidence) * 2)
COUNTS_BELOW_ZERO = _metric(lambda evidence: _scores(evidence, n=-3))
REMEMBERS = _metric(lambda evidence: _scores(evidence, value=float(next(_calls)), reason=None))
ZERO_FOR_MISSING = _metric(
    lambda evidence: [dataclasses.replace(one, value=one.value or 0.0, reason=None) for one in _scores(evidence)]
)


def _single(evidence: Evidence) -> list[Score]:
    (_,) = evidence.forgotten
    return _scores(evidence)


def _changes(evidence: Evidence) -> list[Score]:
    for sight in evidence.sights.values():
        sight.before.vectors[:] = -sight.before.vectors
    return _scores(evidence)


def _everything(evidence: Evidence) -> list[Score]:
    """Looks at vectors without a face, too."""
    scores = []
    for score in _scores(evidence):
        sight = evidence.sights[str(score.judge)]
        rows = evidence.rows("forget", score.identity)
        value = float(sight.before.vectors[rows].mean()) if score.value is not None else None
        scores.append(dataclasses.replace(score, value=value))
    return scores


def _by_place(evidence: Evidence) -> list[Score]:
    """Takes every judge for the first one."""
    first = next(iter(evidence.sights))
    values = {(one.identity, one.after_request): one for one in _scores(evidence) if one.judge == first}
    return [dataclasses.replace(values[one.identity, one.after_request], judge=one.judge) for one in _scores(evidence)]


SINGLE = _metric(_single)
CHANGES = _metric(_changes)
EVERYTHING = _metric(_everything)
BY_PLACE = _metric(_by_place)
