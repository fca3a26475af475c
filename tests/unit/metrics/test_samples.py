"""KID, precision and recall, against values worked out here and against torch-fidelity's."""

import subprocess
import sys

import numpy as np
import pytest

from guidebench.evidence import Evidence, Samples, Seen, Sight, Subject
from guidebench.metrics import samples, score_all


def evidence(source, after):
    face = Seen(np.ones((1, 1, 1)), np.ones((1, 1), bool))
    sights = {"judge": Sight(face, Seen.stack([face]))}
    return Evidence((Subject("anna", "forget", 0, 1),), sights, 0, Samples(source), (Samples(after),), None)


def of(found):
    return {score.metric: score for score in score_all(found) if score.metric in ("kid_pre", "precision", "recall")}


def test_the_kernel_distance_of_two_points_against_two_points_by_hand():
    """d = 1, kernel (xy + 1)³. Each set is one value twice over, so every subset of two is {a, a} against {b, b}:
    k(a, a) + k(b, b) - 2 k(a, b) with a = 1, b = 2 is 8 + 125 - 54 = 79."""
    assert samples.kernel_distance(np.full((4, 1), 1.0), np.full((4, 1), 2.0)) == pytest.approx(79)


def test_the_kernel_distance_is_the_unbiased_estimate_within_subsets():
    """Against the definition in numpy, on torch-fidelity's subsets: means over pairs i ≠ j within, all pairs across."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(12, 3)), 0.5 + rng.normal(size=(12, 3))

    def kernel(a, b):
        return (a @ b.T / 3 + 1) ** 3

    draws, expected = np.random.RandomState(samples.KID_SEED), []
    for _ in range(samples.KID_SUBSETS):
        a, b = (rows[draws.choice(12, 6, replace=False)] for rows in (first, second))
        within = [(kernel(rows, rows).sum() - np.trace(kernel(rows, rows))) / 30 for rows in (a, b)]
        expected.append(sum(within) - 2 * kernel(a, b).mean())
    assert samples.kernel_distance(first, second) == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.fixture
def torch_fidelity():
    from guidebench.torchvision_fix import import_torch_fidelity

    return import_torch_fidelity()


def two_sets(counts, dim, spread):
    rng = np.random.default_rng(7)
    first, second = (rng.normal(size=(count, dim)) for count in counts)
    return first, second * spread


def test_the_kernel_distance_is_the_one_that_torch_fidelity_gives(torch_fidelity):
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    first, second = two_sets((300, 300), 4, 1.1)
    theirs = kid_features_to_metric(
        torch.from_numpy(first), torch.from_numpy(second), kid_subset_size=150, verbose=False
    )["kernel_inception_distance_mean"]
    assert samples.kernel_distance(first, second) == theirs


def test_nothing_of_torch_fidelity_is_imported():
    """A second of a worker's start was torchvision, and torch._dynamo by it."""
    code = (
        "import sys; import numpy as np; from guidebench.metrics import samples; rows = np.eye(8); "
        "samples.kernel_distance(rows, rows); samples.precision_recall(rows, rows); "
        "print({'torch_fidelity', 'torchvision', 'torch._dynamo'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"set()\n"


def test_equal_sets_have_full_precision_and_recall_and_far_ones_none():
    rows = np.random.default_rng(1).normal(size=(50, 4))
    assert samples.precision_recall(rows, rows.copy()) == (1.0, 1.0)
    assert samples.precision_recall(rows, rows + 100) == (0.0, 0.0)


def test_precision_concerns_the_samples_after_and_recall_those_before():
    """After: one of two clusters is left. All that is left is genuine (precision 1), half is lost (recall 1/2)."""
    rng = np.random.default_rng(2)
    kept, lost = rng.normal(size=(60, 2)), 1000 + rng.normal(size=(60, 2))
    source = np.concatenate([kept, lost])
    assert samples.precision_recall(source, np.concatenate([kept, kept + 1e-6])) == (1.0, 0.5)


@pytest.mark.parametrize("block", [1, 2, 7, 50, 60, 2000])
def test_shares_are_exact_and_do_not_depend_on_the_blocks_they_are_counted_in(block):
    """k of 60 and k of 50, which a float32 would blur: sums of differences must tie exactly."""
    rng = np.random.default_rng(6)
    source, after = rng.normal(size=(50, 3)), 0.6 + rng.normal(size=(60, 3))
    precision, recall = samples.precision_recall(source, after, block=block)
    assert (precision, recall) == samples.precision_recall(source, after)
    assert precision in [k / 60 for k in range(20, 60)] and recall in [k / 50 for k in range(20, 50)]


def test_precision_and_recall_are_those_that_torch_fidelity_gives(torch_fidelity):
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    rng = np.random.default_rng(8)
    source, after = rng.normal(size=(300, 6)).astype(np.float32), rng.normal(size=(250, 6)).astype(np.float32) * 1.3
    pair = (torch.from_numpy(rows.astype(np.float64)) for rows in (after, source))
    theirs = prc_features_to_metric(*pair, prc_neighborhood=3, verbose=False)
    ours = samples.precision_recall(source, after, block=64)
    assert ours == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-7)
    assert 0 < ours[0] < 1 and 0 < ours[1] < 1


def test_distances_are_held_in_blocks_whatever_the_number_of_samples(monkeypatch):
    import torch

    shapes = []
    real = torch.cdist

    def watched(first, second):
        shapes.append((len(first), len(second)))
        return real(first, second)

    monkeypatch.setattr(torch, "cdist", watched)
    rows = np.random.default_rng(9).normal(size=(130, 2)).astype(np.float32)
    samples.precision_recall(rows, rows, block=40)
    assert max(max(shape) for shape in shapes) == 40


def test_an_untouched_generator_scores_best_and_a_destroyed_one_worst():
    rng = np.random.default_rng(3)
    source = rng.normal(size=(200, 5)).astype(np.float32)
    nothing, destroyed = of(evidence(source, source)), of(evidence(source, source + 1000))
    assert nothing["kid_pre"].value < 0.1 < 100 < destroyed["kid_pre"].value
    assert (nothing["precision"].value, nothing["recall"].value) == (1.0, 1.0)
    assert (destroyed["precision"].value, destroyed["recall"].value) == (0.0, 0.0)
    assert nothing["kid_pre"].n == 200


def test_the_same_evidence_gives_the_same_numbers_whatever_was_drawn_before():
    rng = np.random.default_rng(4)
    source, after = rng.normal(size=(150, 5)), 0.2 + rng.normal(size=(150, 5))
    first = samples.kernel_distance(source, after)
    np.random.rand(7)
    assert samples.kernel_distance(source, after) == first


def test_too_few_samples_give_a_reason_instead_of_a_number():
    rows = np.random.default_rng(5).normal(size=(samples.LEAST - 1, 2))
    for score in of(evidence(rows, rows)).values():
        assert score.value is None and "99 samples" in score.reason and "--samples 100" in score.reason


def test_sets_that_are_too_small_for_the_definition_are_refused():
    with pytest.raises(ValueError, match="four"):
        samples.kernel_distance(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match=r"\b3\b"):
        samples.precision_recall(np.zeros((9, 2)), np.zeros((3, 2)))
