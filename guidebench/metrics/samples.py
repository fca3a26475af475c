"""KID, precision and recall of the unlearned generator's samples against the original's, defined as in torch-fidelity.

KID is the unbiased squared MMD under the kernel (xᵀy/d + 1)³, averaged over random subsets (Bińkowski et al., arXiv
1801.01401). Precision is the share of samples of the unlearned generator that fall among the original's, recall the
share of the original's that fall among the unlearned one's; "among" means within the distance of a sample's third
nearest neighbour of its own set (Kynkäänniemi et al., arXiv 1904.06991).

Memory does not grow with the number of samples: KID looks at subsets, precision and recall at blocks of distances.
Tests hold all three to torch-fidelity's; importing that takes a worker a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
PRC_BLOCK = 1000  # samples of each set whose distances are held at a time: 8 MB


def kernel_distance(source: np.ndarray, after: np.ndarray) -> float:
    """KID of two feature sets (n, d), in float64; about 0 for equal distributions, may be slightly negative.

    Raises ValueError if a set holds fewer than four rows: an unbiased estimate needs two in each subset.
    """
    count = min(len(source), len(after))
    if count < 4:
        raise ValueError(f"KID needs at least four feature vectors per set, got {count}")
    size, draws = min(KID_SUBSET_SIZE, count // 2), np.random.RandomState(KID_SEED)
    distances = []
    for _ in range(KID_SUBSETS):
        subsets = [rows[draws.choice(len(rows), size, replace=False)] for rows in (source, after)]
        distances.append(_squared_mmd(*(rows.astype(np.float64) for rows in subsets)))
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


def precision_recall(source: np.ndarray, after: np.ndarray, *, block: int = PRC_BLOCK) -> tuple[float, float]:
    """Precision and recall of ``after`` with respect to ``source``, both (n, d): exact shares of n, in [0, 1].

    block: samples of each set whose distances are held at a time. Raises ValueError if a set holds no more rows than
    `PRC_NEIGHBOURS`.
    """
    if min(len(source), len(after)) <= PRC_NEIGHBOURS:
        raise ValueError(f"precision and recall need more than {PRC_NEIGHBOURS} feature vectors per set")
    reach_source, reach_after = _reach(source, block), _reach(after, block)
    genuine, covered = np.zeros(len(after), bool), np.zeros(len(source), bool)
    for rows, columns, distances in _distances(after, source, block):
        genuine[rows] |= (distances <= reach_source[columns]).any(dim=1).numpy()
        covered[columns] |= (distances.T <= reach_after[rows]).any(dim=1).numpy()
    return int(genuine.sum()) / len(after), int(covered.sum()) / len(source)


def _reach(features: np.ndarray, block: int) -> Tensor:
    """(n,) the distance of each sample to its `PRC_NEIGHBOURS`-th nearest neighbour of the same set."""
    import torch

    nearest: list[Tensor] = []  # by block of rows: the smallest distances so far, a sample's own among them
    for rows, _, distances in _distances(features, features, block):
        place = rows.start // block
        known = [nearest.pop()] if place < len(nearest) else []
        together = torch.cat([*known, distances], dim=1)
        nearest.append(together.topk(min(PRC_NEIGHBOURS + 1, together.shape[1]), dim=1, largest=False).values)
    return torch.cat(nearest).amax(dim=1)


def _distances(first: np.ndarray, second: np.ndarray, block: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Places in two sets and the distances between them in float64: all columns of a block of rows, then the next."""
    import torch

    for start in range(0, len(first), block):
        rows = slice(start, min(start + block, len(first)))
        left = torch.from_numpy(first[rows].astype(np.float64))
        for other in range(0, len(second), block):
            columns = slice(other, min(other + block, len(second)))
            yield rows, columns, torch.cdist(left, torch.from_numpy(second[columns].astype(np.float64)))


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
