"""The metrics that a record holds, by name. Each is a pure function of `guidebench.metric.Evidence`."""

from __future__ import annotations

from collections.abc import Iterable

from guidebench.metric import Evidence, Metric, Score
from guidebench.metrics import frechet, identity

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*identity.METRICS, *frechet.METRICS)}


def score_all(evidence: Evidence, metrics: Iterable[Metric] = tuple(METRICS.values())) -> list[Score]:
    """Every metric's scores of one trial, in the order of the registry."""
    return [score for metric in metrics for score in metric.compute(evidence)]
