"""Evidence and metrics: a metric is a pure function of arrays, with its name, unit and direction said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class FrechetStatistics:
    """A Gaussian fitted to features: all that a Fréchet distance needs."""

    mean: np.ndarray  # (d,) float64
    covariance: np.ndarray  # (d, d) float64, ddof 1
    count: int  # number of images


@dataclass(frozen=True)
class Subject:
    """One latent code that is rendered before and after: somebody's photograph, or a sampled code."""

    identity: str
    role: Literal["forget", "probe", "retain"]  # the unlearned photo; another photo of that person; someone else
    photo: int  # place among the person's photographs


@dataclass(frozen=True)
class Sight:
    """What one judge saw of all subjects. S subjects, V views, d numbers an embedding."""

    before: np.ndarray  # (S, V, d) unit rows
    before_found: np.ndarray  # (S, V) bool
    after: np.ndarray  # (S, V, d)
    after_found: np.ndarray  # (S, V) bool
    photo: np.ndarray | None  # (S, d): the photographs themselves; None under Random
    photo_found: np.ndarray | None  # (S,) bool


@dataclass(frozen=True)
class Evidence:
    """Everything that metrics may look at, and all that a record keeps of the images."""

    subjects: tuple[Subject, ...]
    sights: dict[str, Sight]  # by judge
    frontal: int  # index of the view that faces the camera
    source: FrechetStatistics  # samples of the original generator
    after: FrechetStatistics  # samples of the unlearned generator: same latents, same cameras
    real: FrechetStatistics | None  # real images


@dataclass(frozen=True)
class Score:
    """One number, or the reason why there is none."""

    metric: str
    judge: str | None  # None for metrics without a recogniser
    identity: str  # who was forgotten
    value: float | None
    reason: str | None = None  # why the value is None
    n: int = 0  # pairs or samples that the value was computed from
    lost_before: int = 0  # pairs in which no face was found before unlearning
    lost_after: int = 0  # pairs in which a face was found before, none after
    after_request: int = 0  # place in the scenario


@dataclass(frozen=True)
class Metric:
    """A named column of a table."""

    name: str  # as in records and on the command line
    title: str  # as in tables
    latex: str
    direction: Direction  # which way is better
    unit: str
    summary: str  # one line: what it means
    compute: Callable[[Evidence], Sequence[Score]] = field(repr=False)
    judged: bool = True  # one column per judge
