"""What was computed and may be asked for again, up to a number of bytes: what was used least recently is forgotten."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

MOST_BYTES = 256 * 2**20  # per process: some thirty scenes of mini, one of a 512 px testbed and the faces of a few more

Value = TypeVar("Value")


class Remembered:
    """Values by key. The latest one is kept whatever its size."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()  # with sizes; least recently used first

    def recall(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key; made, and remembered, if it is not known."""
        if key not in self._values:
            value = make()
            self._values[key] = (value, size_of(value))
            while len(self._values) > 1 and sum(size for _, size in self._values.values()) > self._most:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key][0]


def size_of(value: object) -> int:
    """Bytes of all tensors and arrays in mappings and dataclasses.

    >>> size_of({"a": np.zeros(3), "b": "text"})
    24
    """
    if isinstance(value, Tensor | np.ndarray):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if dataclasses.is_dataclass(value):
        return sum(size_of(getattr(value, field.name)) for field in dataclasses.fields(value))
    return 0
