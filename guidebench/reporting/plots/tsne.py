"""Exact t-SNE (van der Maaten & Hinton, JMLR 2008) of a few hundred points, in float64: the same picture every time."""

from __future__ import annotations

import numpy as np

_STEPS, _EARLY, _EXAGGERATION = 750, 200, 8.0
_TRIES = 60  # halvings of an interval in which a point's bandwidth lies


def tsne(points: np.ndarray, perplexity: float = 10.0) -> np.ndarray:
    """Places points in the plane so that near ones stay near.

    points: (n, d), at least 4. perplexity: how many neighbours a point has, about; cut to a third of the others. Starts
    from the first two principal components, not from random numbers. Returns (n, 2), centred, standard deviation 1
    along the first axis. Raises ValueError with fewer points.
    """
    points = np.asarray(points, dtype=np.float64)
    if len(points) < 4:
        raise ValueError(f"t-SNE needs at least 4 points, got {len(points)}")
    wanted = affinities(_squared_distances(points), min(perplexity, (len(points) - 1) / 3))
    placed = principal(points)
    placed *= 1e-4 / max(float(placed[:, 0].std()), 1e-12)
    rate = max(len(points) / _EXAGGERATION / 4, 10.0)  # Belkina et al. 2019
    step, gains = np.zeros_like(placed), np.ones_like(placed)
    for number in range(_STEPS):
        early = number < _EARLY
        slope = _gradient(placed, wanted * _EXAGGERATION if early else wanted)
        gains = np.where(np.sign(slope) == np.sign(step), gains * 0.8, gains + 0.2).clip(min=0.01)
        step = (0.5 if early else 0.8) * step - rate * gains * slope
        placed = placed + step
        placed -= placed.mean(axis=0)
    result: np.ndarray = placed / max(float(placed[:, 0].std()), 1e-12)
    return result


def principal(points: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, 2): the first two principal components, each pointing where most of its coordinates are large."""
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.where(axes[:2].sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    found = centred @ axes.T
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def affinities(distances: np.ndarray, perplexity: float) -> np.ndarray:
    """Joint probabilities P (n, n) of squared distances (n, n): symmetric, zero on the diagonal, their sum 1.

    Each row is a Gaussian whose entropy is log(perplexity) (Eq. 1 of the paper), then P = (P + Pᵀ) / 2n.
    """
    n = len(distances)
    others = ~np.eye(n, dtype=bool)
    scaled = distances / max(float(distances[others].mean()), 1e-300)
    low, high = np.full(n, 1e-6), np.full(n, 1e12)  # of the precision, whose logarithm is halved
    for _ in range(_TRIES):
        middle = np.sqrt(low * high)
        rows = _rows(scaled, middle, others)
        entropy = -(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    rows = _rows(scaled, np.sqrt(low * high), others)
    joint: np.ndarray = (rows + rows.T) / (2 * n)
    return joint


def _rows(distances: np.ndarray, precision: np.ndarray, others: np.ndarray) -> np.ndarray:
    nearest = np.where(others, distances, np.inf).min(axis=1, keepdims=True)
    weights = np.where(others, np.exp(-np.minimum((distances - nearest) * precision[:, None], 700.0)), 0.0)
    found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return found


def _gradient(placed: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Of the Kullback-Leibler divergence of P and Student's t in the plane (Eq. 5)."""
    kernel = 1 / (1 + _squared_distances(placed))
    np.fill_diagonal(kernel, 0.0)
    pull = (wanted - kernel / kernel.sum()) * kernel
    found: np.ndarray = 4 * (pull.sum(axis=1, keepdims=True) * placed - pull @ placed)
    return found


def _squared_distances(points: np.ndarray) -> np.ndarray:
    squares = (points**2).sum(axis=1)
    found: np.ndarray = np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0.0)
    return found
