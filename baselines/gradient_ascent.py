"""The plainest way to forget: train until the forgotten code shows anybody else, and stay near the start.

Gradient ascent is the usual first baseline of machine unlearning. Here it raises the identity term of GUIDE's local
loss between the forgotten code's face and what it was; L2 holds the weights near the start. Nothing looks at other
faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebench import losses
from guidebench.allocator import pages_kept
from guidebench.baselines.guide import forgotten_codes
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest, Unlearner


@dataclass(frozen=True)
class GradientAscent(Unlearner):
    """Lowers the cosine between the face of the forgotten code and the original's, by the training recogniser."""

    name = "gradient-ascent"
    summary = "raises the identity loss at the forgotten code, L2 to the start"
    presets = {"mini": {"steps": 25, "lr": 4e-3}, "linear": {"steps": 30, "lr": 5e-3}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}
    supports = frozenset({"single", "simultaneous", "sequential"})
    bounds = {
        "steps": (0, 1_000_000),
        "lr": (0.0, 10.0),
        "people_at_once": (1, 1024),
        "l2": (0.0, 1e9),
    }

    steps: int = 1000  # passes through the people of a request, each one step of Adam for every mini-batch
    lr: float = 1e-4  # of Adam, other settings at their usual values
    people_at_once: int = 4  # people in a mini-batch, where a request holds several
    l2: float = 10.0  # weight of the squared distance of the weights from the start, as a share of their squared length
    noise: Literal["random", "constant"] = "random"  # of the training renders: fresh, or the stored one

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Trains the backbone in place; a further request starts where the one before ended."""
        latents = forgotten_codes(request, context)
        backbone = generator.parts()["backbone"].requires_grad_(True)
        parameters = list(backbone.parameters())
        start = [parameter.detach().clone() for parameter in parameters]
        size = _squared(start)
        optimizer = torch.optim.Adam(parameters, lr=self.lr, fused=True)
        step = 0
        with pages_kept():
            for number in range(1, self.steps + 1):
                for some in latents.split(self.people_at_once):
                    step += 1
                    likeness = self.likeness(generator, some, context, step)
                    moved = [now - then for now, then in zip(parameters, start, strict=True)]
                    distance = _squared(moved) / size
                    loss = likeness + self.l2 * distance
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                context.progress(number, loss=loss.detach(), likeness=likeness.detach(), distance=distance.detach())
        backbone.requires_grad_(False)
        return generator

    def likeness(self, generator: Generator, latents: Tensor, context: Context, step: int) -> Tensor:
        """The mean cosine of the faces of codes (n, num_ws, w_dim) and the original's, seen by one camera."""
        camera = context.cameras.sample(1, context.noise("train/camera", step))
        cameras = camera.expand(len(latents), -1) if camera is not None else None
        images = generator.render(latents, cameras, noise=self._noise("trained", len(latents), context, step))
        with torch.no_grad():
            own = self._noise("source", len(latents), context, step)
            before = context.source.render(latents, cameras, noise=own)
        return 1 - losses.identity(context.recognizer, images, before).mean()

    def _noise(self, side: str, count: int, context: Context, step: int) -> Noise:
        if self.noise == "constant":
            return Noise.constant()
        purpose = f"train/noise/render/{side}/local"
        return Noise.random(*(context.streams.key(purpose, step, index) for index in range(count)))


def _squared(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of the squares of all numbers."""
    return torch.stack([tensor.square().sum() for tensor in tensors]).sum()
