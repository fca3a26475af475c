"""Random numbers as a function of a key and a place: SplitMix64 in integer tensor operations, alike on every device.

Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014. Word i of a key is a hash of
key + (i + 1) γ, so that any part of any stream is made at once, where it is needed and without a state. A word of 64
bits gives two numbers. Uniforms are equal bit by bit on every device; normals, by Box and Muller's transform (1958), as
far as its logarithms and cosines are: to about 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_AT_ONCE = {"cpu": 1 << 15}  # words that are made together: on a CPU, few enough for its caches


def words(keys: Tensor, start: int, count: int) -> Tensor:
    """(n,) int64 keys -> (n, count) int64: 64 random bits at each of the places from ``start`` of every key's stream.

    >>> [word % 2**64 for word in words(torch.tensor([1234567]), 0, 2)[0].tolist()]
    [6457827717110365317, 3203168211198807973]
    """
    places = torch.arange(start + 1, start + count + 1, device=keys.device).mul_(_signed(_GAMMA))
    bits = keys[:, None] + places
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        bits.bitwise_xor_(_shifted(bits, shift)).mul_(_signed(factor))
    return bits.bitwise_xor_(_shifted(bits, 31))


def uniforms(keys: Tensor, start: int, count: int) -> Tensor:
    """(n,) int64 keys -> (n, 2 * count) float32 in [0, 1), multiples of 2^-24, of the words from ``start``."""
    return _in_parts(_uniforms, keys, start, count)


def normals(keys: Tensor, start: int, count: int) -> Tensor:
    """(n,) int64 keys -> (n, 2 * count) standard normal float32, of the words from ``start``."""
    return _in_parts(_normals, keys, start, count)


def _in_parts(numbers: Callable[[Tensor], Tensor], keys: Tensor, start: int, count: int) -> Tensor:
    most = _AT_ONCE.get(keys.device.type, len(keys) * count)
    if len(keys) * count <= most:
        return numbers(words(keys, start, count))
    made = torch.empty(len(keys), 2 * count, device=keys.device)
    together = max(1, most // count)
    for row in range(0, len(keys), together):
        rows = slice(row, row + together)
        for place in range(0, count, most):
            width = min(most, count - place)
            made[rows, 2 * place : 2 * (place + width)] = numbers(words(keys[rows], start + place, width))
    return made


def _uniforms(bits: Tensor) -> Tensor:
    """The upper 24 bits of either half of each word."""
    halves = torch.stack([_shifted(bits, 40), _shifted(bits, 8) & 0xFFFFFF], dim=-1)
    return halves.to(torch.float32).mul_(2**-24).flatten(1)


def _normals(bits: Tensor) -> Tensor:
    """Box and Muller: a radius of one half, (0, 1] so that its logarithm is finite, and an angle of the other."""
    share = (_shifted(bits, 32) + 1).to(torch.float32).mul_(2**-32)
    radius = share.log_().mul_(-2).sqrt_()
    angle = (_shifted(bits, 8) & 0xFFFFFF).to(torch.float32).mul_(2 * math.pi * 2**-24)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1).flatten(1)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """Shift to the right that fills with zeros, not with the sign."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def _signed(value: int) -> int:
    """The int64 with the bits of a number in [0, 2^64)."""
    return value - 2**64 if value >= 2**63 else value
