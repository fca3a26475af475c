"""The metrics by name. Those of one trial are pure functions of `guidebench.evidence.Evidence`."""

from __future__ import annotations

from collections.abc import Iterable

from guidebench.evidence import Evidence
from guidebench.metric import CrossMetric, Metric, Score, TrialMetric
from guidebench.metrics import collapse, frechet, identity, samples

TRIAL_METRICS: dict[str, TrialMetric] = {
    metric.name: metric for metric in (*identity.METRICS, *frechet.METRICS, *samples.METRICS)
}
CROSS_METRICS: dict[str, CrossMetric] = {metric.name: metric for metric in collapse.METRICS}
METRICS: dict[str, Metric] = {**TRIAL_METRICS, **CROSS_METRICS}  # every column of a table


def score_all(evidence: Evidence, metrics: Iterable[TrialMetric] = tuple(TRIAL_METRICS.values())) -> list[Score]:
    """Every metric's scores of one trial, in the order of the registry."""
    return [score for metric in metrics for score in metric.compute(evidence)]
