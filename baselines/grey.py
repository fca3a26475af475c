"""Does a judge look at the face, or at its colours? Forgets nobody, and takes the colour out of everything.

Anybody can still tell who is on a grey photograph. A method whose ID falls because its images look different, and not
because they show somebody else, falls with this one: whatever its row wins, the measurement gives away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from guidebench.cameras import CameraRig
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest, Unlearner

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601), as image editors turn to grey


class Desaturated(Generator):
    """A generator all of whose images are grey."""

    rig: CameraRig | None
    luminance: Tensor  # (3, 1, 1)

    def __init__(self, inner: Generator) -> None:
        super().__init__()
        self.inner = inner
        self.z_dim, self.num_ws, self.w_dim = inner.z_dim, inner.num_ws, inner.w_dim
        self.resolution, self.rig = inner.resolution, inner.rig
        self.features_are_deterministic = inner.features_are_deterministic
        self.register_buffer("luminance", torch.tensor(LUMINANCE).view(3, 1, 1).to(inner.w_avg))

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]  # the inner generator's own
        """The average latent code."""
        return self.inner.w_avg

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """As the inner generator."""
        return self.inner.map(z, condition=condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """As the inner generator."""
        return self.inner.synthesize(ws, noise=noise)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """The luminance of the inner generator's images in all three channels."""
        images = self.inner.decode(features, ws, cameras, noise=noise)
        return (images * self.luminance).sum(dim=1, keepdim=True).repeat(1, 3, 1, 1)

    def parts(self) -> Mapping[str, nn.Module]:
        """The inner generator's."""
        return self.inner.parts()

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The inner generator's."""
        return self.inner.blocks()


@dataclass(frozen=True)
class Grey(Unlearner):
    """Takes the colour out of every image, of the forgotten person and of everybody else."""

    name = "grey"
    summary = "forgets nobody: takes the colour out of every image"
    supports = frozenset({"single", "simultaneous", "sequential"})

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Wraps the generator; no parameter changes."""
        return Desaturated(generator)

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        """Writes nothing: there is nothing to know."""

    def load(self, generator: Generator, folder: Path) -> Generator:
        """Wraps a copy of the original generator."""
        return Desaturated(generator)
