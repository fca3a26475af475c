"""How a process that judges talks to its children, in which somebody else's code runs."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from guidebench.engine.nursery import Child
from guidebench.engine.wire import heard, told
from guidebench.errors import GuidebenchError, MethodError

# In the process that judges -----------------------------------------------------------------------------------------


def answered(
    child: Child,
    timeout: float | None,
    on_step: Callable[[Mapping[str, Any]], None] = lambda content: None,
    on_snapshot: Callable[[Mapping[str, Any]], None] = lambda content: None,
) -> dict[str, Any]:
    """What a child answers, after its messages and its progress.

    timeout: seconds; None: as long as it takes. on_step: hears of its progress. on_snapshot: of the weights that it
    trains. Raises MethodError if it says that it failed, or takes too long.
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
        elif kind == "snapshot":
            on_snapshot(content)
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
