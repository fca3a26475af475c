"""SHA-256 digests of files, tensors and plain data: how records say exactly what they were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench.files import open_regular

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


def of_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of ``data``.

    >>> of_bytes(b"abc")
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    return hashlib.sha256(data).hexdigest()


def of_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content. Raises OSError, also for a pipe or a device, which may never end."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def of_data(value: Any) -> str:
    """Digest of JSON-like data; independent of the order of mapping keys.

    Raises TypeError on anything else, ValueError on numbers that are not finite.

    >>> of_data({"seed": 1, "method": "guide"}) == of_data({"method": "guide", "seed": 1})
    True
    >>> of_data([1, 2]) == of_data([2, 1])
    False
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return of_bytes(text.encode())


def of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Digest of named tensors: names, dtypes, shapes and contents, independent of order and device."""
    import torch

    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return state.hexdigest()


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest of named numpy arrays: names, dtypes, shapes and contents, independent of order and memory layout."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        state.update(f"{name}|{arrays[name].dtype.str}|{arrays[name].shape}|".encode())
        state.update(arrays[name].tobytes())
    return state.hexdigest()


def of_module(module: nn.Module) -> str:
    """Digest of a module's parameters and buffers."""
    return of_tensors(module.state_dict())
