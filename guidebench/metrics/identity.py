"""Cosine similarities of face embeddings before and after unlearning (GUIDE, arXiv 2405.09879, §4.1).

Rules for missing faces: a pair counts if a face is found on both sides; a value is the mean (for neighbours: the
largest) over counted pairs if at least half of all pairs count, else it is null with a reason. A missing face is never
a similarity of 0, which would be a nearly perfect result.

A trial is scored after each of its requests: every person forgotten so far, and everybody who must survive together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from guidebench.evidence import Evidence, Role, Seen, SeenFaces, Sight, Subject
from guidebench.metric import Score, TrialMetric

COVERAGE = 0.5  # smallest share of pairs with both faces found for which a mean is given


def paired_cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine of paired unit vectors.

    first, second: (..., d) unit rows. Returns (...), each in [-1, 1]. Raises ValueError if the shapes differ.

    >>> paired_cosine(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.6, 0.8], [-1.0, 0.0]])).tolist()
    [0.6, -1.0]
    """
    if first.shape != second.shape:
        raise ValueError(f"paired embeddings must have one shape, got {first.shape} and {second.shape}")
    return np.clip((first.astype(np.float64) * second).sum(axis=-1), -1.0, 1.0)


Reduce = Callable[[np.ndarray], np.floating]  # the similarities of counted pairs -> one number


@dataclass(frozen=True)
class Similarity:
    """What pairs of faces come to under the rules of this module."""

    value: float | None
    reason: str | None  # why there is no value
    n: int  # counted pairs
    lost_before: int  # pairs without a face on the first side
    lost_after: int  # pairs with a face on the first side and none on the second


def similarity(first: SeenFaces, second: SeenFaces, reduce: Reduce = np.mean) -> Similarity:
    """The similarity of paired faces, one entry per pair. reduce: the mean, or the worst case."""
    counted = first.found & second.found
    total, n = counted.size, int(counted.sum())
    lost_before = int((~first.found).sum())
    lost_after = int((first.found & ~second.found).sum())
    if n < COVERAGE * total or n == 0:
        reason = f"faces found on both sides in {n} of {total} pairs; {lost_before} lost before, {lost_after} after"
        return Similarity(None, reason, n, lost_before, lost_after)
    cosines = paired_cosine(first.vectors, second.vectors)[counted]
    return Similarity(float(reduce(cosines)), None, n, lost_before, lost_after)


Pairs = tuple[SeenFaces, SeenFaces]  # of equal shape: what is compared with what


def _score(
    metric: str, judge: str, whom: str, role: Role, request: int, pairs: Pairs | None, reduce: Reduce = np.mean
) -> Iterator[Score]:
    """One score; none if the protocol has no such pairs."""
    if pairs is None or pairs[0].found.size == 0:
        return
    found = similarity(*pairs, reduce)
    yield Score(
        metric=metric,
        judge=judge,
        identity=whom,
        role=role,
        after_request=request,
        value=found.value,
        reason=found.reason,
        n=found.n,
        lost_before=found.lost_before,
        lost_after=found.lost_after,
    )


PairsOf = Callable[[Evidence, Sight, Subject, int], Pairs | None]  # of a forgotten person after a request, from 0


def _per_person(metric: str, role: Role, pairs: PairsOf, reduce: Reduce = np.mean) -> Callable[[Evidence], list[Score]]:
    """A score for everybody who is forgotten so far, after each request, by each judge."""

    def compute(evidence: Evidence) -> list[Score]:
        return [
            score
            for judge, sight in evidence.sights.items()
            for request in range(1, len(evidence.after) + 1)
            for person in evidence.forgotten
            if person.request <= request
            for score in _score(
                metric, judge, person.identity, role, request, pairs(evidence, sight, person, request - 1), reduce
            )
        ]

    return compute


def _before_after(role: Role) -> PairsOf:
    """Same latent code, same camera, before against after: a forgotten person's subjects of a role, all views."""

    def pairs(evidence: Evidence, sight: Sight, person: Subject, request: int) -> Pairs:
        rows = evidence.rows(role, person.identity)
        return sight.before[rows], sight.after[request][rows]

    return pairs


def _survivors(metric: str, role: Role) -> Callable[[Evidence], list[Score]]:
    """Everybody of a role who must survive, together: same latent code, same camera, before against after."""

    def compute(evidence: Evidence) -> list[Score]:
        rows = evidence.rows(role)
        return [
            score
            for judge, sight in evidence.sights.items()
            for request in range(1, len(evidence.after) + 1)
            for score in _score(
                metric,
                judge,
                evidence.group,
                role,
                request,
                (sight.before[rows], sight.after[request - 1][rows]),
            )
        ]

    return compute


def _repeated(faces: SeenFaces, shape: tuple[int, ...]) -> SeenFaces:
    """SeenFaces of leading axes (n,) as pairs for others of leading axes (n, …)."""
    vectors = faces.vectors.reshape(*faces.found.shape, *(1 for _ in shape[faces.found.ndim :]), -1)
    found = faces.found.reshape(*faces.found.shape, *(1 for _ in shape[faces.found.ndim :]))
    return Seen(np.broadcast_to(vectors, (*shape, vectors.shape[-1])), np.broadcast_to(found, shape))


def _photo_after(evidence: Evidence, sight: Sight, person: Subject, request: int) -> Pairs | None:
    """The photograph itself against every view after unlearning."""
    if sight.photo is None:
        return None
    rows = evidence.rows("forget", person.identity)
    after = sight.after[request][rows]
    return _repeated(sight.photo[rows], after.found.shape), after


def _neighbour(evidence: Evidence, sight: Sight, person: Subject, request: int) -> Pairs | None:
    """The frontal render before against the frontal renders of codes around it after."""
    if sight.neighbours is None:
        return None
    (row,) = evidence.rows("forget", person.identity)
    after = sight.neighbours[request, evidence.forgotten.index(person)]
    return _repeated(sight.before[row, evidence.frontal], after.found.shape), after


def _inversion(evidence: Evidence, sight: Sight, person: Subject, request: int) -> Pairs | None:
    """The person's photographs against the frontal views of their inversions, before unlearning: said once."""
    if sight.photo is None or request + 1 != person.request:
        return None
    rows = [*evidence.rows("forget", person.identity), *evidence.rows("probe", person.identity)]
    return sight.photo[rows], sight.before[rows, evidence.frontal]


METRICS: Sequence[TrialMetric] = (
    TrialMetric(
        name="id",
        title="ID",
        latex=r"ID",
        direction="lower",
        unit="cosine",
        summary="the forgotten photograph's renders, before against after unlearning",
        compute=_per_person("id", "forget", _before_after("forget")),
    ),
    TrialMetric(
        name="id_others",
        title="ID_others",
        latex=r"ID\textsubscript{others}",
        direction="lower",
        unit="cosine",
        summary="other photographs of the forgotten person, before against after",
        compute=_per_person("id_others", "probe", _before_after("probe")),
    ),
    TrialMetric(
        name="id_retain",
        title="ID_retain",
        latex=r"ID\textsubscript{retain}",
        direction="higher",
        unit="cosine",
        summary="other people, unseen by the method, before against after",
        compute=_survivors("id_retain", "retain"),
    ),
    TrialMetric(
        name="id_named",
        title="ID_named",
        latex=r"ID\textsubscript{named}",
        direction="higher",
        unit="cosine",
        summary="other people, named to the method as people to keep, before against after",
        compute=_survivors("id_named", "named"),
    ),
    TrialMetric(
        name="id_lookalike",
        title="ID_lookalike",
        latex=r"ID\textsubscript{lookalike}",
        direction="higher",
        unit="cosine",
        summary="strangers who look most like the forgotten person to a player, before against after",
        compute=_survivors("id_lookalike", "lookalike"),
    ),
    TrialMetric(
        name="id_photo",
        title="ID_photo",
        latex=r"ID\textsubscript{photo}",
        direction="lower",
        unit="cosine",
        summary="the real photograph against the renders after unlearning",
        compute=_per_person("id_photo", "forget", _photo_after),
    ),
    TrialMetric(
        name="id_neighbour",
        title="ID_neighbour",
        latex=r"ID\textsubscript{neighbour}",
        direction="lower",
        unit="cosine",
        summary="the most similar render of the codes around the forgotten one: do nearby codes still show the person?",
        compute=_per_person("id_neighbour", "forget", _neighbour, np.max),
    ),
    TrialMetric(
        name="inversion",
        title="Inversion",
        latex=r"Inversion",
        direction="none",
        unit="cosine",
        summary="the person's photographs against their inversions' frontal renders, before unlearning",
        compute=_per_person("inversion", "forget", _inversion),
    ),
)
