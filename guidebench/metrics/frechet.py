"""The one Fréchet distance, in float64 from mean, covariance and count, and the two metrics made of it.

FID_pre compares samples of the original and the unlearned generator; ΔFID_real is the change of the distance to real
images (GUIDE, arXiv 2405.09879, §4.1; Heusel et al., arXiv 1706.08500).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from guidebench.evidence import Evidence, FrechetStatistics, Samples
from guidebench.metric import Score, TrialMetric


def fit(features: Iterable[np.ndarray]) -> FrechetStatistics:
    """Mean and covariance (ddof 1) of batches of features (n_i, d), in float64.

    Batches may come in any sizes: the features are gathered, so that the result does not depend on them. Raises
    ValueError with fewer than two rows.
    """
    return FrechetStatistics.of(np.concatenate([np.asarray(batch, dtype=np.float64) for batch in features]))


def frechet_distance(first: FrechetStatistics, second: FrechetStatistics) -> float:
    """‖μ₁ - μ₂‖² + Tr Σ₁ + Tr Σ₂ - 2 Tr (Σ₁Σ₂)^½, in squared feature units; 0 for equal Gaussians.

    The trace of the root is the sum of the singular values of Σ₁^½ Σ₂^½, so that a singular covariance needs no
    correction term. Raises ValueError if the dimensions differ.

    >>> here = FrechetStatistics(np.zeros(2), np.eye(2), count=100)
    >>> there = FrechetStatistics(np.array([3.0, 4.0]), np.eye(2), count=100)
    >>> round(frechet_distance(here, there), 9)  # of equal covariances, the squared shift is left
    25.0
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"features of {first.mean.size} and {second.mean.size} numbers cannot be compared")
    if np.array_equal(first.mean, second.mean) and np.array_equal(first.covariance, second.covariance):
        return 0.0
    cross = np.linalg.svd(_root(first.covariance) @ _root(second.covariance), compute_uv=False)
    shift = float(((first.mean - second.mean) ** 2).sum())
    traces = float(np.trace(first.covariance) + np.trace(second.covariance))
    return shift + traces - 2 * float(cross.sum())


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance; rounding below zero is cut off."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    return root


def _too_few(*sets: FrechetStatistics) -> str | None:
    """Why a covariance of these sets cannot be trusted, or None."""
    dim, count = sets[0].mean.size, min(item.count for item in sets)
    if count < 2 * dim:
        return f"{count} samples are fewer than twice the {dim} features; give --samples {2 * dim} or more"
    return None


def of_samples(
    metric: str, measure: Callable[[Evidence, Samples], tuple[float | None, str | None]]
) -> Callable[[Evidence], list[Score]]:
    """A metric of random samples: one score after each request, from the samples drawn then.

    measure: the value, or None and the reason why these samples give none.
    """

    def compute(evidence: Evidence) -> list[Score]:
        scores = []
        for request, after in enumerate(evidence.after, start=1):
            value, reason = measure(evidence, after)
            scores.append(
                Score(
                    metric=metric,
                    judge=None,
                    identity=evidence.group,
                    role="samples",
                    after_request=request,
                    value=value,
                    reason=reason,
                    n=after.count,
                )
            )
        return scores

    return compute


def _fid_pre(evidence: Evidence, after: Samples) -> tuple[float | None, str | None]:
    source = evidence.source.statistics
    reason = _too_few(source, after.statistics)
    return None if reason else frechet_distance(source, after.statistics), reason


def _delta_fid_real(evidence: Evidence, after: Samples) -> tuple[float | None, str | None]:
    if evidence.real is None:
        return None, "the testbed has no statistics of real images"
    source = evidence.source.statistics
    if reason := _too_few(source, after.statistics, evidence.real):
        return None, reason
    return frechet_distance(evidence.real, after.statistics) - frechet_distance(evidence.real, source), None


METRICS: Sequence[TrialMetric] = (
    TrialMetric(
        name="fid_pre",
        title="FID_pre",
        latex=r"FID\textsubscript{pre}",
        direction="lower",
        unit="squared feature distance",
        summary="samples of the unlearned generator against the original's: same latent codes, same cameras",
        compute=of_samples("fid_pre", _fid_pre),
        judged=False,
    ),
    TrialMetric(
        name="delta_fid_real",
        title="ΔFID_real",
        latex=r"$\Delta$FID\textsubscript{real}",
        direction="lower",
        unit="squared feature distance",
        summary="how much further from real images the samples are than the original's; may be negative",
        compute=of_samples("delta_fid_real", _delta_fid_real),
        judged=False,
    ),
)
