"""The network φ of SUGAR (arXiv 2512.06562): from where a face lies around the average to where it shall go.

A latent code without the average, num_ws rows of w_dim numbers, is an image of one channel. A U-Net of one level reads
it and writes another one; only the direction of that is used (`guidebench.baselines.sugar`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDE, _WIDEST = 64, 128  # channels at full size, and at half


class _Block(nn.Module):
    """Two convolutions of 3 x 3 beside one of 1 x 1; nothing follows their sum."""

    def __init__(self, inputs: int, outputs: int, *, enters: bool = False) -> None:
        """enters: the block reads numbers as they come; others read positive ones."""
        super().__init__()
        self.enters = enters
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.beside = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        inner = self.first(x if self.enters else functional.relu(x))
        found: Tensor = self.second(functional.relu(inner)) + self.beside(x)
        return found


class LatentMap(nn.Module):
    """φ, SUGAR's "unet2d": one block, one at half the size, one that joins both; the mean over its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = _Block(1, _WIDE, enters=True)
        self.bottom = _Block(_WIDE, _WIDEST)
        self.up = nn.ConvTranspose2d(_WIDEST, _WIDEST, 2, stride=2)
        self.leave = _Block(_WIDE + _WIDEST, _WIDE)

    @classmethod
    def drawn(cls, rng: torch.Generator) -> LatentMap:
        """A new one: Xavier's uniform weights, and biases uniform in ±1/√(numbers that an output reads)."""
        with torch.device("meta"):
            network = cls()
        network.to_empty(device=rng.device)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight, generator=rng)
                assert module.bias is not None
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound, generator=rng)
        return network

    def forward(self, offsets: Tensor) -> Tensor:
        """w - w̄ (n, num_ws, w_dim) -> the same shape. Odd sizes are filled up with zeros and cut again."""
        rows, width = offsets.shape[1:]
        seen = functional.pad(offsets[:, None], (0, width % 2, 0, rows % 2))
        full = self.enter(seen)
        half = self.bottom(functional.max_pool2d(full, 2))
        joined: Tensor = self.leave(torch.cat([full, self.up(half)], dim=1))
        return joined.mean(dim=1)[:, :rows, :width]
