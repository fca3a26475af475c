"""Evidence: what judges and the feature extractor saw in one trial, as arrays. All that metrics may look at.

A trial forgets one or more people in one or more requests, one after another on the same generator. Everything that is
seen *after* is therefore seen once per request, on a leading axis; the paper's trials have one request and one person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

import numpy as np

Array = TypeVar("Array")  # torch.Tensor where networks run, numpy.ndarray in evidence
Role = Literal["forget", "probe", "named", "retain", "lookalike"]


@dataclass(frozen=True, eq=False)
class Seen(Generic[Array]):
    """What one judge says about faces: from `guidebench.testbed.Recognizer.embed` to the metrics."""

    vectors: Array  # (..., d) float32 unit rows; rows without a face are meaningless
    found: Array  # (...) bool: a face was found

    def __getitem__(self, place: Any) -> Seen[Array]:
        """The part at an index of the leading axes, which both arrays share."""
        return Seen(self.vectors[place], self.found[place])  # type: ignore[index]

    def numpy(self) -> Seen[np.ndarray]:
        """Tensors as numpy arrays on the CPU."""
        vectors, found = (tensor.detach().cpu().numpy() for tensor in (self.vectors, self.found))  # type: ignore[attr-defined]
        return Seen(vectors, found)

    @classmethod
    def stack(cls, parts: Sequence[Seen[np.ndarray]]) -> Seen[np.ndarray]:
        """Equal shapes (...) -> (len(parts), ...)."""
        return Seen(np.stack([part.vectors for part in parts]), np.stack([part.found for part in parts]))

    @classmethod
    def cat(cls, parts: Sequence[Seen[np.ndarray]]) -> Seen[np.ndarray]:
        """Shapes (k, ...) -> (sum of all k, ...)."""
        return Seen(np.concatenate([part.vectors for part in parts]), np.concatenate([part.found for part in parts]))


SeenFaces = Seen[np.ndarray]


@dataclass(frozen=True)
class DifferentPeople:
    """How alike a judge finds two different people: the cosine at or below which a person counts as forgotten."""

    mean: float
    std: float  # ddof 1
    pairs: int | None = None  # how many pairs were compared; None: known from training
    threshold: float | None = None  # the cosine that one of 1,000 such pairs exceeds; None: not known
    threshold_interval: tuple[float, float] | None = None  # of the threshold, 95 %, people resampled


@dataclass(frozen=True)
class FrechetStatistics:
    """A Gaussian fitted to features: all that a Fréchet distance needs."""

    mean: np.ndarray  # (d,) float64
    covariance: np.ndarray  # (d, d) float64, ddof 1
    count: int  # number of images

    @classmethod
    def of(cls, features: np.ndarray) -> FrechetStatistics:
        """Mean and covariance of features (n, d), in float64. Raises ValueError with fewer than two rows."""
        rows = np.asarray(features, dtype=np.float64)
        if len(rows) < 2:
            raise ValueError(f"a covariance needs at least two feature vectors, got {len(rows)}")
        return cls(rows.mean(axis=0), np.cov(rows, rowvar=False).reshape(rows.shape[1], -1), len(rows))


@dataclass(frozen=True, eq=False)
class Samples:
    """What the feature extractor says about a generator's random samples."""

    features: np.ndarray  # (n, d) float32

    @cached_property
    def statistics(self) -> FrechetStatistics:
        """The Gaussian of the features, fitted in float64."""
        return FrechetStatistics.of(self.features)

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(self.features)


@dataclass(frozen=True)
class Subject:
    """One latent code that is rendered before and after: somebody's photograph, or a sampled code."""

    identity: str
    role: Role  # the unlearned photograph; another one of that person; someone to keep, named to the method or not;
    # someone who looks like a forgotten person
    photo: int  # place among the person's photographs
    request: int = 0  # the request that forgets this person, counted from 1; 0: no request does


@dataclass(frozen=True)
class Sight:
    """What one judge saw. S subjects, V views, R requests, F forgotten people, k neighbours each."""

    before: SeenFaces  # (S, V): the original generator's renders
    after: SeenFaces  # (R, S, V): the unlearned generator's, after each request; people whom a later one forgets are
    # not looked at, so that none of their faces is found
    photo: SeenFaces | None = None  # (S,): the photographs themselves; None under Random
    neighbours: SeenFaces | None = None  # (R, F, k): frontal renders of codes around each w_u, after; likewise; None:
    # the protocol asks for none


@dataclass(frozen=True)
class Shown:
    """What one judge saw of an attack's findings. P people, K findings each, V views."""

    after: SeenFaces  # (P, K, V): what was found
    before: SeenFaces  # (P, K, V): the person's code, rendered by the original generator from the same views


@dataclass(frozen=True)
class Attacked:
    """What an attack found after the last request. P people, K findings each."""

    people: tuple[str, ...]  # who was forgotten
    at: np.ndarray  # (P, K) float64: what it took, in the attack's unit
    distance: np.ndarray  # (P, K) float64: how far codes are from the average one; 1: as far as ordinary codes
    found: dict[str, Shown]  # by judge: on the unlearned generator
    original: dict[str, Shown] = field(default_factory=dict)  # the same people on the original generator, if asked
    others: tuple[str, ...] = ()  # people who were not forgotten, if the attack was run on such
    other: dict[str, Shown] = field(default_factory=dict)  # by judge, (len(others), K, V): on the unlearned generator
    shows_anybody: bool = False  # see `guidebench.attack.Attack.shows_anybody`
    curve: bool = False  # see `guidebench.attack.Attack.curve`


@dataclass(frozen=True)
class Evidence:
    """Everything that metrics may look at, and all that a record keeps of the images."""

    subjects: tuple[Subject, ...]
    sights: dict[str, Sight]  # by judge
    frontal: int  # index of the view that faces the camera
    source: Samples  # of the original generator
    after: tuple[Samples, ...]  # of the unlearned generator after each request: same latents, same cameras
    real: FrechetStatistics | None  # real images
    thresholds: Mapping[str, float | None] = field(default_factory=dict)  # by judge: the cosine from which two faces
    # pass as one person, see `DifferentPeople.threshold`; None or absent: not known
    public: tuple[Samples, ...] = ()  # of codes that everybody may know: of the original, then after each request
    attacks: Mapping[str, Attacked] = field(default_factory=dict)  # by label of the attack
    failed_attacks: Mapping[str, str] = field(default_factory=dict)  # by label, why: of those in the worst case

    @property
    def forgotten(self) -> tuple[Subject, ...]:
        """The photographs by which people are forgotten, in the order of requests: one per person."""
        return tuple(subject for subject in self.subjects if subject.role == "forget")

    @property
    def group(self) -> str:
        """Everybody who is forgotten, as one name."""
        return group_name([subject.identity for subject in self.forgotten])

    def rows(self, role: Role, identity: str | None = None) -> list[int]:
        """Places of the subjects of a role, of everybody or of one person."""
        return [
            place
            for place, subject in enumerate(self.subjects)
            if subject.role == role and identity in (None, subject.identity)
        ]


@dataclass(frozen=True)
class Afterwards:
    """What one forgotten person contributes to metrics over several trials: the renders after the last request."""

    identity: str
    faces: dict[str, SeenFaces]  # by judge, (V,)
    request: int = 1  # the last one


def group_name(people: Sequence[str]) -> str:
    """One name for the people that a trial forgets: the person's own, or the first one's and how many more there are.

    >>> group_name(["celebahq-0000"]), group_name(["celebahq-0000", "celebahq-0001", "celebahq-0002"])
    ('celebahq-0000', 'celebahq-0000+2')
    """
    return people[0] if len(people) == 1 else f"{people[0]}+{len(people) - 1}"
