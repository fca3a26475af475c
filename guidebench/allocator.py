"""How the C library keeps memory. glibc gives each large block back after use, and page faults dominate small networks.

Worker processes start with settings that keep it; in a process that runs already, `pages_kept` does the same. Where
another C library is at work nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Mapping

_TUNABLES = "GLIBC_TUNABLES"
_HUGE_PAGES = "glibc.malloc.hugetlb"
_KEEPING = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "200000000",
}
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # malloc.h
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 200_000_000}  # no blocks of their own, nothing is given back
_USUAL = {  # glibc's defaults; thresholds as it sets them itself once a process has used large blocks
    _MMAP_MAX: 65536,
    _MMAP_THRESHOLD: 32 << 20,
    _TRIM_THRESHOLD: 64 << 20,
    _TOP_PAD: 128 << 10,
}
_lock = threading.Lock()
_blocks = 0  # how many blocks of `pages_kept` are open


def worker_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process that keeps its memory, in huge pages where there are some; what is set already stays.

    >>> worker_settings({"GLIBC_TUNABLES": "glibc.malloc.check=1"})["GLIBC_TUNABLES"]
    'glibc.malloc.check=1:glibc.malloc.hugetlb=1'
    """
    added = {name: value for name, value in _KEEPING.items() if name not in environment}
    tunables = environment.get(_TUNABLES, "")
    if _HUGE_PAGES not in tunables:
        added[_TUNABLES] = f"{tunables}:{_HUGE_PAGES}=1".lstrip(":")
    return added


@contextlib.contextmanager
def pages_kept() -> Iterator[None]:
    """Within the block the process keeps memory that it frees; afterwards the usual values hold and it is given back.

    Blocks may be nested and open in several threads. A process whose environment has settings of its own, such as a
    worker, goes on with these.
    """
    mallopt = None if any(name in os.environ for name in _KEEPING) else _function("mallopt")
    if mallopt is None:
        yield
        return
    _enter(mallopt)
    try:
        yield
    finally:
        _leave(mallopt)


def give_back() -> None:
    """Gives the system what this process has freed."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _enter(mallopt: Callable[[int, int], int]) -> None:
    global _blocks
    with _lock:
        _blocks += 1
        if _blocks == 1:
            _apply(mallopt, _KEPT)


def _leave(mallopt: Callable[[int, int], int]) -> None:
    global _blocks
    with _lock:
        _blocks -= 1
        if _blocks == 0:
            _apply(mallopt, _USUAL)
            give_back()


def _apply(mallopt: Callable[[int, int], int], values: Mapping[int, int]) -> None:
    for parameter, value in values.items():
        mallopt(parameter, value)


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library of this process; None where there is none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return None
