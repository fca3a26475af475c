"""The ceiling of every table: a generator whose backbone is destroyed, so that nobody is left in its images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest, Unlearner


@dataclass(frozen=True)
class Scramble(Unlearner):
    """Replaces every backbone weight by noise; forgets everyone at the price of the worst images there are."""

    name = "scramble"
    summary = "ceiling: a destroyed generator"
    supports = frozenset({"single", "simultaneous", "sequential"})
    bounds = {"strength": (0.0, 1000.0)}

    strength: float = (
        3.0  # size of the noise, in units of each original tensor's root mean square (1 where that is zero)
    )

    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Overwrites the parameters of the backbone in place; the noise is a function of the trial's streams."""
        originals = context.source.parts()["backbone"].parameters()
        for index, (parameter, original) in enumerate(
            zip(generator.parts()["backbone"].parameters(), originals, strict=True)
        ):
            noise = torch.randn(parameter.shape, generator=context.streams.at("scramble/weights", index))
            size = original.square().mean().sqrt()
            parameter.copy_(noise.to(parameter) * torch.where(size > 0, size, 1.0) * self.strength)
        return generator
