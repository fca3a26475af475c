"""Noise from a generator of torch's, whose draws the recorded fixtures hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guidebench.noise import Noise


class TorchNoise(Noise):
    """Draws from the CPU generator of a seed, one after another, as the original implementations do."""

    def __init__(self, seed: int) -> None:
        super().__init__([seed])
        self._rng = torch.Generator().manual_seed(seed)

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        return torch.randn(tuple(shape), generator=self._rng).to(device)

    def normals(self, shapes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> list[Tensor]:
        return [self.normal(shape, device) for shape in shapes]

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        return torch.rand(tuple(shape), generator=self._rng).to(device)
