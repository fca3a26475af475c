"""Where a generator takes its random numbers from while it renders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Noise:
    """Where a generator takes its random numbers from while it renders.

    `Noise.constant()` is the evaluation convention: stored backbone noise and mid-bin ray samples, no draw at all.
    `Noise.random(rng)` draws fresh numbers from a passed stream, so that two generators can share them by being given
    streams in equal states.
    """

    def __init__(self, rng: torch.Generator | None) -> None:
        self._rng = rng

    @classmethod
    def constant(cls) -> Noise:
        """No randomness: the noise that is stored with the weights, samples in the middle of their bins."""
        return cls(None)

    @classmethod
    def random(cls, rng: torch.Generator) -> Noise:
        """Fresh draws from ``rng``, whose state advances."""
        return cls(rng)

    @property
    def is_constant(self) -> bool:
        """Whether nothing is drawn."""
        return self._rng is None

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal float32 of ``shape``; only for random noise (constant noise is stored with the weights)."""
        if self._rng is None:
            raise ValueError("constant noise has no draws; use the noise stored with the weights")
        return torch.randn(tuple(shape), generator=self._rng, device=self._rng.device).to(device)

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Uniform float32 in [0, 1) of ``shape``; 0.5 everywhere under constant noise."""
        if self._rng is None:
            return torch.full(tuple(shape), 0.5, device=device)
        return torch.rand(tuple(shape), generator=self._rng, device=self._rng.device).to(device)


class PerCodeNoise(Noise):
    """Render noise with a stream for each latent code of a batch, so that no code's noise depends on its neighbours.

    A draw whose first axis holds k rows for each code (k rays, say) takes k rows from each stream. A draw that the
    batch shares comes from the first code's stream.
    """

    def __init__(self, streams: Sequence[torch.Generator]) -> None:
        """streams: one for each code, in the order of the batch."""
        super().__init__(streams[0])
        self._codes = [Noise.random(stream) for stream in streams]

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal float32 of ``shape``."""
        if shape[0] % len(self._codes):
            return super().normal(shape, device)
        rows = (shape[0] // len(self._codes), *shape[1:])
        return torch.cat([code.normal(rows, device) for code in self._codes])

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Uniform float32 in [0, 1) of ``shape``."""
        if shape[0] % len(self._codes):
            return super().uniform(shape, device)
        rows = (shape[0] // len(self._codes), *shape[1:])
        return torch.cat([code.uniform(rows, device) for code in self._codes])


class SlicedNoise:
    """Noise for a batch that is worked on in parts: each part gets the numbers that it would get in the whole.

    All parts must draw alike, one after another; a draw's first axis holds k rows for each row of the part, or it is
    shared by the batch.
    """

    def __init__(self, noise: Noise, total: int) -> None:
        """noise: of the whole batch. total: its rows."""
        self.noise, self.total = noise, total
        self.drawn: list[Tensor] = []  # for the whole batch, in the order of the draws

    def rows(self, start: int, count: int) -> Noise:
        """The noise of ``count`` rows from ``start``."""
        return self.noise if self.noise.is_constant else _Slice(self, start, count)


class _Slice(Noise):
    def __init__(self, whole: SlicedNoise, start: int, count: int) -> None:
        super().__init__(whole.noise._rng)
        self._whole, self._start, self._count = whole, start, count
        self._draws = 0

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Standard normal float32 of ``shape``."""
        return self._rows_of(self._whole.noise.normal, shape, device)

    def uniform(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Uniform float32 in [0, 1) of ``shape``."""
        return self._rows_of(self._whole.noise.uniform, shape, device)

    def _rows_of(self, draw: Callable[..., Tensor], shape: Sequence[int], device: torch.device | str) -> Tensor:
        drawn = self._whole.drawn
        if self._draws == len(drawn):
            each, shared = divmod(shape[0], self._count)
            drawn.append(draw(shape if shared else (each * self._whole.total, *shape[1:]), device))
        numbers = drawn[self._draws]
        self._draws += 1
        if numbers.shape == torch.Size(shape):
            return numbers
        each = len(numbers) // self._whole.total
        return numbers[self._start * each : (self._start + self._count) * each]
