"""What attacks find, by hand: the best finding of each person, its controls, the way back to half, the worst case."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from guidebench.evidence import Attacked, Evidence, Samples, Seen, Shown, Sight, Subject
from guidebench.metric import check_scores
from guidebench.metrics import attacks, score_all

SAMPLES = Samples(np.zeros((4, 2), np.float32))
SUBJECTS = (Subject("anna", "forget", 0, 1), Subject("bert", "forget", 0, 1), Subject("carl", "retain", 0))
ID = {"anna": 0.1, "bert": 0.2}  # of both views, without any attack
THRESHOLD = 0.5


def seen(cosines, found=None):
    cosines = np.array(cosines, dtype=float)
    vectors = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=-1)
    return Seen(vectors, np.ones(cosines.shape, bool) if found is None else np.array(found))


def shown(after, found=None, before_found=None):
    """Renders as cosines to E, people by findings by views, compared with E."""
    return {"judge": Shown(seen(after, found), seen(np.ones_like(np.array(after, dtype=float)), before_found))}


def attacked(after, *, found=None, before_found=None, at=None, **changes):
    size = np.array(after).shape[:2]
    at = np.tile(np.arange(1.0, size[1] + 1), (size[0], 1)) if at is None else np.array(at)
    whom = {"people": ("anna", "bert"), "distance": np.ones(size), **changes}
    return Attacked(at=at, found=shown(after, found, before_found), **whom)


def evidence(*, thresholds=None, photo=(1.0, 1.0, 1.0), id_found=None, **of_attacks):
    sight = Sight(
        before=seen([[1.0, 1.0]] * 3),
        after=Seen.stack([seen([[ID["anna"]] * 2, [ID["bert"]] * 2, [0.9, 0.9]], id_found)]),
        photo=None if photo is None else seen(photo),
    )
    known = {"judge": THRESHOLD} if thresholds is None else thresholds
    return Evidence(SUBJECTS, {"judge": sight}, 0, SAMPLES, (SAMPLES,), None, known, attacks=of_attacks)


def scores(found, metric):
    return {score.identity: score for score in score_all(found) if score.metric == metric}


def values(found, metric):
    return {who: score.value for who, score in scores(found, metric).items()}


TWO = [[[0.2, 0.4], [0.6, 0.6]], [[0.9, 0.7], [0.0, 0.1]]]  # people, findings, views


def test_the_best_finding_of_each_person_counts_as_the_mean_over_its_views():
    found = evidence(mine=attacked(TWO))
    assert values(found, "id_after_mine") == pytest.approx({"anna": 0.6, "bert": 0.8})
    for who, score in scores(found, "id_after_mine").items():
        assert (score.judge, score.role, score.after_request, score.n) == ("judge", "forget", 1, 2) and who in ID


def test_it_is_compared_with_the_render_before_from_the_same_view():
    """Half of 60 degrees on either side of E: the cosine of what is 60 degrees apart."""
    half = np.cos(np.pi / 6)
    before = Seen(np.array([[[[half, -0.5]]]]), np.ones((1, 1, 1), bool))
    mine = Attacked(("anna",), np.ones((1, 1)), np.ones((1, 1)), {"judge": Shown(seen([[[half]]]), before)})
    assert values(evidence(mine=mine), "id_after_mine") == pytest.approx({"anna": 0.5})


def test_a_finding_that_lost_its_faces_is_passed_over_and_one_that_lost_few_is_counted_without_them():
    faces = [[[True, True], [False, False]], [[True, False], [True, True]]]
    found = scores(evidence(mine=attacked(TWO, found=faces)), "id_after_mine")
    assert (found["anna"].value, found["anna"].lost_after) == (pytest.approx(0.3), 0)
    assert found["bert"].value == pytest.approx(0.9) and (found["bert"].n, found["bert"].lost_after) == (1, 1)


def test_if_no_finding_shows_a_face_there_is_no_value_but_a_reason():
    found = scores(evidence(mine=attacked(TWO, found=np.zeros((2, 2, 2), bool))), "id_after_mine")
    for score in found.values():
        assert score.value is None and "2 after" in score.reason and score.lost_after == 2


def test_the_original_and_others_are_scored_like_findings():
    mine = attacked(TWO, original=shown([[[1.0, 0.8], [0.3, 0.3]], [[0.4, 0.4], [0.5, 0.5]]]))
    mine = dataclasses.replace(mine, others=("carl", "dora"), other=shown([[[0.9, 0.9], [0.1, 0.1]], [[0.2, 0.4]] * 2]))
    found = evidence(mine=mine)
    assert values(found, "id_original_mine") == pytest.approx({"anna": 0.9, "bert": 0.5})
    assert values(found, "id_other_mine") == pytest.approx({"anna+1": 0.6}), "the mean over people, of the best of each"
    (other,) = scores(found, "id_other_mine").values()
    assert (other.role, other.n) == ("retain", 4)


def test_a_search_says_how_ordinary_the_code_of_its_best_finding_is():
    far = {"distance": np.array([[0.5, 2.0], [1.5, 3.0]])}
    search = attacked(TWO, original=shown(TWO), **far)
    assert values(evidence(mine=search), "distance_after_mine") == {"anna": 2.0, "bert": 1.5}
    assert values(evidence(mine=attacked(TWO, **far)), "distance_after_mine") == {}, "it searched nothing"


def test_of_others_without_a_face_the_reason_is_kept():
    mine = dataclasses.replace(attacked(TWO), others=("carl",), other=shown([[[0.9, 0.9]]], [[[False, False]]]))
    (other,) = scores(evidence(mine=mine), "id_other_mine").values()
    assert other.value is None and other.reason and other.lost_after == 2


def test_controls_that_were_not_run_have_no_scores():
    found = {score.metric for score in score_all(evidence(mine=attacked(TWO)))}
    assert {"id_after_mine", "recognised_after_mine"} <= found
    assert not {"id_original_mine", "id_other_mine", "half_after_mine"} & found


def test_renders_that_pass_as_the_person_are_counted_in_the_best_finding():
    """At 0.5: anna's second finding passes twice, bert's first; a face that is lost does not pass."""
    assert values(evidence(mine=attacked(TWO)), "recognised_after_mine") == {"anna": 1.0, "bert": 1.0}
    some = [[[0.5, 0.49], [0.4, 0.6]], [[0.1, 0.2], [0.3, 0.4]]]
    assert values(evidence(mine=attacked(some)), "recognised_after_mine") == {"anna": 0.5, "bert": 0.0}
    lost = [[[True, True], [True, False]], [[True, True], [True, True]]]
    assert values(evidence(mine=attacked(TWO, found=lost)), "recognised_after_mine")["anna"] == 0.5


@pytest.mark.parametrize("unknown", [{"thresholds": {}}, {"thresholds": {"judge": None}}])
def test_without_a_threshold_nobody_knows_who_passes(unknown):
    found = evidence(mine=attacked(TWO), **unknown)
    for metric in ("recognised_after_mine", "recognised_worst"):
        for score in scores(found, metric).values():
            assert score.value is None and score.reason and score.n == 0
    assert values(found, "id_after_mine") and values(found, "id_worst")


def test_without_photographs_the_renders_before_are_the_gallery():
    assert values(evidence(mine=attacked(TWO), photo=None), "recognised_after_mine") == {"anna": 1.0, "bert": 1.0}


CURVE = [[[0.2, 0.2], [0.4, 0.4], [0.8, 0.8]], [[0.6, 0.6], [0.7, 0.7], [0.8, 0.8]]]


def test_half_is_crossed_where_the_line_between_findings_does():
    """Anna from 0.4 at 20 to 0.8 at 40: 25; bert from ID, 0.2 at 0, to 0.6 at 10: 7.5."""
    found = evidence(mine=attacked(CURVE, at=[[10, 20, 40]] * 2, curve=True))
    assert values(found, "half_after_mine") == pytest.approx({"anna": 25.0, "bert": 7.5})
    assert all(score.n == 4 for score in scores(found, "half_after_mine").values())


def test_a_curve_that_stays_below_half_says_how_far_it_went():
    found = scores(evidence(mine=attacked([[[0.2], [0.4]]] * 2, at=[[10, 20]] * 2, curve=True)), "half_after_mine")
    assert {score.value for score in found.values()} == {None} and "20" in found["anna"].reason


def test_a_curve_passes_over_findings_without_a_face():
    """Anna from ID, 0.1 at 0, to 0.8 at 40, with nothing in between."""
    lost = [[[False, False], [False, False], [True, True]], [[True, True]] * 3]
    found = evidence(mine=attacked(CURVE, at=[[10, 20, 40]] * 2, found=lost, curve=True))
    assert values(found, "half_after_mine")["anna"] == pytest.approx(40 * (0.5 - 0.1) / (0.8 - 0.1))


def test_who_was_not_forgotten_takes_nothing_to_come_back():
    found = evidence(mine=attacked(CURVE, at=[[10, 20, 40]] * 2, curve=True))
    sight = found.sights["judge"]
    kept = dataclasses.replace(sight, after=Seen.stack([seen([[0.7, 0.7], [0.5, 0.5], [0.9, 0.9]])]))
    found = dataclasses.replace(found, sights={"judge": kept})
    assert values(found, "half_after_mine") == {"anna": 0.0, "bert": 0.0}


def test_a_curve_without_any_face_has_a_reason():
    nobody = np.zeros((3, 2), bool)
    mine = attacked(CURVE, found=np.zeros((2, 3, 2), bool), curve=True)
    for score in scores(evidence(mine=mine, id_found=nobody), "half_after_mine").values():
        assert score.value is None and score.reason


def test_the_worst_case_is_the_largest_of_id_and_attacks_that_show_whom_the_generator_holds():
    weak = attacked([[[0.3, 0.3]], [[0.1, 0.1]]])
    strong = attacked([[[0.6, 0.4]], [[0.15, 0.15]]])
    anybody = attacked([[[1.0, 1.0]], [[1.0, 1.0]]], shows_anybody=True)
    found = evidence(weak=weak, strong=strong, anybody=anybody)
    assert values(found, "id_worst") == pytest.approx({"anna": 0.5, "bert": ID["bert"]})
    assert values(found, "recognised_worst") == {"anna": 0.5, "bert": 0.0}
    assert values(found, "id_after_anybody") == pytest.approx({"anna": 1.0, "bert": 1.0})


@pytest.mark.parametrize("made", [{"mine": [[[0.9, 0.9]], [[0.9, 0.9]]]}, {}], ids=["beside another", "alone"])
def test_where_an_attack_failed_nobody_knows_the_worst_case(made):
    found = evidence(**{label: attacked(after) for label, after in made.items()})
    found = dataclasses.replace(found, failed_attacks={"stubborn": "the generator lets no gradient through"})
    for metric in ("id_worst", "recognised_worst"):
        assert {who: score.value for who, score in scores(found, metric).items()} == {"anna": None, "bert": None}
        assert {score.reason for score in scores(found, metric).values()} == {
            "attack stubborn failed: the generator lets no gradient through"
        }
    check_scores(score_all(found), requests=1)
    assert values(found, "id_after_mine") == {who: pytest.approx(0.9) for who in ID} or not made


@pytest.mark.parametrize("made", [{}, {"anybody": attacked(TWO, shows_anybody=True)}])
def test_without_such_attacks_there_is_no_worst_case(made):
    names = {score.metric for score in score_all(evidence(**made))}
    assert not {"id_worst", "recognised_worst"} & names


def test_a_worst_case_in_which_no_face_is_left_has_a_reason():
    found = evidence(mine=attacked(TWO, found=np.zeros((2, 2, 2), bool)), id_found=np.zeros((3, 2), bool))
    for score in scores(found, "id_worst").values():
        assert score.value is None and score.reason
    assert values(found, "recognised_worst") == {"anna": 0.0, "bert": 0.0}, "what shows no face does not pass"


def test_after_several_requests_the_state_after_the_last_is_what_is_attacked():
    first = seen([[0.9, 0.9], [0.9, 0.9], [0.9, 0.9]])
    found = evidence(mine=attacked([[[0.0, 0.0]], [[0.0, 0.0]]]))
    sight = found.sights["judge"]
    later = dataclasses.replace(sight, after=Seen.stack([first, Seen(sight.after.vectors[0], sight.after.found[0])]))
    found = dataclasses.replace(found, sights={"judge": later}, after=(SAMPLES,) * 2)
    assert values(found, "id_worst") == pytest.approx(ID)
    assert {score.after_request for score in scores(found, "id_after_mine").values()} == {2}


def test_every_metric_of_an_attack_keeps_the_contract_of_metrics():
    mine = attacked(CURVE, curve=True, original=shown(CURVE), others=("carl",), other=shown(CURVE[:1]))
    found = evidence(**{"mine(a=1,b_c=2)": mine})
    made = attacks.of_attack("mine(a=1,b_c=2)")
    assert [metric.name.removesuffix("mine(a=1,b_c=2)") for metric in made] == [
        "id_after_",
        "recognised_after_",
        "id_original_",
        "id_other_",
        "distance_after_",
        "half_after_",
    ]
    for metric in (*made, *attacks.METRICS):
        got = metric.compute(found)
        assert got and {score.metric for score in got} == {metric.name}
        check_scores(got, requests=1)
        assert metric.title and "\n" not in metric.summary and not metric.compute(evidence())
    assert made[0].latex.endswith(r"mine(a=1,b\_c=2)}") and made[0].title == "ID after mine(a=1,b_c=2)"
    assert attacks.scores_of(found) == [score for metric in made for score in metric.compute(found)]
