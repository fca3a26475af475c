"""What a score and a metric are."""

import dataclasses

import numpy as np
import pytest

from guidebench import metrics
from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.metric import CrossMetric, Score, TrialMetric, check_scores

SCORE = Score(metric="id", judge=None, identity="anna", role="forget", after_request=1, value=0.5)
WORDS = {"name": "mine", "title": "Mine", "latex": "M", "direction": "lower", "unit": "cosine", "summary": "mine"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_is_refused_and_the_cure_named(value):
    with pytest.raises(ValueError, match="id of anna.*None and a reason"):
        dataclasses.replace(SCORE, value=value)


def test_numbers_of_numpy_become_plain_ones():
    score = dataclasses.replace(SCORE, value=np.float32(0.5), n=np.int64(3))
    assert type(score.value) is float and type(score.n) is int and (score.value, score.n) == (0.5, 3)
    with pytest.raises(TypeError):
        dataclasses.replace(SCORE, n=1.5)


def test_a_missing_score_has_a_reason_and_zero_is_a_score():
    missing = dataclasses.replace(SCORE, value=None, reason="no face")
    assert missing.value is None and missing.reason == "no face" and dataclasses.replace(SCORE, value=0.0).value == 0


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ([SCORE, dataclasses.replace(SCORE, value=0.6)], "id of anna was scored twice"),
        ([dataclasses.replace(SCORE, n=-1)], "id of anna has n = -1"),
        ([dataclasses.replace(SCORE, lost_after=-1)], "lost_after = -1"),
        ([dataclasses.replace(SCORE, after_request=0)], "after request 0 of 2"),
        ([dataclasses.replace(SCORE, after_request=3)], "after request 3 of 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_among_the_scores_of_a_trial_is_named(odd, words):
    with pytest.raises(ValueError, match=words):
        check_scores(odd, requests=2)


def test_scores_that_differ_in_anything_are_different():
    others = {"metric": "x", "judge": "alpha", "identity": "bert", "role": "probe", "after_request": 2}
    check_scores([SCORE, *(dataclasses.replace(SCORE, **{name: value}) for name, value in others.items())], requests=2)


def test_a_metric_that_scores_one_thing_twice_has_no_value_in_a_run(monkeypatch):
    monkeypatch.setattr(metrics, "TRIAL_METRICS", {})
    faces = Seen(np.eye(2)[None, :1], np.ones((1, 1), bool))
    sight = Sight(faces, Seen(faces.vectors[None], faces.found[None]))
    samples = Samples(np.zeros((2, 2), np.float32))
    found = Evidence((Subject("anna", "forget", 0, 1),), {"alpha": sight}, 0, samples, (samples,), None)
    mine = TrialMetric(**WORDS, compute=lambda _: [dataclasses.replace(SCORE, metric="mine")] * 2)
    (score,) = metrics.score_all(found, [mine])
    assert score.value is None and score.reason == "the metric raised ValueError: mine of anna was scored twice"


def test_values_of_several_people_at_once_are_not_independent():
    """Intervals and tests may use a trial's metrics only."""
    trial = TrialMetric(**WORDS, compute=lambda evidence: [SCORE])
    cross = CrossMetric(**WORDS, compute=lambda afterwards: [SCORE])
    assert trial.independent and not cross.independent and trial.judged
    assert trial.compute(None) == cross.compute([]) == [SCORE]
