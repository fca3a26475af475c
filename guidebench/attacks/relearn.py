"""Train on: does the person come back, with photographs of the person or even without?

Fast relearning shows what was hidden rather than removed, as in Lynch et al., "Eight Methods to Evaluate Robust
Unlearning in LLMs", arXiv 2402.16835. In the end any generator learns a new person, so
that the curve over steps counts.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.attack import Attack, AttackContext, Finding, Knowledge, Target
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbed import Generator

PARTS = 4  # of the steps, after each of which the generator is handed back


@dataclass(frozen=True)
class Relearn(Attack):
    """Trains the generator to render photographs of the person at the codes that the encoder finds for them."""

    name = "relearn"
    summary = "trains on photographs of the person; the curve over steps"
    paper = "Lynch et al., Eight Methods to Evaluate Robust Unlearning in LLMs, arXiv 2402.16835"
    knows = Knowledge(access="weights", photos=3)
    controls = frozenset()
    curve = True
    shows_anybody = True
    bounds = {"steps": (PARTS, 100_000), "lr": (1e-9, 10.0)}

    steps: int = 12
    lr: float = 4e-3

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """The generator after each quarter of the steps."""
        photos = self._photos(target)
        with torch.no_grad():
            codes, wanted = context.inverter.invert(photos), context.recognizer(photos)
        optimizer = torch.optim.Adam(generator.parts()["backbone"].requires_grad_(True).parameters(), lr=self.lr)
        found, shown = [], {self.steps * part // PARTS for part in range(1, PARTS + 1)}
        for step in range(1, self.steps + 1):
            rendered = generator.render(codes, context.cameras(len(photos)), noise=Noise.constant())
            alike = (context.recognizer(rendered) * wanted).sum(dim=1)
            loss = (
                (rendered - photos).square().mean() + context.perceptual(rendered, photos).mean() + (1 - alike).mean()
            )
            if not loss.requires_grad:
                raise MethodError("the generator lets no gradient through to its weights")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step in shown:
                found.append(Finding(at=step, generator=_frozen(generator)))
        return found

    def _photos(self, target: Target) -> Tensor:
        assert target.photos is not None
        return target.photos


@dataclass(frozen=True)
class Resurgence(Relearn):
    """The same on photographs of other people: does the person come back unasked?"""

    name = "resurgence"
    summary = "trains on photographs of other people; the curve over steps"
    knows = Knowledge(access="weights", others=3)
    shows_anybody = False

    def _photos(self, target: Target) -> Tensor:
        assert target.others is not None
        return target.others


def _frozen(generator: Generator) -> Generator:
    return copy.deepcopy(generator).eval().requires_grad_(False)
