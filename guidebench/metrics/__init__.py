"""The metrics by name. Those of one trial are pure functions of `guidebench.evidence.Evidence`."""

from __future__ import annotations

from collections.abc import Iterable

from guidebench.errors import in_one_line
from guidebench.evidence import Evidence
from guidebench.metric import CrossMetric, Metric, Score, TrialMetric, check_scores
from guidebench.metrics import attacks, collapse, frechet, identity, recognition, relapse, samples

TRIAL_METRICS: dict[str, TrialMetric] = {
    metric.name: metric
    for metric in (
        *identity.METRICS,
        *relapse.METRICS,
        *recognition.METRICS,
        *frechet.METRICS,
        *samples.METRICS,
        *attacks.METRICS,
    )
}
CROSS_METRICS: dict[str, CrossMetric] = {metric.name: metric for metric in collapse.METRICS}
METRICS: dict[str, Metric] = {**TRIAL_METRICS, **CROSS_METRICS}  # every column of a table


def score_all(evidence: Evidence, further: Iterable[TrialMetric] = ()) -> list[Score]:
    """Every metric's scores of one trial, in the order of the registry, then those of attacks and of further metrics.

    further: the user's own. One that raises gives a single score without a value, whose reason says what it raised.
    """
    scores = [score for metric in TRIAL_METRICS.values() for score in metric.compute(evidence)]
    scores += attacks.scores_of(evidence)
    return scores + [score for metric in further for score in _guarded(metric, evidence)]


def _guarded(metric: TrialMetric, evidence: Evidence) -> list[Score]:
    try:
        scores = list(metric.compute(evidence))
        wrong = [score for score in scores if not isinstance(score, Score) or score.metric != metric.name]
        if wrong:
            raise TypeError(f"compute() must return Scores of {metric.name}, it returned {wrong[0]!r:.80}")
        check_scores(scores, requests=len(evidence.after))
        return scores
    except Exception as error:  # any code may stand in somebody's file; what else was measured stays
        return [
            Score(
                metric=metric.name,
                judge=None,
                identity=evidence.group,
                role="samples",
                after_request=len(evidence.after),
                value=None,
                reason=f"the metric raised {in_one_line(error)}",
            )
        ]
