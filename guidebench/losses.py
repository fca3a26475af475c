"""What methods share: three distances between what a generator makes and what it should make.

Each is a pure function that gives one number per row, so that a method can stack all its latent codes into one batch
and weigh the rows as it likes. The local unlearning loss of GUIDE (arXiv 2405.09879) is the weighted sum of the three;
Eq. 7 takes it at codes near the forgotten one, and Eq. 8 takes the perceptual distance alone at random codes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from guidebench.testbed import PerceptualDistance, Recognizer


def feature_distance(features: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over all numbers of a feature tensor; the tri-plane term of GUIDE's local loss.

    features: (n, ...) of the generator in training. target: the same shape, of the source generator; gets no gradient.
    Returns (n,), each ≥ 0. Raises ValueError if the shapes differ.

    >>> feature_distance(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 3.0], [1.0, 1.0]])).tolist()
    [5.0, 0.0]
    """
    if features.shape != target.shape:
        raise ValueError(f"features {tuple(features.shape)} and target {tuple(target.shape)} differ in shape")
    rows: Tensor = _MeanSquare.apply(features - target.detach())
    return rows


def perceptual(distance: PerceptualDistance, images: Tensor, target: Tensor) -> Tensor:
    """Learned image distance (LPIPS in the paper): a term of GUIDE's local loss, and all of its global loss (Eq. 8).

    images, target: (n, 3, r, r) in about [-1, 1], not clamped; target gets no gradient. Returns (n,), each ≥ 0.
    """
    return distance(images, target.detach())


def identity(recognizer: Recognizer, images: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine between two faces, the identity term of GUIDE's local loss; 0 is the same person.

    images, target: (n, 3, r, r) in about [-1, 1]; target gets no gradient. Returns (n,), each in [0, 2].
    """
    with torch.no_grad():
        wanted = recognizer(target)
    return 1 - (recognizer(images) * wanted).sum(dim=1)


class _MeanSquare(torch.autograd.Function):
    """(n, ...) -> (n,) mean of the squares of each row.

    The gradient has the layout of the rows: autograd's own would bring tri-planes out of theirs, a copy of each.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return rows.square().mean(dim=tuple(range(1, rows.ndim)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return rows * (gradient * (2 * len(rows) / rows.numel())).view(-1, *[1] * (rows.ndim - 1))
