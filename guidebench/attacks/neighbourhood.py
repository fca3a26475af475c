"""Search the surroundings of the forgotten code for the person, with a training recogniser to go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.attack import Attack, AttackContext, Finding, Knowledge, Target
from guidebench.attacks.uphill import uphill
from guidebench.noise import Noise
from guidebench.testbed import Generator


@dataclass(frozen=True)
class Neighbourhood(Attack):
    """Climbs from the forgotten code, and from two random ones beside it, to the likeness of a photograph."""

    name = "neighbourhood"
    summary = "searches within a radius of the forgotten code for the person"
    knows = Knowledge(access="weights", photos=1, code=True)
    bounds = {"steps": (1, 100_000), "radius": (1e-6, 1e6), "starts": (1, 8)}

    steps: int = 12
    radius: float = 15.0  # over all num_ws × w_dim numbers, as GUIDE's α
    starts: int = 2

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """The last code of every start."""
        assert target.photos is not None and target.code is not None
        code = target.code
        shape = (self.starts, *code.shape)
        moved = context.noise("start").normal(shape, context.device)
        moved = moved * (0.5 * self.radius / _length(moved))
        moved[0] = 0.0
        with torch.no_grad():
            wanted = context.recognizer(target.photos[:1])
        stride = 2.0 * self.radius / self.steps

        def alike(moved: Tensor) -> Tensor:
            rendered = generator.render(code + moved, context.cameras(self.starts), noise=Noise.constant())
            return (context.recognizer(rendered) * wanted).sum(dim=1)

        for step in range(1, self.steps + 1):
            way = uphill(alike, moved, reach=stride, noise=context.noise("estimate", step))
            moved = self._within(moved + stride * way / _length(way))
        return [Finding(at=self.steps, code=code + shift) for shift in moved]

    def _within(self, moved: Tensor) -> Tensor:
        return moved * (self.radius / _length(moved)).clamp_max(1.0)


def _length(codes: Tensor) -> Tensor:
    """(n, num_ws, w_dim) -> (n, 1, 1), never zero."""
    return torch.linalg.vector_norm(codes, dim=(1, 2), keepdim=True).clamp_min(1e-12)
