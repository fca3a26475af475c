"""Metrics that keep the contract and look unlike those that ship: of one judge, of samples, of several trials."""

from __future__ import annotations

import numpy as np

from guidebench.evidence import Afterwards, Evidence
from guidebench.metric import CrossMetric, Score, TrialMetric


def _shift(evidence: Evidence) -> list[Score]:
    """How far the mean of the samples moved with each request."""
    before = evidence.source.statistics.mean
    return [
        Score(
            metric="shift",
            judge=None,
            identity=evidence.group,
            role="samples",
            after_request=request,
            value=float(np.linalg.norm(samples.statistics.mean - before)),
            n=samples.count,
        )
        for request, samples in enumerate(evidence.after, start=1)
    ]


def _first_judge_only(evidence: Evidence) -> list[Score]:
    """By one judge, after the last request, of the first person: a metric need not score everybody."""
    sight, person, last = evidence.sights["first"], evidence.forgotten[0], len(evidence.after)
    seen = sight.after[last - 1][evidence.rows("forget", person.identity)]
    n = int(seen.found.sum())
    value = float(np.linalg.norm(seen.vectors[seen.found].mean(axis=0))) if n else None
    return [
        Score(
            metric="agreement",
            judge="first",
            identity=person.identity,
            role="forget",
            after_request=last,
            value=value,
            reason=None if n else "no face is found in any view",
            n=n,
        )
    ]


def _spread(everybody: list[Afterwards]) -> list[Score]:
    """Largest distance of two forgotten people's mean embeddings; none for one person alone."""
    scores = []
    for one in everybody:
        for judge, faces in one.faces.items():
            others = [other.faces[judge] for other in everybody if other is not one]
            found = faces.found.any() and others and all(other.found.any() for other in others)
            centre = faces.vectors[faces.found].mean(axis=0) if faces.found.any() else None
            value = (
                max(float(np.linalg.norm(other.vectors[other.found].mean(axis=0) - centre)) for other in others)
                if found
                else None
            )
            scores.append(
                Score(
                    metric="spread",
                    judge=judge,
                    identity=one.identity,
                    role="forget",
                    after_request=one.request,
                    value=value,
                    reason=None if found else "nobody to compare with",
                )
            )
    return scores


SHIFT = TrialMetric(
    name="shift",
    title="Shift",
    latex="Shift",
    direction="lower",
    unit="feature distance",
    summary="how far the mean of the samples moved",
    judged=False,
    compute=_shift,
)
AGREEMENT = TrialMetric(
    name="agreement",
    title="Agreement",
    latex="Agreement",
    direction="none",
    unit="length",
    summary="how alike the views of the first person are",
    compute=_first_judge_only,
)
SPREAD = CrossMetric(
    name="spread",
    title="Spread",
    latex="Spread",
    direction="higher",
    unit="distance",
    summary="the largest distance of two forgotten people",
    compute=_spread,
)
