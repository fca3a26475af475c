"""Search the latent space of the unlearned generator for the person: optimisation-based inversion of a photograph.

As in Abdal et al., "Image2StyleGAN", ICCV 2019, arXiv 1904.03189, with an identity term. W+ has room for faces that the
generator never knew, and Z for people who look like the person, so that what counts is the gap to the same search on
the original generator, and for people who were not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebench.attack import Attack, AttackContext, Finding, Knowledge, Target
from guidebench.attacks.uphill import uphill
from guidebench.noise import Noise
from guidebench.testbed import Generator

_REACH = 0.1  # standard deviations of the space, per number: how far an estimate of the gradient looks


@dataclass(frozen=True)
class Reinvert(Attack):
    """Fits a latent code to photographs: from the average code and from the encoder's, in W+."""

    name = "reinvert"
    summary = "searches W+ for a code that renders the photographs"
    paper = "Abdal et al., Image2StyleGAN, ICCV 2019, arXiv 1904.03189"
    knows = Knowledge(access="weights", photos=2)
    shows_anybody = True
    bounds = {
        "steps": (1, 100_000),
        "lr": (1e-6, 1e3),
        "pixels": (0.0, 1e6),
        "perceptual": (0.0, 1e6),
        "identity": (0.0, 1e6),
    }

    space: Literal["w+", "w", "z"] = "w+"
    from_average: bool = True  # also starts from the average code, for the forgotten photograph
    steps: int = 15
    lr: float = 0.2  # in standard deviations of the space
    pixels: float = 1.0
    perceptual: float = 1.0
    identity: float = 1.0

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """The codes that fit the forgotten photograph, from each start, and another photograph."""
        assert target.photos is not None
        another = min(1, len(target.photos) - 1)
        photos = target.photos[[0, 0, another] if self.from_average else [0, another]]
        variables, code_of = self._start(generator, photos, context)
        optimizer = torch.optim.Adam([variables.requires_grad_(True)], lr=self.lr)
        with torch.no_grad():
            wanted = context.recognizer(photos)

        def likeness(variables: Tensor) -> Tensor:
            rendered = generator.render(code_of(variables), context.cameras(len(photos)), noise=Noise.constant())
            alike = (context.recognizer(rendered) * wanted).sum(dim=1)
            return -(
                self.pixels * (rendered - photos).square().mean(dim=(1, 2, 3))
                + self.perceptual * context.perceptual(rendered, photos)
                + self.identity * (1 - alike)
            )

        for step in range(1, self.steps + 1):
            estimate = context.noise("estimate", step)
            variables.grad = -uphill(likeness, variables, reach=_REACH * variables[0].numel() ** 0.5, noise=estimate)
            optimizer.step()
        with torch.no_grad():
            codes = code_of(variables)
        return [Finding(at=self.steps, code=code) for code in codes]

    def _start(
        self, generator: Generator, photos: Tensor, context: AttackContext
    ) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """What is optimised, (n, …) in standard deviations of the space, and how it becomes codes."""
        average, scale = generator.w_avg, _spread(generator, context)
        if self.space == "z":
            start = context.noise("start").normal((len(photos), generator.z_dim), context.device)
            start[: int(self.from_average)] = 0.0
            return start, generator.map
        with torch.no_grad():
            found = (context.inverter.invert(photos) - average) / scale
        found[: int(self.from_average)] = 0.0
        if self.space == "w":
            return found.mean(dim=1, keepdim=True), lambda v: average + scale * v.expand(-1, generator.num_ws, -1)
        return found, lambda v: average + scale * v


@dataclass(frozen=True)
class ReinvertW(Reinvert):
    """The same in W: one row for all style inputs."""

    name = "reinvert-w"
    summary = "the same in W: one row for all style inputs"
    controls = frozenset({"original"})

    space: Literal["w+", "w", "z"] = "w"
    from_average: bool = False


@dataclass(frozen=True)
class ReinvertZ(Reinvert):
    """The same in Z: what the generator makes by itself."""

    name = "reinvert-z"
    summary = "the same in Z: what the generator makes by itself"
    controls = frozenset({"original"})

    space: Literal["w+", "w", "z"] = "z"
    from_average: bool = False


@torch.no_grad()
def _spread(generator: Generator, context: AttackContext) -> Tensor:
    """Standard deviation of each number of a row of an ordinary code, (w_dim,)."""
    codes = generator.map(context.noise("ordinary").normal((64, generator.z_dim), context.device))
    return (codes - generator.w_avg).square().mean(dim=(0, 1)).sqrt().clamp_min(1e-8)
