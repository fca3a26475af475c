"""Disturb the weights a little: what a thin layer of training hides may come through.

Rounding to few bits brings forgotten knowledge of language models back (Zhang et al., "Catastrophic Failure of LLM
Unlearning via Quantization", ICLR 2025, arXiv 2410.16454).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.attack import Attack, AttackContext, Finding, Knowledge, Target
from guidebench.testbed import Generator


@dataclass(frozen=True)
class Perturb(Attack):
    """Rounds every weight tensor to few bits, then adds noise to it instead."""

    name = "perturb"
    summary = "rounds the weights to 8 and 6 bits, adds noise to them"
    paper = "Zhang et al., Catastrophic Failure of LLM Unlearning via Quantization, ICLR 2025, arXiv 2410.16454"
    knows = Knowledge(access="weights", code=True)
    unit = "relative change of the weights"
    controls = frozenset({"other"})
    bounds = {"bits": (2, 16), "fewer_bits": (2, 16), "noise": (1e-9, 10.0)}

    bits: int = 8
    fewer_bits: int = 6
    noise: float = 0.02  # standard deviation, in that of each tensor

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """The generator with weights of 8 bits, of 6 bits, and with noise."""
        draw = context.noise("weights")

        def noisy(weights: Tensor) -> Tensor:
            drawn = draw.normal(tuple(weights.shape), context.device)
            return weights + self.noise * weights.std(correction=0) * drawn

        ways: list[Callable[[Tensor], Tensor]] = [
            lambda weights: _rounded(weights, self.bits),
            lambda weights: _rounded(weights, self.fewer_bits),
            noisy,
        ]
        return [_changed(generator, way) for way in ways]


@dataclass(frozen=True)
class Interpolate(Attack):
    """Averages the weights with the original's: how far back until the person is there?"""

    name = "interpolate"
    summary = "averages the weights with the original's; the curve over the share"
    knows = Knowledge(access="weights", code=True, original=True)
    unit = "share of the original"
    controls = frozenset()
    curve = True
    shows_anybody = True

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """The generator with a quarter, a half and three quarters of the original's weights."""
        assert context.original is not None
        original = dict(context.original.named_parameters())
        found = []
        for share in (0.25, 0.5, 0.75):
            mixed = copy.deepcopy(generator)
            with torch.no_grad():
                for name, weights in mixed.named_parameters():
                    old = next((old for own, old in original.items() if name == own or name.endswith(f".{own}")), None)
                    if old is not None and old.shape == weights.shape:
                        weights.lerp_(old.to(weights), share)
            found.append(Finding(at=share, generator=mixed))
        return found


def _rounded(weights: Tensor, bits: int) -> Tensor:
    """To as many bits, evenly spaced and symmetric about 0, with one scale per tensor."""
    steps = 2 ** (bits - 1) - 1
    scale = weights.abs().max().clamp_min(torch.finfo(weights.dtype).tiny) / steps
    return (weights / scale).round() * scale


@torch.no_grad()
def _changed(generator: Generator, way: Callable[[Tensor], Tensor]) -> Finding:
    other, moved, length = copy.deepcopy(generator), 0.0, 0.0
    for weights in other.parameters():
        new = way(weights)
        moved += float((new - weights).double().square().sum())
        length += float(weights.double().square().sum())
        weights.copy_(new)
    return Finding(at=(moved / max(length, 1e-30)) ** 0.5, generator=other)
