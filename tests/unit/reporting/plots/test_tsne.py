"""t-SNE keeps near points near, the same way every time."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.reporting.plots.tsne import affinities, principal, tsne


@pytest.fixture
def clusters():
    draws = np.random.default_rng(1)
    centres = 10 * np.eye(4, 20)
    return np.repeat(centres, 6, axis=0) + 0.3 * draws.standard_normal((24, 20))


def test_people_stay_together(clusters):
    placed = tsne(clusters, perplexity=5)
    near = np.linalg.norm(placed[:, None] - placed[None], axis=-1)
    np.fill_diagonal(near, np.inf)
    assert (near.argmin(axis=1) // 6 == np.arange(24) // 6).all()


def test_it_is_the_same_every_time_and_scaled(clusters):
    placed = tsne(clusters)
    assert (placed == tsne(clusters)).all()
    assert placed[:, 0].std() == pytest.approx(1) and np.allclose(placed.mean(axis=0), 0)


@pytest.mark.parametrize("perplexity", [2.0, 5.0])
def test_each_point_has_as_many_neighbours_as_asked(perplexity):
    """On a circle all points are alike, so that rows of P are the conditional probabilities over n."""
    angle = 2 * np.pi * np.arange(12) / 12
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    joint = affinities(((points[:, None] - points[None]) ** 2).sum(axis=-1), perplexity)
    rows = joint * 12
    entropy = -(rows[rows > 0].reshape(12, -1) * np.log(rows[rows > 0].reshape(12, -1))).sum(axis=1)
    assert joint.sum() == pytest.approx(1) and (np.diag(joint) == 0).all()
    assert np.exp(entropy) == pytest.approx(np.full(12, perplexity), rel=1e-3)


def test_equal_points_are_no_trouble():
    assert np.isfinite(tsne(np.ones((6, 3)))).all()


def test_fewer_points_are_refused():
    with pytest.raises(ValueError, match="at least 4"):
        tsne(np.zeros((3, 2)))


def test_components_are_those_of_most_variance():
    points = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert np.allclose(np.abs(principal(points)), np.abs(points))
    assert principal(np.ones((4, 1))).shape == (4, 2)
