"""Cosine similarities of face embeddings before and after unlearning (GUIDE, arXiv 2405.09879, §4.1).

Rules for missing faces: a pair counts if a face is found on both sides; a value is the mean (for neighbours: the
largest) over counted pairs if at least half of all pairs count, else it is null with a reason. A missing face is never
a similarity of 0, which would be a nearly perfect result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from guidebench.evidence import Evidence, Sight
from guidebench.metric import Score, TrialMetric

COVERAGE = 0.5  # smallest share of pairs with both faces found for which a mean is given


def paired_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of paired unit vectors.

    first, second: (..., d) unit rows. Returns (...), each in [-1, 1]. Raises ValueError if the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"paired embeddings must have one shape, got {first.shape} and {second.shape}")
    return np.clip((first.astype(np.float64) * second).sum(axis=-1), -1.0, 1.0)


Reduce = Callable[[np.ndarray], np.floating]  # the similarities of counted pairs -> one number


def over_found(
    similarity: np.ndarray, found_before: np.ndarray, found_after: np.ndarray, reduce: Reduce = np.mean
) -> tuple[float | None, str | None, int, int, int]:
    """Value, reason, counted pairs, lost before and lost after under the rules of this module.

    similarity, found_before, found_after: equal shapes, one entry a pair. reduce: the mean, or the worst case.
    """
    counted = found_before & found_after
    total, n = counted.size, int(counted.sum())
    lost_before = int((~found_before).sum())
    lost_after = int((found_before & ~found_after).sum())
    if n < COVERAGE * total or n == 0:
        reason = f"faces found on both sides in {n} of {total} pairs; {lost_before} lost before, {lost_after} after"
        return None, reason, n, lost_before, lost_after
    return float(reduce(similarity[counted])), None, n, lost_before, lost_after


Sides = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # vectors and found masks of both sides of pairs


def _scores(
    metric: str, evidence: Evidence, sides: Callable[[Sight], Sides | None], reduce: Reduce = np.mean
) -> list[Score]:
    """One score a judge; none if the protocol gives no such pairs."""
    scores = []
    for judge, sight in evidence.sights.items():
        pairs = sides(sight)
        if pairs is None or pairs[1].size == 0:
            continue
        first, found_first, second, found_second = pairs
        value, reason, n, lost_before, lost_after = over_found(
            paired_cosine(first, second), found_first, found_second, reduce
        )
        scores.append(Score(metric, judge, evidence.forgotten, value, reason, n, lost_before, lost_after))
    return scores


def _rows(evidence: Evidence, *roles: str) -> list[int]:
    return [place for place, subject in enumerate(evidence.subjects) if subject.role in roles]


def _before_after(metric: str, role: str) -> Callable[[Evidence], list[Score]]:
    """Same latent code, same camera, before against after, for all subjects of a role and all views."""

    def compute(evidence: Evidence) -> list[Score]:
        rows = _rows(evidence, role)
        return _scores(
            metric,
            evidence,
            lambda sight: (
                sight.before[rows],
                sight.before_found[rows],
                sight.after[rows],
                sight.after_found[rows],
            ),
        )

    return compute


def _photo_after(evidence: Evidence) -> list[Score]:
    """The photograph itself against every view after unlearning."""
    rows = _rows(evidence, "forget")

    def sides(sight: Sight) -> Sides | None:
        if sight.photo is None or sight.photo_found is None:
            return None
        after = sight.after[rows]
        photo = np.broadcast_to(sight.photo[rows][:, None], after.shape)
        found = np.broadcast_to(sight.photo_found[rows][:, None], after.shape[:2])
        return photo, found, after, sight.after_found[rows]

    return _scores("id_photo", evidence, sides)


def _neighbour(evidence: Evidence) -> list[Score]:
    """The frontal render before against the frontal renders of codes around it after: the most similar counts."""
    (row,) = _rows(evidence, "forget")

    def sides(sight: Sight) -> Sides | None:
        if sight.neighbours is None or sight.neighbours_found is None:
            return None
        before = np.broadcast_to(sight.before[row, evidence.frontal], sight.neighbours.shape)
        found = np.broadcast_to(sight.before_found[row, evidence.frontal], sight.neighbours_found.shape)
        return before, found, sight.neighbours, sight.neighbours_found

    return _scores("id_neighbour", evidence, sides, np.max)


def _inversion(evidence: Evidence) -> list[Score]:
    """The person's photographs against the frontal views of their inversions, before unlearning."""
    rows = _rows(evidence, "forget", "probe")

    def sides(sight: Sight) -> Sides | None:
        if sight.photo is None or sight.photo_found is None:
            return None
        view = evidence.frontal
        return sight.photo[rows], sight.photo_found[rows], sight.before[rows, view], sight.before_found[rows, view]

    return _scores("inversion", evidence, sides)


METRICS: Sequence[TrialMetric] = (
    TrialMetric(
        name="id",
        title="ID",
        latex=r"ID",
        direction="lower",
        unit="cosine",
        summary="the forgotten photograph's renders, before against after unlearning",
        compute=_before_after("id", "forget"),
    ),
    TrialMetric(
        name="id_others",
        title="ID_others",
        latex=r"ID\textsubscript{others}",
        direction="lower",
        unit="cosine",
        summary="other photographs of the forgotten person, before against after",
        compute=_before_after("id_others", "probe"),
    ),
    TrialMetric(
        name="id_retain",
        title="ID_retain",
        latex=r"ID\textsubscript{retain}",
        direction="higher",
        unit="cosine",
        summary="other people, unseen by the method, before against after",
        compute=_before_after("id_retain", "retain"),
    ),
    TrialMetric(
        name="id_photo",
        title="ID_photo",
        latex=r"ID\textsubscript{photo}",
        direction="lower",
        unit="cosine",
        summary="the real photograph against the renders after unlearning",
        compute=_photo_after,
    ),
    TrialMetric(
        name="id_neighbour",
        title="ID_neighbour",
        latex=r"ID\textsubscript{neighbour}",
        direction="lower",
        unit="cosine",
        summary="does the person live on next door: the most similar render of the codes around the forgotten one",
        compute=_neighbour,
    ),
    TrialMetric(
        name="inversion",
        title="Inversion",
        latex=r"Inversion",
        direction="none",
        unit="cosine",
        summary="the person's photographs against their inversions' frontal renders, before unlearning",
        compute=_inversion,
    ),
)
