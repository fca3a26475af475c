"""Collapse: do the people that one method forgot all become the same face? (The authors' released code, issue 2.)

A generator forgets few people, so this compares the renders of several trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guidebench.evidence import Afterwards, Seen, SeenFaces
from guidebench.metric import CrossMetric, Score
from guidebench.metrics.identity import similarity


def target_similarity(everybody: Sequence[Afterwards]) -> list[Score]:
    """For each forgotten identity and judge, the mean cosine of its renders after and those of all others, same view.

    everybody: one entry per forgotten person, all of one method, protocol and seed. A pair of views counts if both show
    a face, under the rules of `guidebench.metrics.identity`. With fewer than two identities there is nothing to compare
    and every value is None with that reason.
    """
    ordered = sorted(everybody, key=lambda one: one.identity)  # so that sums do not depend on who comes first
    return [_score(one, judge, ordered) for one in ordered for judge in one.faces]


def _score(one: Afterwards, judge: str, everybody: Sequence[Afterwards]) -> Score:
    others = [other.faces[judge] for other in everybody if other is not one and judge in other.faces]
    if not others:
        alone = "only one identity is measured; target similarity compares several"
        return _scored(one, judge, None, alone)
    theirs, own = Seen.stack(others), one.faces[judge]
    both = theirs.found & own.found  # all are renders after unlearning: a lost face was lost there
    found = similarity(_everywhere(own, theirs), Seen(theirs.vectors, both))
    return _scored(one, judge, found.value, found.reason, found.n, found.lost_after)


def _everywhere(faces: SeenFaces, like: SeenFaces) -> SeenFaces:
    """The faces against each of several others; what they lack is counted on the other side."""
    return Seen(np.broadcast_to(faces.vectors, like.vectors.shape), np.ones_like(like.found))


def _scored(
    one: Afterwards, judge: str, value: float | None, reason: str | None, n: int = 0, lost_after: int = 0
) -> Score:
    return Score(
        metric="target_similarity",
        judge=judge,
        identity=one.identity,
        role="forget",
        after_request=one.request,
        value=value,
        reason=reason,
        n=n,
        lost_after=lost_after,
    )


METRICS: Sequence[CrossMetric] = (
    CrossMetric(
        name="target_similarity",
        title="Target similarity",
        latex=r"Target similarity",
        direction="lower",
        unit="cosine",
        summary="collapse: the faces that different forgotten people get, against each other; 1: all the same face",
        compute=target_similarity,
    ),
)
