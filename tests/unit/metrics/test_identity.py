"""Identity similarity by hand: known cosines, missing faces, coverage."""

import numpy as np
import pytest

from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.metrics import METRICS, TRIAL_METRICS, identity, score_all

E1, E2 = np.array([1.0, 0.0]), np.array([0.0, 1.0])
MIX = np.array([0.6, 0.8])
SAMPLES = Samples(np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32))


IMAGE_METRICS = {"fid_pre", "delta_fid_real", "kid_pre", "precision", "recall"}


def seen(vectors, found=None):
    vectors = np.array(vectors, dtype=float)
    return Seen(vectors, np.ones(vectors.shape[:-1], bool) if found is None else np.array(found))


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
    sight = Sight(
        before=seen(before, before_found),
        after=seen([after], None if after_found is None else [after_found]),
        photo=None if photo is None else seen(photo),
        neighbours=None if neighbours is None else seen([[neighbours]], neighbours_found and [[neighbours_found]]),
    )
    others = ("retain", "named")
    subjects = tuple(
        Subject("bert" if role in others else "anna", role, 0, 0 if role in others else 1) for role in roles
    )
    return Evidence(subjects, {"judge": sight}, 1, SAMPLES, (SAMPLES,), None)


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
    assert {score.metric for score in score_all(found)} == {"id", "recognised", *IMAGE_METRICS}


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
        "id_named": "higher",
        "id_lookalike": "higher",
        "id_photo": "lower",
        "id_neighbour": "lower",
        "inversion": "none",
        "recognised": "lower",
        "recognised_others": "lower",
        "recognised_retain": "higher",
        "recognised_before": "none",
        "recognised_others_before": "none",
        "recognised_retain_before": "none",
        "fid_pre": "lower",
        "delta_fid_real": "lower",
        "kid_pre": "lower",
        "precision": "higher",
        "recall": "higher",
        "target_similarity": "lower",
        "id_worst": "lower",
        "relapse": "lower",
        "recognised_worst": "lower",
    }
    assert set(METRICS) - set(TRIAL_METRICS) == {"target_similarity"}


def group(after, *, requests=2):
    """Anna is forgotten first, then bert, each with another photograph; carl is named to the method, dora is not."""
    subjects = (
        Subject("anna", "forget", 0, 1),
        Subject("anna", "probe", 1, 1),
        Subject("bert", "forget", 0, min(2, requests)),
        Subject("bert", "probe", 1, min(2, requests)),
        Subject("carl", "named", 0),
        Subject("dora", "retain", 0),
    )
    before = seen([[E1, E1]] * 6)
    sight = Sight(before, seen([[[face, face] for face in request] for request in after]))
    return Evidence(subjects, {"judge": sight}, 1, SAMPLES, (SAMPLES,) * requests, None)


def table(found):
    return {
        (score.metric, score.identity, score.after_request): (score.role, score.value)
        for score in score_all(found)
        if score.metric.startswith("id_") or score.metric == "id"
    }


def test_everybody_forgotten_so_far_is_scored_after_each_request():
    """After the second request anna is half back (0.6): a relapse; bert is judged from his own request on."""
    found = table(group([[E2, E2, E1, E1, E1, E1], [MIX, E2, E2, MIX, E1, MIX]]))
    assert found == {
        ("id", "anna", 1): ("forget", 0),
        ("id", "anna", 2): ("forget", pytest.approx(0.6)),
        ("id", "bert", 2): ("forget", 0),
        ("id_others", "anna", 1): ("probe", 0),
        ("id_others", "anna", 2): ("probe", 0),
        ("id_others", "bert", 2): ("probe", pytest.approx(0.6)),
        ("id_named", "anna+1", 1): ("named", 1),
        ("id_named", "anna+1", 2): ("named", 1),
        ("id_retain", "anna+1", 1): ("retain", 1),
        ("id_retain", "anna+1", 2): ("retain", pytest.approx(0.6)),
    }


def test_people_of_one_request_are_scored_one_by_one():
    found = table(group([[E2, E2, MIX, E1, E1, E1]], requests=1))
    assert {place: value for place, (_, value) in found.items() if place[0] == "id"} == {
        ("id", "anna", 1): 0,
        ("id", "bert", 1): pytest.approx(0.6),
    }


def test_samples_are_scored_after_each_request_for_the_whole_group():
    scores = [score for score in score_all(group([[E1] * 6] * 2)) if score.metric == "fid_pre"]
    assert [(score.identity, score.role, score.after_request) for score in scores] == [
        ("anna+1", "samples", 1),
        ("anna+1", "samples", 2),
    ]
    assert [score.value for score in scores] == [0.0, 0.0]
