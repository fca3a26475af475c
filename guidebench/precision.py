"""How exactly products of float32 are computed on a GPU: a named choice, recorded and part of a trial's key.

A CPU computes them in full, and so does "strict" everywhere. With "tf32", cuDNN's convolutions on CUDA devices round
their factors to 10 bits: PyTorch's default, and what GUIDE's released code runs with. Matrix products stay full.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch

from guidebench.errors import BadInput

Precision = Literal["strict", "tf32"]


def check(precision: str, device: str) -> None:
    """Raises BadInput if there is no such precision, or not on this device."""
    known = get_args(Precision)
    if precision not in known:
        raise BadInput(f"unknown precision {precision!r:.40}; give {' or '.join(known)}")
    if precision == "tf32" and device == "cpu":
        raise BadInput("precision tf32 is for CUDA devices, this run is on the CPU; give strict")


def use(precision: Precision) -> None:
    """Sets the precision for the whole process, by torch's old names and its new."""
    for place in _places():
        place.fp32_precision = "none"  # as the place above it
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def in_use() -> Precision:
    """What `use` has set last."""
    return "tf32" if torch.backends.cudnn.allow_tf32 else "strict"


def _places() -> list[Any]:
    """Where torch keeps the precision of float32 products, by its new names; the last is above the others."""
    libraries: list[Any] = [torch.backends.cudnn, torch.backends.mkldnn]
    return [place for library in libraries for place in (library, library.conv, library.rnn)] + [torch.backends]


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Puts back what `use` sets, for a process that is not guidebench's own."""
    product = torch.get_float32_matmul_precision()
    old: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    allowed = [place.allow_tf32 for place in old]
    try:
        yield
    finally:
        use("strict")
        torch.set_float32_matmul_precision(product)
        for place, value in zip(old, allowed, strict=True):
            place.allow_tf32 = value
