"""Collapse by hand: who looks like whom after each was forgotten."""

import numpy as np
import pytest

from guidebench.evidence import Afterwards, Seen
from guidebench.metrics.collapse import target_similarity

E1, E2, MIX = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.6, 0.8])


def after(identity, *views, found=None):
    return Afterwards(identity, {"judge": Seen(np.array(views), np.array(found or [True] * len(views)))})


def values(*everybody):
    return {score.identity: score.value for score in target_similarity(everybody)}


def test_one_face_for_everybody_is_one_and_different_people_are_their_cosine():
    assert values(*(after(name, MIX, MIX) for name in "abc")) == {name: pytest.approx(1) for name in "abc"}
    assert values(after("a", E1, E1), after("b", E2, E2)) == {"a": 0, "b": 0}


def test_each_identity_is_compared_with_all_others_view_by_view():
    """a-b: (1 + 0)/2 over two views; a-c: 0.6; b-c: (0.6 + 0.8)/2. Per identity the mean over the two others."""
    found = values(after("a", E1, E1), after("b", E1, E2), after("c", MIX, MIX))
    assert found == {
        "a": pytest.approx((0.5 + 0.6) / 2),
        "b": pytest.approx((0.5 + 0.7) / 2),
        "c": pytest.approx((0.6 + 0.7) / 2),
    }


def test_a_view_counts_where_both_show_a_face():
    scores = target_similarity(
        [after("a", E1, E1, found=[True, False]), after("b", E1, E2), after("c", MIX, MIX, found=[False, False])]
    )
    by_name = {score.identity: score for score in scores}
    assert by_name["a"].value is None and (by_name["a"].n, by_name["a"].lost_after) == (1, 3)
    assert by_name["c"].value is None and "0 of 4 pairs" in by_name["c"].reason


def test_the_order_of_identities_does_not_matter():
    everybody = [after("a", E1, E2), after("b", MIX, E2), after("c", E2, MIX)]
    assert values(*everybody) == values(*reversed(everybody))


def test_one_identity_alone_has_nothing_to_be_compared_with():
    (score,) = target_similarity([after("a", E1)])
    assert score.value is None and "identity" in score.reason
