"""What tests of methods for several people share: the analytic testbed, with a request for three."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from guidebench.baselines.guide import Guide
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import make_context
from guidebench.protocol import Protocol
from guidebench.testbeds.linear import LinearGenerator, LinearTestbed
from guidebench.unlearner import Context

PEOPLE = 3
PROTOCOL = Protocol(
    name="stage", version=1, title="", source="dev", identities=PEOPLE, forget=PEOPLE, retain=0, views=1, samples=2
)


class Stage:
    """A context on the analytic testbed, with a request for three people and a list of progress reports."""

    def __init__(self) -> None:
        self.bench = Bench(LinearTestbed())
        (self.request,) = self.bench.cast(PROTOCOL, 0).requests
        self.latents = torch.stack([item.latent for item in self.request.forget])
        self.reports: list[dict[str, float]] = []
        self.context: Context = make_context(
            self.bench.players, self.bench.testbed.device, PROTOCOL, self.request, 0, self.report
        )

    def report(self, step: int, **scalars: Any) -> None:
        self.reports.append({"step": step, **{name: float(value) for name, value in scalars.items()}})

    def unlearn(self, method: Guide, generator: LinearGenerator | None = None, people: int = PEOPLE) -> LinearGenerator:
        """What a method makes of a generator, a fresh one unless one is given, for the first people of the request."""
        request = dataclasses.replace(self.request, forget=self.request.forget[:people])
        result = method.unlearn(generator or fresh(), request, self.context)
        assert isinstance(result, LinearGenerator)
        return result


def fresh() -> LinearGenerator:
    """The original, as a method is given it."""
    return LinearGenerator().eval().requires_grad_(False)
