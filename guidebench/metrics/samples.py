"""KID, precision and recall of the unlearned generator's samples against the original's.

KID is the unbiased squared MMD under the kernel (xᵀy/d + 1)³, averaged over random subsets (Bińkowski et al., arXiv
1801.01401). Precision is the share of samples of the unlearned generator that fall among the original's, recall the
share of the original's that fall among the unlearned one's; "among" means within the distance of a sample's third
nearest neighbour of its own set (Kynkäänniemi et al., arXiv 1904.06991). Tests hold all three to torch-fidelity's, bit
for bit; torch-fidelity itself takes a worker a second to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from guidebench.evidence import Evidence, Samples
from guidebench.metric import Score, TrialMetric
from guidebench.metrics.frechet import of_samples

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 100  # samples below which none of the three is given
KID_SUBSETS = 100  # torch-fidelity's usual number
KID_SUBSET_SIZE = 1000  # at most, and at most half of the samples
KID_SEED = 2020  # of the subsets; torch-fidelity's usual one
PRC_NEIGHBOURS = 3
_AT_ONCE = 10_000  # samples whose distances are computed together, torch-fidelity's usual number


def kernel_distance(source: np.ndarray, after: np.ndarray) -> float:
    """KID of two feature sets (n, d), in float64; about 0 for equal distributions, may be slightly negative.

    Raises ValueError if a set holds fewer than four rows: an unbiased estimate needs two in each subset.
    """
    count = min(len(source), len(after))
    if count < 4:
        raise ValueError(f"KID needs at least four feature vectors per set, got {count}")
    size, draws = min(KID_SUBSET_SIZE, count // 2), np.random.RandomState(KID_SEED)
    sets = [np.asarray(features, dtype=np.float64) for features in (source, after)]
    distances = [
        _squared_mmd(*(rows[draws.choice(len(rows), size, replace=False)] for rows in sets)) for _ in range(KID_SUBSETS)
    ]
    return float(np.mean(distances))


def _squared_mmd(first: np.ndarray, second: np.ndarray) -> float:
    """The unbiased estimate from two sets (n, d): no sample is compared with itself."""
    size, dim = first.shape

    def kernel(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        values: np.ndarray = (np.matmul(rows, others.T) * (1 / dim) + 1) ** 3
        return values

    def within(rows: np.ndarray) -> float:
        values = kernel(rows, rows)
        return float((values.sum(axis=1) - np.diagonal(values)).sum())

    across = float(kernel(first, second).sum(axis=0).sum())
    return (within(first) + within(second)) / (size * (size - 1)) - 2 * across / (size * size)


def precision_recall(source: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Precision and recall of ``after`` with respect to ``source``, both (n, d); each in [0, 1].

    Raises ValueError if a set holds no more rows than `PRC_NEIGHBOURS`.
    """
    import torch

    if min(len(source), len(after)) <= PRC_NEIGHBOURS:
        raise ValueError(f"precision and recall need more than {PRC_NEIGHBOURS} feature vectors per set")
    original, generated = (torch.from_numpy(np.asarray(rows, dtype=np.float64)) for rows in (source, after))
    of_original, of_generated = _neighbourhoods(original), _neighbourhoods(generated)
    recalled, precise = [], torch.zeros(len(generated), dtype=torch.bool)
    for rows, radii in zip(original.split(_AT_ONCE), of_original.split(_AT_ONCE), strict=True):
        distances = _distances(rows, generated)
        recalled.append((distances <= of_generated).any(dim=1))
        precise |= (distances <= radii[:, None]).any(dim=0)
    return _share(precise), _share(torch.cat(recalled))


def _neighbourhoods(features: Tensor) -> Tensor:
    """(n, d) -> (n,): how far each row's third nearest neighbour is, itself not counted."""
    import torch

    rows = features.split(_AT_ONCE)
    return torch.cat([_distances(some, features).kthvalue(PRC_NEIGHBOURS + 1).values for some in rows])


def _distances(rows: Tensor, features: Tensor) -> Tensor:
    """(m, d), (n, d) -> (m, n): Euclidean."""
    import torch

    return torch.cat([torch.cdist(rows, others) for others in features.split(_AT_ONCE)], dim=1)


def _share(found: Tensor) -> float:
    return float(found.float().mean())


@lru_cache(maxsize=1)  # two metrics of one computation
def _precision_recall(source: Samples, after: Samples) -> tuple[float, float]:
    return precision_recall(source.features, after.features)


def _metric(metric: str, value: Callable[[Samples, Samples], float]) -> Callable[[Evidence], list[Score]]:
    """One score after each request, or the reason why these samples give none."""

    def measure(evidence: Evidence, after: Samples) -> tuple[float | None, str | None]:
        count = min(evidence.source.count, after.count)
        if count < LEAST:
            return None, f"{count} samples are too few; give --samples {LEAST} or more"
        return value(evidence.source, after), None

    return of_samples(metric, measure)


METRICS: Sequence[TrialMetric] = (
    TrialMetric(
        name="kid_pre",
        title="KID_pre",
        latex=r"KID\textsubscript{pre}",
        direction="lower",
        unit="squared maximum mean discrepancy",
        summary="as FID_pre, but by a kernel: unbiased by the number of samples, may be slightly negative",
        compute=_metric("kid_pre", lambda source, after: kernel_distance(source.features, after.features)),
        judged=False,
    ),
    TrialMetric(
        name="precision",
        title="Precision",
        latex=r"Precision",
        direction="higher",
        unit="share",
        summary="share of the unlearned generator's samples that fall among the original's: quality",
        compute=_metric("precision", lambda source, after: _precision_recall(source, after)[0]),
        judged=False,
    ),
    TrialMetric(
        name="recall",
        title="Recall",
        latex=r"Recall",
        direction="higher",
        unit="share",
        summary="share of the original's samples that fall among the unlearned generator's: diversity",
        compute=_metric("recall", lambda source, after: _precision_recall(source, after)[1]),
        judged=False,
    ),
)
