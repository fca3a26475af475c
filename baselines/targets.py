"""GUIDE towards somebody else: a random person, or the most similar person who is not the forgotten one.

Reference points for GUIDE's extrapolated target: losses and settings are GUIDE's, only the code w_t is another.
``anchor`` takes the idea of PIU (arXiv 2605.22311): the less a face must move, the less else should break.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.baselines.guide import Guide
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem

_AT_ONCE = 16  # candidates that are rendered together


@dataclass(frozen=True)
class RandomTarget(Guide):
    """GUIDE, but the target is a random code of the generator: one per person and run."""

    name = "random-target"
    summary = "GUIDE's losses towards a random person"
    paper = ""
    presets = {**Guide.presets, "mini": {"steps": 25, "lr": 32e-3}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}

    def __post_init__(self) -> None:
        """Raises ValueError for GUIDE's settings that have no effect here, too."""
        super().__post_init__()
        for name in ("target_kind", "target_distance"):
            if getattr(self, name) != getattr(Guide, name):
                raise ValueError(
                    f"{name}={getattr(self, name)} has no effect: the target is another person; leave {name} out"
                )

    def aim(self, latents: Tensor, context: Context) -> Tensor:
        """(P, num_ws, w_dim) random codes."""
        return context.latents(len(latents), "random-target/code")

    def target(self, item: ForgetItem, source: Generator) -> Tensor | None:  # type: ignore[override]
        """None: the code depends on the run."""
        return None


@dataclass(frozen=True)
class Anchor(RandomTarget):
    """GUIDE, but the target is the person most like the forgotten one among random codes, if not the same person.

    Likeness is the cosine of frontal renders by the training recogniser. Two faces pass for one person above the cosine
    that a share of all pairs of candidates exceeds; candidates that pass for the forgotten person are left out.
    """

    name = "anchor"
    summary = "GUIDE's losses towards the most similar other person"
    paper = "the idea of PIU, arXiv 2605.22311"
    presets = {**Guide.presets, "mini": {"steps": 25, "lr": 16e-3}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}
    bounds = {**Guide.bounds, "candidates": (2, 4096), "false_accepts": (0.0, 1.0)}

    candidates: int = 256  # random codes
    false_accepts: float = 1e-3  # share of pairs of different candidates that pass for one person

    def aim(self, latents: Tensor, context: Context) -> Tensor:
        """(P, num_ws, w_dim): of each person the most similar candidate below the threshold.

        Raises MethodError if every candidate passes for the person.
        """
        codes = context.latents(self.candidates, "anchor/candidates")
        faces = self.faces(codes, context)
        first, second = torch.triu_indices(len(codes), len(codes), 1, device=faces.device)
        threshold = (faces @ faces.T)[first, second].quantile(1 - self.false_accepts)
        likeness = self.faces(latents, context) @ faces.T
        likeness = likeness.masked_fill(likeness >= threshold, -torch.inf)
        best, place = likeness.max(dim=1)
        if not bool(torch.isfinite(best).all()):
            raise MethodError(
                f"each of {self.candidates} candidates passes for the person to forget; raise candidates "
                f"(--set candidates=…) or lower false_accepts = {self.false_accepts:g}"
            )
        return codes[place]

    @torch.no_grad()
    def faces(self, codes: Tensor, context: Context) -> Tensor:
        """(n, num_ws, w_dim) -> (n, d) unit rows: what the training recogniser sees from the front."""
        found = []
        for some in codes.split(_AT_ONCE):
            rig, camera = context.source.rig, None
            if rig is not None:
                camera = rig.look_at(torch.zeros(len(some), device=context.device), context.cameras.pitch)
            found.append(context.recognizer(context.source.render(some, camera, noise=Noise.constant())))
        return torch.cat(found)
