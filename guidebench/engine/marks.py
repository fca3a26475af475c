"""What a reader of a trial's row must know: marks of a record, from how it ran and from its evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from guidebench.engine.unlearning import Unlearned
from guidebench.evidence import Evidence, Samples

WRAPPER = "wrapper"
MEMORISED = "memorised"
IN_PROCESS = "in process"
ONE_BY_ONE = "one by one"
CHANCE = 1e-4  # how often an honest trial may be marked as memorised


def marks_of(
    evidence: Evidence, answers: Sequence[Unlearned], *, in_process: bool, one_by_one: bool = False
) -> tuple[str, ...]:
    """The marks that apply, in a fixed order.

    in_process: the method ran where its trial was judged. one_by_one: it was applied once per person.
    """
    found = {
        WRAPPER: any(answer.wrapper for answer in answers),
        MEMORISED: is_memorised(evidence),
        IN_PROCESS: in_process,
        ONE_BY_ONE: one_by_one,
    }
    return tuple(mark for mark, applies in found.items() if applies)


def is_memorised(evidence: Evidence) -> bool:
    """Whether public and secret codes moved differently, after any request, more than chance allows."""
    return any(chance_of_difference(evidence, request) < CHANCE for request in range(len(evidence.public[1:])))


def chance_of_difference(evidence: Evidence, request: int) -> float:
    """How often public and secret codes would differ as much if the method knew neither: a Mann-Whitney p value.

    Compared is how far each sample moved, as the distance of its features before and after: codes of both sets are
    drawn alike, so that the moves of a method which knows none of them are, too. request: its place, from 0.
    """
    public = _moves(evidence.public[0], evidence.public[1 + request])
    secret = _moves(evidence.source, evidence.after[request])
    return mann_whitney(public, secret)


def _moves(before: Samples, after: Samples) -> np.ndarray:
    """(n,) distances of features, rounded: a code that is left alone does not move by its rounding errors."""
    far: np.ndarray = np.linalg.norm(after.features.astype(np.float64) - before.features, axis=1)
    return far.round(3)


def mann_whitney(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p value of the rank test, by the normal distribution, corrected for ties and continuity.

    As `scipy.stats.mannwhitneyu(first, second, method="asymptotic")`, whose import takes a worker a second.
    """
    both = np.concatenate([first, second])
    total, (n, m) = len(both), (len(first), len(second))
    _, place, ties = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    spread = n * m / 12 * (total + 1 - (ties**3.0 - ties).sum() / (total * (total - 1)))
    if spread <= 0:
        return 1.0  # all are equal
    above = abs(ranks[:n].sum() - n * (n + 1) / 2 - n * m / 2) - 0.5
    return min(1.0, math.erfc(above / math.sqrt(2 * spread)))
