"""What crosses the pipe between a trial and the process of its method.

Towards the method anything may be sent. What comes back is plain data alone, so that reading it runs nobody's code.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor

from guidebench.errors import MethodError
from guidebench.testbed import Generator


def packed(*content: Any) -> bytes:
    """Content for a process that trusts the sender."""
    return pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(message: bytes) -> tuple[Any, ...]:
    """What `packed` was given. For trusted senders only."""
    found: tuple[Any, ...] = pickle.loads(message)
    return found


def told(kind: str, **content: Any) -> bytes:
    """Plain data: numbers, texts, bytes, lists and mappings of these."""
    return msgspec.msgpack.encode([kind, content])


def heard(message: bytes) -> tuple[str, dict[str, Any]]:
    """What `told` was given. Raises MethodError if it is something else."""
    try:
        return msgspec.msgpack.decode(message, type=tuple[str, dict[str, Any]])
    except msgspec.MsgspecError:
        raise MethodError(
            "its process sent what cannot be read; write nothing to pipes that you did not open"
        ) from None


def tensors_to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors, with their bits."""
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def tensors_from_bytes(content: bytes) -> dict[str, Tensor]:
    """What `tensors_to_bytes` was given, on the CPU. Raises MethodError if it is something else."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError):
        raise MethodError("its process sent tensors that cannot be read") from None


def module_to_bytes(module: Generator) -> bytes:
    """A generator of any class, with its state; whoever reads it runs the code that it names."""
    stream = io.BytesIO()
    torch.save(module, stream)
    return stream.getvalue()


def module_from_bytes(content: bytes, device: torch.device) -> Generator:
    """What `module_to_bytes` was given."""
    found: Generator = torch.load(io.BytesIO(content), map_location=device, weights_only=False)
    return found
