"""Evidence: what judges and the feature extractor saw in one trial, as arrays. All that metrics may look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np


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

    features: np.ndarray | None  # (n, d) float32; None in evidence of record schema 1, which kept statistics only
    kept: FrechetStatistics | None = None  # what such evidence kept

    @cached_property
    def statistics(self) -> FrechetStatistics:
        """The Gaussian of the features, fitted in float64."""
        if self.features is not None:
            return FrechetStatistics.of(self.features)
        if self.kept is None:
            raise ValueError("samples need features or statistics")
        return self.kept

    @property
    def count(self) -> int:
        """Number of samples."""
        return self.statistics.count if self.features is None else len(self.features)


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
    neighbours: np.ndarray | None = None  # (k, d): frontal renders of codes around w_u, after; None: not asked for
    neighbours_found: np.ndarray | None = None  # (k,) bool


@dataclass(frozen=True)
class Evidence:
    """Everything that metrics may look at, and all that a record keeps of the images."""

    subjects: tuple[Subject, ...]
    sights: dict[str, Sight]  # by judge
    frontal: int  # index of the view that faces the camera
    source: Samples  # of the original generator
    after: Samples  # of the unlearned generator: same latents, same cameras
    real: FrechetStatistics | None  # real images

    @property
    def forgotten(self) -> str:
        """Who was forgotten."""
        return next(subject.identity for subject in self.subjects if subject.role == "forget")


@dataclass(frozen=True)
class Afterwards:
    """What one trial contributes to metrics over several trials: the forgotten person's renders after unlearning."""

    identity: str
    faces: dict[str, tuple[np.ndarray, np.ndarray]]  # judge -> (V, d) unit rows, (V,) found
