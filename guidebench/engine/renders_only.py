"""A generator that maps and renders and offers nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from guidebench.noise import Noise
from guidebench.testbed import Generator


class RendersOnly(Generator):
    """Subclasses define `map` and `render`; features and parts stay where they are."""

    refusal: ClassVar[str]  # what is said to whoever asks for features

    def __init__(self, source: Generator) -> None:
        """source: whose sizes, cameras and average code it has."""
        super().__init__()
        self.z_dim, self.num_ws, self.w_dim = source.z_dim, source.num_ws, source.w_dim
        self.resolution, self.rig = source.resolution, source.rig
        self.register_buffer("w_avg", source.w_avg.detach().clone())

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """Not offered."""
        raise TypeError(self.refusal)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Not offered."""
        raise TypeError(self.refusal)

    def parts(self) -> Mapping[str, nn.Module]:
        """None."""
        return {}
