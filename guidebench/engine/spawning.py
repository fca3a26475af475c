"""Starts worker processes: of one thread each, in memory that they keep, without the caller's script."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

from guidebench.allocator import worker_settings

_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_context = multiprocessing.get_context("spawn")


def spawn(target: Callable[..., None], *given: Any, variables: Mapping[str, str] | None = None) -> Any:
    """A started process that calls a function; it ends with this one, and Ctrl-C does not reach it as it starts.

    The settings of threads and memory that it starts with give way to the user's own. It collects no garbage until it
    says that it is `settled`: while libraries are imported there is none, and looking for it takes a fifth of the time.
    variables: of its environment, besides the caller's.
    """
    settings = worker_settings(os.environ)
    settings |= {name: value for name, value in _THREADS.items() if name not in os.environ}
    settings |= variables or {}
    interrupt = ignore_interrupts()  # Ctrl-C reaches the whole group; the parent decides
    try:
        process = _context.Process(target=_begin, args=(_Later((target, given)),), daemon=True)
        with _environment(settings), _main_hidden():  # settings are read by the child's C library as it starts
            process.start()
    finally:
        if interrupt is not None:
            signal.signal(signal.SIGINT, interrupt)
    return process


class _Later:
    """What a process is to do, read once it runs, since reading it imports libraries."""

    def __init__(self, content: tuple[Callable[..., None], tuple[Any, ...]]) -> None:
        self._content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return bytes, (bytes(ForkingPickler.dumps(self._content)),)


def _begin(content: bytes) -> None:
    gc.disable()
    target, given = pickle.loads(content)
    target(*given)


def settled() -> None:
    """This process has loaded what it stays with: garbage is collected from now on, and not looked for in all that."""
    gc.freeze()
    gc.enable()


def ignore_interrupts() -> Any:
    """Ignores Ctrl-C in this process and the ones it starts; returns the former handler, None outside a main thread."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """Keeps a starting process from running the caller's script again, which it would otherwise import as its own."""
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        for name, value in hidden.items():
            setattr(main, name, value)
