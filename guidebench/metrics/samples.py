"""KID, precision and recall of the unlearned generator's samples against the original's, by torch-fidelity.

KID is the unbiased squared MMD under the kernel (xᵀy/d + 1)³, averaged over random subsets (Bińkowski et al., arXiv
1801.01401). Precision is the share of samples of the unlearned generator that fall among the original's, recall the
share of the original's that fall among the unlearned one's; "among" means within the distance of a sample's third
nearest neighbour of its own set (Kynkäänniemi et al., arXiv 1904.06991).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from guidebench.evidence import Evidence, Samples
from guidebench.metric import Score, TrialMetric
from guidebench.metrics.frechet import of_samples

LEAST = 100  # samples below which none of the three is given
KID_SUBSETS = 100  # torch-fidelity's usual number
KID_SUBSET_SIZE = 1000  # at most, and at most half of the samples
KID_SEED = 2020  # of the subsets; torch-fidelity's usual one
KID_KERNEL = {
    "kid_kernel": "poly",
    "kid_kernel_poly_degree": 3,
    "kid_kernel_poly_gamma": None,
    "kid_kernel_poly_coef0": 1,
}
PRC_NEIGHBOURS = 3


def kernel_distance(source: np.ndarray, after: np.ndarray) -> float:
    """KID of two feature sets (n, d), in float64; about 0 for equal distributions, may be slightly negative.

    Raises ValueError if a set holds fewer than four rows: an unbiased estimate needs two in each subset.
    """
    _torch_fidelity()
    # Not kid_features_to_metric, which does the same around a progress bar whose lock is a semaphore of the system:
    # worker processes that are stopped would leave it behind.
    from torch_fidelity.metric_kid import kernel_mmd

    count = min(len(source), len(after))
    if count < 4:
        raise ValueError(f"KID needs at least four feature vectors per set, got {count}")
    size, draws = min(KID_SUBSET_SIZE, count // 2), np.random.RandomState(KID_SEED)
    sets = [np.asarray(features, dtype=np.float64) for features in (source, after)]
    distances = [
        kernel_mmd(*(rows[draws.choice(len(rows), size, replace=False)] for rows in sets), **KID_KERNEL)
        for _ in range(KID_SUBSETS)
    ]
    return float(np.mean(distances))


def precision_recall(source: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Precision and recall of ``after`` with respect to ``source``, both (n, d); each in [0, 1].

    Raises ValueError if a set holds no more rows than `PRC_NEIGHBOURS`.
    """
    import torch

    _torch_fidelity()
    from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

    if min(len(source), len(after)) <= PRC_NEIGHBOURS:
        raise ValueError(f"precision and recall need more than {PRC_NEIGHBOURS} feature vectors per set")
    generated, original = (torch.from_numpy(np.asarray(rows, dtype=np.float64)) for rows in (after, source))
    found = prc_features_to_metric(generated, original, prc_neighborhood=PRC_NEIGHBOURS, verbose=False)
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def _torch_fidelity() -> None:
    from guidebench.torchvision_fix import import_torch_fidelity

    import_torch_fidelity()


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
