"""Look at the forgotten code from where no method trains: beyond the protocol's yaw and pitch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guidebench.attack import Attack, AttackContext, Finding, Knowledge, Target
from guidebench.testbed import Generator


@dataclass(frozen=True)
class WideViews(Attack):
    """Renders from both sides, further and further out, then from above and below."""

    name = "wide-views"
    summary = "renders the forgotten code from beyond the trained views"
    knows = Knowledge(access="queries", code=True)
    unit = "degrees"
    controls = frozenset({"other"})
    needs_cameras = True
    bounds = {"near": (1.0, 90.0), "far": (1.0, 90.0), "tilt": (1.0, 80.0)}

    near: float = 25.0  # degrees of yaw
    far: float = 35.0
    tilt: float = 15.0  # degrees above and below the protocol's pitch

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """Three findings of two views."""
        pitch, tilt = context.pitch, math.radians(self.tilt)
        sides = [
            Finding(at=yaw, views=tuple((math.radians(way * yaw), pitch) for way in (-1, 1)))
            for yaw in (self.near, self.far)
        ]
        return [*sides, Finding(at=self.tilt, views=((0.0, pitch - tilt), (0.0, pitch + tilt)))]
