"""Recognised: who passes as the person at a judge's threshold, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.metrics import METRICS, recognition, score_all

SAMPLES = Samples(np.zeros((4, 2), np.float32))
THRESHOLD = 0.5


def seen(cosines, found=None):
    cosines = np.array(cosines, dtype=float)
    vectors = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=-1)
    return Seen(vectors, np.ones(cosines.shape, bool) if found is None else np.array(found))


SUBJECTS = (
    Subject("anna", "forget", 0, 1),
    Subject("anna", "probe", 1, 1),
    Subject("bert", "retain", 0),
    Subject("carl", "retain", 0),
)


def evidence(after, *, photo=(1, 1, 1, 1), photo_found=None, after_found=None, before=None, thresholds=None):
    """after: four subjects by two views, as cosines to E; photo: cosines of the photographs to E, or None."""
    sight = Sight(
        before=seen([[1.0, 1.0]] * 4 if before is None else before),
        after=Seen.stack([seen(after, after_found)]),
        photo=None if photo is None else seen(photo, photo_found),
    )
    known = {"judge": THRESHOLD} if thresholds is None else thresholds
    return Evidence(SUBJECTS, {"judge": sight}, 0, SAMPLES, (SAMPLES,), None, known)


def scores(found):
    return {score.metric: score for score in score_all(found) if score.metric.startswith("recognised")}


def test_renders_that_reach_the_threshold_are_counted_of_all():
    found = scores(evidence([[0.5, 0.49], [0.9, 0.8], [1.0, 0.2], [0.6, 0.7]]))
    shares = {name: (score.value, score.n, score.role) for name, score in found.items() if "before" not in name}
    assert shares == {
        "recognised": (0.5, 2, "forget"),
        "recognised_others": (1.0, 2, "probe"),
        "recognised_retain": (0.75, 4, "retain"),
    }
    assert found["recognised"].identity == "anna" and found["recognised_retain"].identity == "anna"


def test_before_is_what_a_method_starts_from():
    found = scores(evidence([[0.0, 0.0]] * 4, before=[[0.9, 0.3], [0.2, 0.1], [0.7, 0.7], [0.9, 0.0]]))
    assert found["recognised_before"].value == 0.5 and found["recognised_others_before"].value == 0.0
    assert found["recognised_retain_before"].value == 0.75 and found["recognised"].value == 0.0


def test_the_best_photograph_of_the_person_counts_also_a_probe_of_the_method():
    """Anna's first photograph is at 0.0 of E, her second at 1.0: renders at 0.9 of E pass by the second."""
    found = scores(evidence([[0.9, 0.1], [0.1, 0.1], [0.0, 0.0], [0.0, 0.0]], photo=(-1.0, 1.0, 1.0, 1.0)))
    assert found["recognised"].value == 0.5
    assert recognition.accepted(seen([0.9]), seen([0.0, 1.0]), 0.5).tolist() == [True]


def test_a_render_without_a_face_is_not_accepted_and_counted_as_lost():
    found = scores(evidence([[0.9, 0.9]] * 4, after_found=[[True, False], [False, False], [True, True], [True, False]]))
    assert (found["recognised"].value, found["recognised"].n, found["recognised"].lost_after) == (0.5, 2, 1)
    assert found["recognised_others"].value == 0.0 and found["recognised_retain"].value == 0.75
    assert found["recognised_before"].lost_before == 0


def test_a_photograph_without_a_face_is_no_part_of_the_gallery():
    blind = scores(evidence([[0.9, 0.9]] * 4, photo=(0.9, -1.0, 0.9, 0.9), photo_found=[False, True, False, True]))
    assert blind["recognised"].value == 0.0
    assert (blind["recognised_retain"].value, blind["recognised_retain"].n) == (1.0, 2)  # of Carl alone
    nobody = scores(evidence([[0.9, 0.9]] * 4, photo_found=[False] * 4))
    assert {(score.value, "photograph" in score.reason) for score in nobody.values()} == {(None, True)}


def test_without_photographs_the_renders_before_are_the_gallery_and_are_not_scored_against_themselves():
    found = scores(evidence([[0.9, 0.1], [0.9, 0.9], [0.9, 0.9], [0.1, 0.1]], photo=None))
    assert set(found) == {"recognised", "recognised_others", "recognised_retain"}
    assert found["recognised"].value == 0.5 and found["recognised_retain"].value == 0.5


@pytest.mark.parametrize("thresholds", [{}, {"judge": None}])
def test_a_judge_without_a_threshold_has_no_value_but_a_reason(thresholds):
    found = scores(evidence([[0.9, 0.9]] * 4, thresholds=thresholds))
    assert len(found) == 6
    for score in found.values():
        assert score.value is None and "judge" in score.reason and "20,000 pairs" in score.reason and score.n == 0


def test_everybody_forgotten_so_far_is_asked_after_each_request_and_before_once():
    subjects = (Subject("anna", "forget", 0, 1), Subject("bert", "forget", 0, 2), Subject("carl", "retain", 0))
    first, second = seen([[0.1], [0.9], [0.9]]), seen([[0.9], [0.1], [0.9]])
    sight = Sight(seen([[0.9]] * 3), Seen.stack([first, second]), seen([1.0, 1.0, 1.0]))
    found = Evidence(subjects, {"judge": sight}, 0, SAMPLES, (SAMPLES,) * 2, None, thresholds={"judge": THRESHOLD})
    every = [score for score in score_all(found) if score.metric.startswith("recognised")]
    values = [(s.identity, s.after_request, s.value) for s in every if s.metric == "recognised"]
    assert values == [("anna", 1, 0.0), ("anna", 2, 1.0), ("bert", 2, 0.0)]
    before = [(s.identity, s.after_request) for s in every if s.metric == "recognised_before"]
    assert before == [("anna", 1), ("bert", 2)]
    retain = [(s.identity, s.after_request) for s in every if s.metric.startswith("recognised_retain")]
    assert retain == [("anna+1", 1), ("anna+1", 2), ("anna+1", 1)]


def test_shares_are_counted_and_never_tie_with_a_cosine():
    for name in ("recognised", "recognised_others", "recognised_retain"):
        assert METRICS[name].counted and METRICS[name].judged and not METRICS[name].ties
        assert METRICS[f"{name}_before"].direction == "none"
