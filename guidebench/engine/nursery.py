"""Child processes, each of which runs one task and has seen nothing that its maker loaded after it opened the nursery.

A nursery is a process that is forked early. Asked for a child, it forks again: that costs milliseconds, since libraries
and networks are there already, and whatever the child does to them stays its own. On Linux only: elsewhere a process
that uses torch cannot be forked safely.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from guidebench.engine.spawning import settled
from guidebench.errors import GuidebenchError, MethodError

_context = multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context()
_NUMBER = struct.Struct("q")
_PR_SET_PDEATHSIG = 1  # prctl(2)
_ENDING_SECONDS = 2.0  # for a child to end by itself


def available() -> bool:
    """Whether this system can have nurseries."""
    return sys.platform == "linux"


def end_with_parent() -> None:
    """Makes this process end at once when the one that made it does, however that ends. On Linux; elsewhere nothing."""
    if available():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Child:
    """A process of a nursery, and the pipe to it."""

    def __init__(self, pipe: Connection, pid: int, ended: Callable[[], int]) -> None:
        """ended: waits for the end of the process; returns its exit code, or what signal ended it as a negative one."""
        self.pipe, self._pid, self._ended = pipe, pid, ended
        self._code: int | None = None

    def receive(self, seconds: float | None = None) -> bytes:
        """The next message.

        seconds: to wait at most; None: as long as it takes. Raises TimeoutError, and MethodError if the process has
        ended.
        """
        try:
            if not self.pipe.poll(seconds):
                raise TimeoutError
            return self.pipe.recv_bytes()
        except (EOFError, ConnectionError):
            raise MethodError(f"its process ended {self._how()}") from None

    def send(self, message: bytes) -> None:
        """Sends a message. Raises MethodError if the process has ended."""
        try:
            self.pipe.send_bytes(message)
        except (BrokenPipeError, ConnectionError):
            raise MethodError(f"its process ended {self._how()}") from None

    def _how(self) -> str:
        self.end()
        code = self._code or 0
        return f"by signal {-code} ({_signal_name(-code)})" if code < 0 else f"with exit code {code}"

    def end(self, patience: float = _ENDING_SECONDS) -> None:
        """Ends the process, by force after so many seconds, and all processes that it left."""
        self.pipe.close()
        if self._code is not None:
            return
        timer = threading.Timer(patience, self._kill)
        timer.start()
        try:
            self._code = self._ended()
        finally:
            timer.cancel()

    def kill(self) -> None:
        """Ends the process at once."""
        self._kill()
        self.end(0.0)

    def _kill(self) -> None:
        for end in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                end(self._pid, signal.SIGKILL)


class Nursery:
    """See the module. One child at a time."""

    def __init__(self, serve: Callable[[Connection], None], prepare: Callable[[], None] = lambda: None) -> None:
        """serve: what a child runs; it ends when this returns. prepare: runs once, before the first child."""
        here, there = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other threads exist; children need none of them
            pid = os.fork()
        if pid == 0:
            _never_return(partial(_breed, there, here, serve, prepare))
        there.close()
        self._control, self._pid = here, pid
        self._child: Child | None = None

    def child(self) -> Child:
        """A new child; the one before it is ended."""
        if self._child is not None:
            self._child.end()
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._control, [b"f"], [there.fileno()])
                pid = self._number()
            except OSError as error:
                here.close()
                raise GuidebenchError(f"the process that starts methods has ended: {error}") from None
        self._child = Child(Connection(here.detach()), pid, self._number)
        return self._child

    def _number(self) -> int:
        content = b""
        while len(content) < _NUMBER.size:
            part = self._control.recv(_NUMBER.size - len(content))
            if not part:
                raise ConnectionResetError("it closed its pipe")
            content += part
        return int(_NUMBER.unpack(content)[0])

    def close(self) -> None:
        """Ends the nursery and its child."""
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.kill()
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)  # another nursery may have inherited our end of its pipe
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return "unknown"
    return f"{name}, out of memory?" if number == signal.SIGKILL else name


def _never_return(work: Callable[[], None]) -> None:
    """Runs a forked process' work and ends the process, so that it never goes on with its maker's."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _breed(
    control: socket.socket,
    makers: socket.socket,
    serve: Callable[[Connection], None],
    prepare: Callable[[], None],
) -> None:
    """The life of a nursery."""
    makers.close()
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever opened the nursery decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    multiprocessing.current_process().daemon = False  # a worker's own process may have no children
    prepare()
    settled()
    while True:
        asked, fds, _, _ = socket.recv_fds(control, 1, 1)
        if not asked:
            return
        with Connection(fds[0]) as pipe:
            child = _context.Process(target=_live, args=(pipe, control, serve), daemon=False)
            child.start()
        assert child.pid is not None
        control.sendall(_NUMBER.pack(child.pid))
        child.join()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # what it started and left behind
        control.sendall(_NUMBER.pack(child.exitcode or 0))


def _live(pipe: Connection, control: socket.socket, serve: Callable[[Connection], None]) -> None:
    """The life of a child: a group of its own, so that what it starts ends with it."""
    control.close()
    end_with_parent()
    os.setsid()
    os.dup2(2, 1)  # results alone go to stdout
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionError):
        serve(pipe)
