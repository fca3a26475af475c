"""Identity similarity by hand: known cosines, missing faces, coverage."""

import numpy as np
import pytest

from guidebench.metric import Evidence, FrechetStatistics, Sight, Subject
from guidebench.metrics import METRICS, identity, score_all

E1, E2 = np.array([1.0, 0.0]), np.array([0.0, 1.0])
MIX = np.array([0.6, 0.8])
GAUSSIAN = FrechetStatistics(np.zeros(2), np.eye(2), 100)


def evidence(before, after, *, before_found=None, after_found=None, roles=("forget", "probe", "retain"), photo=None):
    before, after = np.array(before, dtype=float), np.array(after, dtype=float)
    everywhere = np.ones(before.shape[:2], bool)
    sight = Sight(
        before=before,
        before_found=everywhere if before_found is None else np.array(before_found),
        after=after,
        after_found=everywhere if after_found is None else np.array(after_found),
        photo=None if photo is None else np.array(photo, dtype=float),
        photo_found=None if photo is None else np.ones(len(before), bool),
    )
    subjects = tuple(Subject("anna" if role != "retain" else "bert", role, 0) for role in roles)
    return Evidence(subjects, {"judge": sight}, 1, GAUSSIAN, GAUSSIAN, GAUSSIAN)


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
    assert {score.metric for score in score_all(found)} == {"id", "fid_pre", "delta_fid_real"}


def test_photographs_are_compared_with_renders():
    """The photo is E1: after-renders are 0.6 away; the frontal before-renders (view 1) are E1 and MIX."""
    found = evidence(
        before=[[E2, E1, E2], [E2, MIX, E2], [E1] * 3], after=[[MIX] * 3, [E2] * 3, [E1] * 3], photo=[E1, E1, E2]
    )
    assert value(found, "id_photo").value == pytest.approx(0.6)
    assert value(found, "inversion").value == pytest.approx(0.8)


def test_paired_cosine_refuses_unpaired_input():
    with pytest.raises(ValueError, match="one shape"):
        identity.paired_cosine(np.ones((2, 3)), np.ones((3, 3)))


def test_every_metric_says_which_way_is_better():
    assert {name: metric.direction for name, metric in METRICS.items()} == {
        "id": "lower",
        "id_others": "lower",
        "id_retain": "higher",
        "id_photo": "lower",
        "inversion": "none",
        "fid_pre": "lower",
        "delta_fid_real": "lower",
    }
