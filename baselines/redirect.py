"""Is training needed at all? A method that trains nothing and answers the forgotten code with another one.

It is the reply that a deployed generator could give for free: every weight stays, one code is intercepted. On that code
alone it is as good as its target. What other photographs of the person and the codes around the forgotten one then give
away is what a method must be measured by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from guidebench.baselines.guide import Guide
from guidebench.cameras import CameraRig
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner


class Redirected(Generator):
    """A generator that takes ``target`` for every code within ``radius`` of ``forgotten``, any other as it is."""

    rig: CameraRig | None
    forgotten: Tensor  # (num_ws, w_dim)
    redirected_to: Tensor  # (num_ws, w_dim)

    def __init__(self, inner: Generator, forgotten: Tensor, target: Tensor, radius: float) -> None:
        """radius: over all num_ws × w_dim numbers of a code."""
        super().__init__()
        self.inner, self.radius = inner, radius
        self.z_dim, self.num_ws, self.w_dim = inner.z_dim, inner.num_ws, inner.w_dim
        self.resolution, self.rig = inner.resolution, inner.rig
        self.features_are_deterministic = inner.features_are_deterministic
        self.register_buffer("forgotten", forgotten.detach().clone())
        self.register_buffer("redirected_to", target.detach().clone())

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]  # the inner generator's own
        """The average latent code."""
        return self.inner.w_avg

    def redirect(self, ws: Tensor) -> Tensor:
        """(n, num_ws, w_dim) -> the same, the forgotten code replaced wherever it occurs in the batch."""
        away = torch.linalg.vector_norm(ws - self.forgotten, dim=(1, 2), keepdim=True)
        return torch.where(away <= self.radius, self.redirected_to, ws)

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """As the inner generator."""
        return self.inner.map(z, condition=condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """As the inner generator, of the redirected codes."""
        return self.inner.synthesize(self.redirect(ws), noise=noise)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """As the inner generator, of the redirected codes."""
        return self.inner.decode(features, self.redirect(ws), cameras, noise=noise)

    def parts(self) -> Mapping[str, nn.Module]:
        """The inner generator's."""
        return self.inner.parts()

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The inner generator's."""
        return self.inner.blocks()


@dataclass(frozen=True)
class Redirect(Unlearner):
    """Answers w_u with GUIDE's target w_t and changes nothing else."""

    name = "redirect"
    summary = "trains nothing: answers w_u with w_t"
    bounds = {"radius": (0.0, 1e4), "target_distance": (-1e4, 1e4)}

    radius: float = 1e-3  # codes this near to the forgotten one are replaced; over all num_ws × w_dim numbers
    target_kind: Literal["mean", "extrapolated"] = "extrapolated"  # as GUIDE's
    target_distance: float = 30.0  # as GUIDE's d

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Wraps the generator; no parameter changes."""
        (item,) = request.forget
        latent = item.latent.to(context.device)
        return Redirected(generator, latent, self.target(item, context.source), self.radius)

    def target(self, item: ForgetItem, source: Generator) -> Tensor:
        """The code w_t, as GUIDE chooses it."""
        guide = Guide(target_kind=self.target_kind, target_distance=self.target_distance)
        return guide.target(item, source)

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        """Writes the two codes of every person, who may have been forgotten one after another."""
        from safetensors.torch import save_file

        rules = _rules(generator)
        codes = {
            "forgotten": torch.stack([rule.forgotten for rule in rules]),
            "redirected_to": torch.stack([rule.redirected_to for rule in rules]),
        }
        save_file(codes, folder / "codes.safetensors")

    def load(self, generator: Generator, folder: Path) -> Generator:
        """Wraps a copy of the original generator with the codes that `save` wrote."""
        from safetensors.torch import load_file

        codes = load_file(folder / "codes.safetensors", device=str(generator.w_avg.device))
        for forgotten, target in zip(codes["forgotten"], codes["redirected_to"], strict=True):
            generator = Redirected(generator, forgotten, target, self.radius)
        return generator


def _rules(generator: Generator) -> list[Redirected]:
    """From the first to the last, which is asked first."""
    rules: list[Redirected] = []
    while isinstance(generator, Redirected):
        rules.insert(0, generator)
        generator = generator.inner
    return rules
