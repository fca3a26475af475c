"""Collapse: do the people that one method forgot all become the same face? (The authors' released code, issue 2.)

One generator is unlearned for each identity, so this compares the renders of several trials.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guidebench.evidence import Afterwards
from guidebench.metric import CrossMetric, Score
from guidebench.metrics.identity import over_found, paired_cosine


def target_similarity(everybody: Sequence[Afterwards]) -> list[Score]:
    """For each forgotten identity and judge, the mean cosine of its renders after and those of all others, same view.

    everybody: one entry an identity, all of one method, protocol and seed. A pair of views counts if both show a face,
    under the rules of `guidebench.metrics.identity`. With fewer than two identities there is nothing to compare and
    every value is None with that reason.
    """
    ordered = sorted(everybody, key=lambda one: one.identity)  # so that sums do not depend on who comes first
    return [_score(one, judge, ordered) for one in ordered for judge in one.faces]


def _score(one: Afterwards, judge: str, everybody: Sequence[Afterwards]) -> Score:
    others = [other.faces[judge] for other in everybody if other is not one and judge in other.faces]
    if not others:
        alone = "only one identity is measured; target similarity compares several"
        return Score("target_similarity", judge, one.identity, None, alone)
    vectors, found = one.faces[judge]
    theirs, their_found = (np.stack(arrays) for arrays in zip(*others, strict=True))
    similarity = paired_cosine(np.broadcast_to(vectors, theirs.shape), theirs)
    both = their_found & found  # all are renders after unlearning: a lost face was lost there
    value, reason, n, _, lost = over_found(similarity, np.ones_like(both), both)
    return Score("target_similarity", judge, one.identity, value, reason, n, lost_after=lost)


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
