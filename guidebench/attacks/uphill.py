"""The direction in which attacks climb: the gradient, or an estimate of it where a generator gives none.

A generator that answers codes by a rule hides its gradient, and with it the person (Athalye et al., "Obfuscated
Gradients Give a False Sense of Security", ICML 2018, arXiv 1802.00420). Differences along random directions need
renders alone (Spall, "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation",
IEEE Transactions on Automatic Control 37, 1992).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from guidebench.noise import Noise

DIRECTIONS = 4  # of an estimate, each of which takes two renders of every row


def uphill(objective: Callable[[Tensor], Tensor], at: Tensor, *, reach: float, noise: Noise) -> Tensor:
    """The gradient of each row's objective: (n, …) -> (n, …).

    objective: (n, …) -> (n,), each row a function of its own row alone. Rows whose gradient is missing or zero get an
    estimate, from points ``reach`` away (Euclidean, per row).
    """
    at = at.detach().requires_grad_(True)
    values = objective(at)
    found = torch.zeros_like(at)
    if values.requires_grad:
        (gradient,) = torch.autograd.grad(values.sum(), at, allow_unused=True)
        found = found if gradient is None else gradient
    flat = ~found.flatten(1).any(dim=1)
    if not flat.any():
        return found
    return torch.where(_by_row(flat, at), _estimate(objective, at.detach(), reach, noise), found)


@torch.no_grad()
def _estimate(objective: Callable[[Tensor], Tensor], at: Tensor, reach: float, noise: Noise) -> Tensor:
    found = torch.zeros_like(at)
    ways = noise.normal((DIRECTIONS, *at.shape), at.device)
    for way in ways:
        way = way / _by_row(torch.linalg.vector_norm(way.flatten(1), dim=1), at)
        rise = objective(at + reach * way) - objective(at - reach * way)
        found += _by_row(rise, at) * way / (2 * reach)
    return found * (at[0].numel() / DIRECTIONS)  # a random direction carries one part in n of the gradient


def _by_row(values: Tensor, rows: Tensor) -> Tensor:
    """(n,) in a shape that broadcasts against (n, …)."""
    return values.view(-1, *[1] * (rows.ndim - 1))
