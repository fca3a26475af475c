"""Relapse: does somebody who was forgotten come back when others are forgotten later, on the same generator?"""

from __future__ import annotations

from collections.abc import Sequence

from guidebench.evidence import Evidence, Sight, Subject
from guidebench.metric import Score, TrialMetric
from guidebench.metrics.identity import similarity


def relapse(evidence: Evidence) -> list[Score]:
    """The rise of ID of everybody who was forgotten by an earlier request, after each later one, by each judge.

    ID after the later request minus ID directly after the person's own; above 0, the person comes back. Without a value
    if either has none, by the rules of `guidebench.metrics.identity`.
    """
    return [
        _rise(evidence, judge, sight, person, request)
        for judge, sight in evidence.sights.items()
        for request in range(2, len(evidence.after) + 1)
        for person in evidence.forgotten
        if person.request < request
    ]


def _rise(evidence: Evidence, judge: str, sight: Sight, person: Subject, request: int) -> Score:
    rows = evidence.rows("forget", person.identity)
    own, later = (similarity(sight.before[rows], sight.after[after - 1][rows]) for after in (person.request, request))
    value, reason = None, None
    if own.value is None:
        reason = f"no ID after request {person.request}: {own.reason}"
    elif later.value is None:
        reason = later.reason
    else:
        value = later.value - own.value
    return Score(
        metric="relapse",
        judge=judge,
        identity=person.identity,
        role="forget",
        after_request=request,
        value=value,
        reason=reason,
        n=min(own.n, later.n),
        lost_before=later.lost_before,
        lost_after=later.lost_after,
    )


METRICS: Sequence[TrialMetric] = (
    TrialMetric(
        name="relapse",
        title="Relapse",
        latex=r"Relapse",
        direction="lower",
        unit="difference of cosines",
        summary="rise of an earlier person's ID since that person was forgotten: do later requests bring people back?",
        compute=relapse,
    ),
)
