"""Identity similarity by hand: known cosines, missing faces, coverage."""

import numpy as np
import pytest

from guidebench.evidence import Evidence, FrechetStatistics, Samples, Sight, Subject
from guidebench.metrics import METRICS, TRIAL_METRICS, identity, score_all

E1, E2 = np.array([1.0, 0.0]), np.array([0.0, 1.0])
MIX = np.array([0.6, 0.8])
GAUSSIAN = FrechetStatistics(np.zeros(2), np.eye(2), 100)


IMAGE_METRICS = {"fid_pre", "delta_fid_real", "kid_pre", "precision", "recall"}


def evidence(
    before,
    after,
    *,
    before_found=None,
    after_found=None,
    roles=("forget", "probe", "retain"),
    photo=None,
    neighbours=None,
    neighbours_found=None,
):
    before, after = np.array(before, dtype=float), np.array(after, dtype=float)
    everywhere = np.ones(before.shape[:2], bool)
    sight = Sight(
        before=before,
        before_found=everywhere if before_found is None else np.array(before_found),
        after=after,
        after_found=everywhere if after_found is None else np.array(after_found),
        photo=None if photo is None else np.array(photo, dtype=float),
        photo_found=None if photo is None else np.ones(len(before), bool),
        neighbours=None if neighbours is None else np.array(neighbours, dtype=float),
        neighbours_found=None if neighbours is None else np.array(neighbours_found or [True] * len(neighbours)),
    )
    subjects = tuple(Subject("anna" if role != "retain" else "bert", role, 0) for role in roles)
    return Evidence(subjects, {"judge": sight}, 1, Samples(None, GAUSSIAN), Samples(None, GAUSSIAN), GAUSSIAN)


def value(found, metric):
    return next(score for score in score_all(found) if score.metric == metric)


def test_each_role_is_scored_by_its_own_pairs():
    found = evidence(before=[[E1] * 3] * 3, after=[[E1, E2, E2], [MIX] * 3, [E1] * 3])
    assert value(found, "id").value == pytest.approx(1 / 3)
    assert value(found, "id_others").value == pytest.approx(0.6)
    assert value(found, "id_retain").value == pytest.approx(1.0)
    assert value(found, "id").n == 3 and value(found, "id").identity == "anna"


def test_a_lost_face_is_left_out_and_counted_not_scored_as_zero():
    found = evidence(
        before=[[E1] * 4],
        after=[[E1, E1, E2, E2]],
        roles=("forget",),
        before_found=[[True, True, False, True]],
        after_found=[[True, True, True, False]],
    )
    score = value(found, "id")
    assert (score.value, score.n, score.lost_before, score.lost_after) == (1.0, 2, 1, 1)


def test_below_half_coverage_there_is_no_value_but_a_reason():
    found = evidence(before=[[E1] * 4], after=[[E1] * 4], roles=("forget",), after_found=[[True, False, False, False]])
    score = value(found, "id")
    assert score.value is None and "1 of 4" in score.reason and score.lost_after == 3


def test_metrics_that_a_protocol_does_not_ask_for_give_no_row():
    found = evidence(before=[[E1] * 3], after=[[E1] * 3], roles=("forget",))
    assert {score.metric for score in score_all(found)} == {"id", *IMAGE_METRICS}


def test_photographs_are_compared_with_renders():
    """The photo is E1: after-renders are 0.6 away; the frontal before-renders (view 1) are E1 and MIX."""
    found = evidence(
        before=[[E2, E1, E2], [E2, MIX, E2], [E1] * 3], after=[[MIX] * 3, [E2] * 3, [E1] * 3], photo=[E1, E1, E2]
    )
    assert value(found, "id_photo").value == pytest.approx(0.6)
    assert value(found, "inversion").value == pytest.approx(0.8)


def test_the_worst_neighbour_counts_against_the_frontal_render_before():
    """The frontal before-render (view 1) is E1; neighbours are 0, 0.6 and -1 away: the largest is the leak."""
    found = evidence(
        before=[[E2, E1, E2]], after=[[E2] * 3], roles=("forget",), neighbours=[E2, MIX, -E1], neighbours_found=None
    )
    score = value(found, "id_neighbour")
    assert score.value == pytest.approx(0.6) and score.n == 3


def test_a_neighbour_without_a_face_is_left_out_and_counted():
    arguments = {"before": [[E1] * 3], "after": [[E2] * 3], "roles": ("forget",), "neighbours": [E1, MIX, E2, E2]}
    score = value(evidence(**arguments, neighbours_found=[False, True, True, True]), "id_neighbour")
    assert (score.value, score.n, score.lost_after) == (pytest.approx(0.6), 3, 1)
    few = value(evidence(**arguments, neighbours_found=[True, False, False, False]), "id_neighbour")
    assert few.value is None and "1 of 4" in few.reason
    unseen = value(evidence(**arguments, before_found=[[True, False, True]]), "id_neighbour")
    assert unseen.value is None and unseen.lost_before == 4


def test_paired_cosine_refuses_unpaired_input():
    with pytest.raises(ValueError, match="shape"):
        identity.paired_cosine(np.ones((2, 3)), np.ones((3, 3)))


def test_every_metric_says_which_way_is_better():
    assert {name: metric.direction for name, metric in METRICS.items()} == {
        "id": "lower",
        "id_others": "lower",
        "id_retain": "higher",
        "id_photo": "lower",
        "id_neighbour": "lower",
        "inversion": "none",
        "fid_pre": "lower",
        "delta_fid_real": "lower",
        "kid_pre": "lower",
        "precision": "higher",
        "recall": "higher",
        "target_similarity": "lower",
    }
    assert set(METRICS) - set(TRIAL_METRICS) == {"target_similarity"}
