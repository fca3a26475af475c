"""The nurseries of a process that judges, one for each kind of code that is not its own; and how it talks to them."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from guidebench.engine.nursery import Child, Nursery
from guidebench.engine.wire import heard, told
from guidebench.errors import GuidebenchError, MethodError
from guidebench.testbed import Players


class Nurseries:
    """One child of each kind at a time."""

    def __init__(
        self, players: Callable[[], Players], device: torch.device, *, prepared: bool, attacks: bool = False
    ) -> None:
        """players: loads them in a child; what it returns is never changed, so that it may be loaded already.

        prepared: whether what most methods import is imported here, and stays for further nurseries. attacks: whether
        there will be attacks, too.
        """
        from guidebench.engine import apart, attacks_apart
        from guidebench.engine.hosted import host

        if prepared:
            _prepare()
        self._methods = Nursery(partial(apart.serve_method, load=players, device=device), _prepare)
        self._hosts = Nursery(partial(host, device=device))
        self._attacks = self._findings = None
        if attacks:
            self._attacks = Nursery(partial(attacks_apart.serve_attack, load=players, device=device), _prepare)
            self._findings = Nursery(partial(host, device=device))

    def method(self) -> Child:
        """A process for a method."""
        return self._methods.child()

    def host(self) -> Child:
        """A process for a generator that a method returned."""
        return self._hosts.child()

    def attack(self) -> Child:
        """A process for an attack."""
        assert self._attacks is not None
        return self._attacks.child()

    def finding(self) -> Child:
        """A process for a generator that an attack returned."""
        assert self._findings is not None
        return self._findings.child()

    def close(self) -> None:
        """Ends all of them, and whatever runs in them."""
        for nursery in (self._methods, self._hosts, self._attacks, self._findings):
            if nursery is not None:
                nursery.close()


def _prepare() -> None:
    """Imports what takes a method a second otherwise: the first optimiser asks for torch's compiler."""
    import torch._dynamo  # noqa: F401


# In the process that judges -----------------------------------------------------------------------------------------


def answered(
    child: Child, timeout: float | None, on_step: Callable[[Mapping[str, Any]], None] = lambda content: None
) -> dict[str, Any]:
    """What a child answers, after its messages and its progress.

    timeout: seconds; None: as long as it takes. on_step: hears of its progress. Raises MethodError if it says that it
    failed, or takes too long.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            message = child.receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            child.kill()
            raise MethodError(f"it took longer than the {timeout:g} s that --timeout allows") from None
        kind, content = heard(message)
        if kind == "log":
            logging.getLogger(content["name"]).log(content["level"], "%s", content["text"])
        elif kind == "step":
            on_step(content)
        elif kind == "failed":
            raise MethodError(content["reason"])
        else:
            return content


# In a child ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def told_failures(pipe: Connection, who: str) -> Iterator[None]:
    """Hands guidebench's messages to the process that judges, and what the block raises; then waits until it closes.

    who: whose code runs, for messages.
    """
    logger = logging.getLogger("guidebench")
    logger.handlers[:] = [_Told(pipe)]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield
    except (EOFError, ConnectionError):
        raise
    except (GuidebenchError, KeyboardInterrupt) as error:
        pipe.send_bytes(told("failed", reason=str(error) or f"the {who} raised {type(error).__name__}"))
    while True:  # until the other side has read what was sent, and closes
        pipe.recv_bytes()


class _Told(logging.Handler):
    """Hands messages to the process that judges."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self._pipe.send_bytes(told("log", name=record.name, level=record.levelno, text=record.getMessage()))
