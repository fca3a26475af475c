"""Common random numbers: a draw is a function of names and an index, never of what was drawn before.

``stream("celebahq-multi", 1, "fid/latent", 17)`` is the same generator in every process, whatever the batch size, the
sample count or other draws: the first 300 of 1,000 latents are the 300. Everything is drawn on the CPU and moved, so
that a GPU sees the same numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def derive(*names: str | int) -> int:
    """A 63-bit seed from names and numbers; any change in any of them gives an unrelated seed.

    >>> derive("celebahq-multi", 1, "fid/latent", 17)
    4821895535221500171
    >>> derive("celebahq-multi", 1, "fid/latent", 18) == derive("celebahq-multi", 1, "fid/latent", "18")
    False
    """
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(*names: str | int) -> torch.Generator:
    """A fresh CPU generator seeded by `derive`."""
    return torch.Generator().manual_seed(derive(*names))


def normals(indices: Sequence[int], width: int, *names: str | int) -> Tensor:
    """(len(indices), width) standard normal float32; row i depends on names and indices[i] only.

    >>> torch.equal(normals([0, 1, 17], 64, "fid/latent")[2:], normals([17], 64, "fid/latent"))
    True
    """
    rows = [torch.randn(width, generator=stream(*names, index)) for index in indices]
    return torch.stack(rows) if rows else torch.empty(0, width)


def uniforms(indices: Sequence[int], low: float, high: float, *names: str | int) -> Tensor:
    """(len(indices),) float32 uniform in [low, high); element i depends on names and indices[i] only."""
    draws = [torch.rand((), generator=stream(*names, index)) for index in indices]
    return low + (high - low) * torch.stack(draws) if draws else torch.empty(0)


@dataclass(frozen=True)
class Streams:
    """A family of named streams, all below one prefix: ``Streams(("guide", 0)).at("train/camera", step)``."""

    prefix: tuple[str | int, ...]  # what sets this family apart from all others: protocol, identity, seed, …

    def at(self, purpose: str, *index: int) -> torch.Generator:
        """The generator for one purpose and index (a step, a sample number)."""
        return stream(*self.prefix, purpose, *index)


@contextlib.contextmanager
def global_seed(*names: str | int) -> Iterator[None]:
    """Seeds the global generators of random, numpy and torch within the block and restores them afterwards.

    For plug-ins that call ``torch.randn`` without a generator; guidebench itself never draws from global state.
    """
    seed = derive(*names)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
