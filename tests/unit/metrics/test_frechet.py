"""The Fréchet distance against closed forms, torch-fidelity and the recorded values of the reference evaluation."""

import numpy as np
import pytest

from guidebench.evidence import Evidence, FrechetStatistics, Samples, Seen, Sight, Subject
from guidebench.metrics import score_all
from guidebench.metrics.frechet import fit, frechet_distance
from guidebench.torchvision_fix import import_torch_fidelity


def gaussian(mean, covariance, count=1000):
    return FrechetStatistics(np.asarray(mean, float), np.asarray(covariance, float), count)


def test_shifted_gaussians_are_the_squared_shift_apart():
    """Equal covariances cancel, ‖(3, 4)‖² = 25 remains."""
    assert frechet_distance(gaussian([0, 0], np.eye(2)), gaussian([3, 4], np.eye(2))) == pytest.approx(25)


def test_scaled_gaussians_differ_by_the_squared_difference_of_deviations():
    """Commuting covariances: sum of (sigma1 - sigma2)²; (2 - 1)² + (3 - 1)² = 5."""
    assert frechet_distance(gaussian([0, 0], np.diag([4, 9])), gaussian([0, 0], np.eye(2))) == pytest.approx(5)


def test_singular_covariances_need_no_correction():
    """Rank one each, orthogonal: the cross term vanishes, Tr 1 + Tr 1 = 2."""
    first, second = gaussian([0, 0], np.diag([1, 0])), gaussian([0, 0], np.diag([0, 1]))
    assert frechet_distance(first, second) == pytest.approx(2)


def test_the_distance_is_symmetric_zero_on_equals_and_ignores_batches():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(300, 6)), rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    a, b = fit([first]), fit([second])
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, fit([first.copy()])) == 0.0
    batched = fit([first[:7], first[7:150], first[150:]])
    assert np.array_equal(batched.mean, a.mean) and np.array_equal(batched.covariance, a.covariance)


def test_it_agrees_with_torch_fidelity_on_the_same_features():
    import_torch_fidelity()
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(400, 16)), 0.3 + rng.normal(size=(500, 16)) @ rng.normal(size=(16, 16))
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(torch.from_numpy(first)), fid_features_to_statistics(torch.from_numpy(second)), False
    )["frechet_inception_distance"]
    assert frechet_distance(fit([first]), fit([second])) == pytest.approx(theirs, rel=1e-6)


def features_of(mean, count):
    """(count, 4) features whose mean is exactly ``mean`` and whose covariance is exactly the identity's."""
    rows = np.random.default_rng(0).normal(size=(count, 4))
    rows -= rows.mean(axis=0)
    return rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T + np.array(mean)


def evidence(count, real):
    source, moved = Samples(features_of([0.0, 0, 0, 0], count)), Samples(features_of([2.0, 0, 0, 0], count))
    face = Seen(np.ones((1, 1, 1)), np.ones((1, 1), bool))
    return Evidence(
        (Subject("anna", "forget", 0, 1),), {"judge": Sight(face, Seen.stack([face]))}, 0, source, (moved,), real
    )


def test_delta_fid_real_is_a_difference_and_may_be_negative():
    """Real images at 1: the source is 1 away, the samples after unlearning too; at 2 the change is 0 - 4."""
    for place, change in ((1.0, 0.0), (2.0, -4.0)):
        found = evidence(100, gaussian([place, 0, 0, 0], np.eye(4), 100))
        scores = {score.metric: score.value for score in score_all(found)}
        assert scores["delta_fid_real"] == pytest.approx(change, abs=1e-9)
        assert scores["fid_pre"] == pytest.approx(4.0)


def test_too_few_samples_give_a_reason_instead_of_a_number():
    scores = {score.metric: score for score in score_all(evidence(7, None))}
    assert scores["fid_pre"].value is None and "--samples 8" in scores["fid_pre"].reason
    assert scores["delta_fid_real"].value is None and "real images" in scores["delta_fid_real"].reason


def test_statistics_of_samples_are_the_fit_of_their_features_in_float64():
    features = np.random.default_rng(2).normal(size=(50, 3)).astype(np.float32)
    statistics, fitted = Samples(features).statistics, fit([features[:20], features[20:]])
    assert statistics.covariance.dtype == np.float64 and statistics.count == 50
    assert np.array_equal(statistics.mean, fitted.mean) and np.array_equal(statistics.covariance, fitted.covariance)


def test_one_vector_has_no_covariance():
    with pytest.raises(ValueError, match="two"):
        fit([np.zeros((1, 3))])
