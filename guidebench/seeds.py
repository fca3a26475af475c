"""Common random numbers: a draw is a function of names and an index, never of what was drawn before.

``normals([17], 512, "celebahq-multi", 1, "fid/latent")`` is the same in every process and on every device, whatever the
batch size, the sample count or other draws: the first 300 of 1,000 latents are the 300. Names become keys by SHA-256,
keys become numbers where they are needed, see `guidebench.splitmix`.
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

from guidebench import splitmix


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
    """A fresh CPU generator seeded by `derive`, for what torch alone can draw, such as permutations."""
    return torch.Generator().manual_seed(derive(*names))


def normals(indices: Sequence[int], width: int, *names: str | int, device: torch.device | str = "cpu") -> Tensor:
    """(len(indices), width) standard normal float32; row i depends on names and indices[i] only.

    >>> torch.equal(normals([0, 1, 17], 64, "fid/latent")[2:], normals([17], 64, "fid/latent"))
    True
    """
    return splitmix.normals(_keys(indices, names, device), 0, -(-width // 2))[:, :width]


def uniforms(
    indices: Sequence[int], low: float, high: float, *names: str | int, device: torch.device | str = "cpu"
) -> Tensor:
    """(len(indices),) float32 uniform in [low, high); element i depends on names and indices[i] only."""
    return low + (high - low) * splitmix.uniforms(_keys(indices, names, device), 0, 1)[:, 0]


def _keys(indices: Sequence[int], names: Sequence[str | int], device: torch.device | str) -> Tensor:
    return torch.tensor([derive(*names, index) for index in indices], dtype=torch.int64, device=device)


@dataclass(frozen=True)
class Streams:
    """A family of named streams, all below one prefix: ``Streams(("guide", 0)).key("train/camera", step)``."""

    prefix: tuple[str | int, ...]  # what sets this family apart from all others: protocol, identity, seed, …

    def at(self, purpose: str, *index: int) -> torch.Generator:
        """The CPU generator for one purpose and index (a step, a sample number)."""
        return stream(*self.prefix, purpose, *index)

    def key(self, purpose: str, *index: int) -> int:
        """The key of `guidebench.noise.Noise` for one purpose and index: the same numbers on every device."""
        return derive(*self.prefix, purpose, *index)


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
