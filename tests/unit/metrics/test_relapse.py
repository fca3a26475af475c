"""Relapse: the rise of ID since a person's own request, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.metrics.relapse import relapse

E1, E2, MIX, NONE = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.0, 0.0]
SAMPLES = Samples(np.zeros((2, 2), np.float32))
SUBJECTS = (
    Subject("anna", "forget", 0, 1),
    Subject("bert", "forget", 0, 2),
    Subject("carl", "forget", 0, 3),
    Subject("dora", "retain", 0),
)


def seen(vectors):
    vectors = np.array(vectors, np.float32)
    return Seen(vectors, np.linalg.norm(vectors, axis=-1) > 0)


def evidence(*after):
    """after: by request, the faces of everybody, in one view."""
    sight = Sight(seen([[E1]] * 4), seen([[[face] for face in request] for request in after]))
    return Evidence(SUBJECTS, {"judge": sight}, 0, SAMPLES, (SAMPLES,) * len(after), None)


def table(found):
    return {(score.identity, score.after_request): score.value for score in found}


def test_relapse_is_id_later_minus_id_directly_after():
    """Anna goes from 0 to 0.6 to 1, bert from 0.6 back to 0; carl, forgotten last, has had no time to return."""
    found = relapse(evidence([E2, NONE, NONE, E1], [MIX, MIX, NONE, E1], [E1, E2, E2, E1]))
    assert table(found) == {
        ("anna", 2): pytest.approx(0.6),
        ("anna", 3): pytest.approx(1.0),
        ("bert", 3): pytest.approx(-0.6),
    }
    assert {(score.metric, score.judge, score.role, score.n) for score in found} == {("relapse", "judge", "forget", 1)}


def test_a_face_that_was_never_seen_gives_no_value():
    found = relapse(evidence([NONE, NONE, NONE, E1], [E2, E2, NONE, E1], [E2, NONE, E2, E1]))
    reasons = {(score.identity, score.after_request): score.reason for score in found}
    assert all(value is None for value in table(found).values())
    assert "after request 1" in reasons["anna", 2] and "after request 1" in reasons["anna", 3]
    assert "faces found on both sides in 0 of 1" in reasons["bert", 3]


def test_one_request_has_no_relapse():
    assert relapse(evidence([E1, E1, E1, E1])) == []
