"""How many rows a device's memory holds at once, found by running out of it.

What the engine renders and judges may be cut anywhere: no draw depends on it, and numbers differ by rounding at most.
Memory is the process's, so what was found is remembered for the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from guidebench.errors import MethodError

FACES, VIEWS = "faces", "views of a face"  # what generators render
_Part = TypeVar("_Part")
_most: dict[str, int] = {}
_log = logging.getLogger(__name__)


def in_parts(what: str, count: int, make: Callable[[range], _Part], *, most: int | None = None) -> list[_Part]:
    """What ``make`` gives for rows 0 to ``count``: for all at once, or where memory runs out for half as many.

    what: the rows are, in the plural, for messages. most: rows at once, however much memory holds.
    Raises MethodError if memory does not hold a single one.
    """
    parts: list[_Part] = []
    start = 0
    while start < count:
        rows = range(start, min(count, start + min(most or count, _most.get(what, count))))
        try:
            parts.append(make(rows))
        except torch.OutOfMemoryError:
            fewer = -(-len(rows) // 2)
        else:
            start = rows.stop
            continue
        if len(rows) == 1:  # outside of the handler, so that the traceback keeps nothing in memory
            raise MethodError(
                f"the device's memory does not hold {what}, not even one at a time; free memory on the device, or "
                "choose another with --device"
            )
        found(what, fewer)
    return parts


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts as one tensor; a single one as it is, since `torch.cat` may change its layout, and that rounding."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def found(what: str, at_once: int) -> None:
    """Remembers, and says, that memory holds only so many rows at once."""
    if at_once < _most.get(what, at_once + 1):
        _most[what] = at_once
        _log.warning("the device's memory ran out; going on with %s %d at a time", what, at_once)


def in_words() -> str:
    """What was found, for records; "" if memory never ran out."""
    return ", ".join(f"{what} {at_once} at a time" for what, at_once in sorted(_most.items()))


def held() -> dict[str, int]:
    """How many rows memory holds, of what it did not hold as asked for."""
    return dict(_most)


def forget() -> None:
    """As if memory had never run out."""
    _most.clear()
