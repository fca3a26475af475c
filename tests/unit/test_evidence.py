"""Evidence: arrays that are indexed together, Gaussians of features, and who is who in a trial."""

import numpy as np
import pytest
import torch

from guidebench.evidence import Evidence, FrechetStatistics, Samples, Seen, Subject, group_name

SUBJECTS = (
    Subject("anna", "forget", 0, 1),
    Subject("anna", "probe", 1, 1),
    Subject("bert", "forget", 0, 2),
    Subject("carl", "retain", 0),
)


def evidence(subjects=SUBJECTS):
    samples = Samples(np.zeros((2, 3), np.float32))
    return Evidence(subjects, {}, 0, samples, (samples,), None)


def test_vectors_and_whether_a_face_was_found_are_indexed_together():
    seen = Seen(np.arange(24.0).reshape(2, 3, 4), np.array([[True, False, True], [False, True, False]]))
    part = seen[1, 1:]
    assert part.vectors.shape == (2, 4) and list(part.found) == [True, False]
    assert part.vectors[0, 0] == 16  # row 1, place 1 of arange: (1·3 + 1)·4
    only = seen[seen.found]
    assert only.vectors.shape == (3, 4) and only.found.all()


def test_tensors_become_arrays_without_their_gradients():
    seen = Seen(torch.ones(2, 3, requires_grad=True), torch.tensor([True, False])).numpy()
    assert seen.vectors.dtype == np.float32 and seen.found.dtype == bool and list(seen.found) == [True, False]


def test_stacking_adds_a_leading_axis_in_order():
    parts = [Seen(np.full((2, 3), value), np.array([value > 0, True])) for value in (0.0, 1.0)]
    stacked = Seen.stack(parts)
    assert stacked.vectors.shape == (2, 2, 3) and list(stacked.vectors[:, 0, 0]) == [0, 1]
    assert stacked.found.tolist() == [[False, True], [True, True]]


def test_a_gaussian_of_four_points_by_hand():
    """Mean (1, 2); deviations (±1, ±2) that agree in sign: sums of squares 4 and 16 over n - 1 = 3, covariance 8/3."""
    points = np.array([[0, 0], [2, 4], [0, 0], [2, 4]], np.float32)
    found = FrechetStatistics.of(points)
    assert found.mean.tolist() == [1, 2] and found.count == 4
    assert np.allclose(found.covariance, np.array([[4, 8], [8, 16]]) / 3, rtol=1e-15)


def test_gaussians_are_float64_whatever_the_features_are():
    """In float32 the variance of 1e4 and 1e4 + 1 would be lost in the square of the mean."""
    found = FrechetStatistics.of(np.array([[1e4], [1e4 + 1]], np.float32))
    assert found.covariance.dtype == found.mean.dtype == np.float64 and found.covariance.tolist() == [[0.5]]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_rows_have_no_covariance(count):
    with pytest.raises(ValueError, match=f"got {count}"):
        FrechetStatistics.of(np.zeros((count, 3)))


def test_statistics_of_samples_are_fitted_once():
    samples = Samples(np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))
    assert samples.statistics is samples.statistics and samples.count == samples.statistics.count == 5


def test_people_are_forgotten_in_the_order_of_requests_and_probes_are_not_people():
    found = evidence()
    assert [subject.identity for subject in found.forgotten] == ["anna", "bert"]
    assert found.group == "anna+1" == group_name(["anna", "bert"])
    assert evidence(SUBJECTS[:2]).group == "anna"


def test_rows_are_those_of_a_role_of_everybody_or_of_one_person():
    found = evidence()
    assert found.rows("forget") == [0, 2] and found.rows("forget", "bert") == [2]
    assert found.rows("probe") == [1] and found.rows("probe", "bert") == [] and found.rows("named") == []
