"""What a score and a metric are."""

import dataclasses

import numpy as np
import pytest

from guidebench.metric import CrossMetric, Score, TrialMetric

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


def test_values_of_several_people_at_once_are_not_independent():
    """Intervals and tests may use a trial's metrics only."""
    trial = TrialMetric(**WORDS, compute=lambda evidence: [SCORE])
    cross = CrossMetric(**WORDS, compute=lambda afterwards: [SCORE])
    assert trial.independent and not cross.independent and trial.judged
    assert trial.compute(None) == cross.compute([]) == [SCORE]
