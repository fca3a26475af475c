"""Where a generator takes its random numbers from while it renders."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from guidebench import splitmix


class Noise:
    """Where a generator takes its random numbers from while it renders.

    `Noise.constant()` is the evaluation convention: stored backbone noise and mid-bin ray samples, no draw at all.
    `Noise.random(key)` draws fresh numbers, one draw after another, made on the device that asks for them and the same
    on all devices (`guidebench.splitmix`); two generators share them by being given noise of equal keys.

    Noise of several keys belongs to a batch, with a key for each of its rows (latent codes, or views of one), so that
    no row's numbers depend on its neighbours: a draw whose first axis holds k entries for each row (k rays, say) takes
    k entries from each key. A draw that the batch shares comes from the first row's key.
    """

    def __init__(self, keys: Sequence[int] | None) -> None:
        """keys: see `random`; None: constant."""
        self._keys = None if keys is None else tuple(keys)
        self._place = 0  # of the next word in every key's stream

    @classmethod
    def constant(cls) -> Noise:
        """No randomness: the noise that is stored with the weights, samples in the middle of their bins."""
        return cls(None)

    @classmethod
    def random(cls, *keys: int) -> Noise:
        """Fresh draws. keys: one for the whole batch, or one for each of its rows; see `guidebench.seeds.derive`."""
        if not keys:
            raise ValueError("random noise needs a key, or one for each row of a batch")
        return cls(keys)

    @property
    def is_constant(self) -> bool:
        """Whether nothing is drawn."""
        return self._keys is None

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal float32 of ``shape``; only for random noise (constant noise is stored with the weights)."""
        if self._keys is None:
            raise ValueError("constant noise has no draws; use the noise stored with the weights")
        return self._drawn(splitmix.normals, self._keys, shape, device)

    def normals(self, shapes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> list[Tensor]:
        """What as many calls of `normal` would give, made together; each shape has entries for each row of a batch."""
        if self._keys is None or any(shape[0] % len(self._keys) for shape in shapes):
            return [self.normal(shape, device) for shape in shapes]
        rows = len(self._keys)
        each = [math.prod(shape) // rows for shape in shapes]
        whole = [-(-count // 2) * 2 for count in each]  # a word gives two numbers
        parts = self.normal((rows, sum(whole)), device).split(whole, dim=1)
        return [part[:, :count].reshape(tuple(shape)) for part, count, shape in zip(parts, each, shapes, strict=True)]

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Uniform float32 in [0, 1) of ``shape``; 0.5 everywhere under constant noise."""
        if self._keys is None:
            return torch.full(tuple(shape), 0.5, device=device)
        return self._drawn(splitmix.uniforms, self._keys, shape, device)

    def split(self, count: int) -> Noise:
        """Noise for ``count`` rows that share one key so far, each with a key of its own drawn from it."""
        if self._keys is None:
            return self
        key = torch.tensor(self._keys[:1], dtype=torch.int64)
        self._place, place = self._place + count, self._place
        return Noise(splitmix.words(key, place, count)[0].tolist())

    def rows(self, start: int, count: int) -> Noise:
        """The noise of ``count`` rows from ``start``, as if nothing had been drawn yet."""
        return self if self._keys is None else Noise(self._keys[start : start + count])

    def _drawn(
        self,
        numbers: Callable[[Tensor, int, int], Tensor],
        keys: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str,
    ) -> Tensor:
        own = keys if shape and shape[0] % len(keys) == 0 else keys[:1]
        each = math.prod(shape) // len(own)
        count = -(-each // 2)  # a word gives two numbers
        drawn = numbers(torch.tensor(own, dtype=torch.int64, device=device), self._place, count)
        self._place += count
        return drawn[:, :each].reshape(tuple(shape))
