"""Processes that share a directory of records: who wrote something there, whether he lives, and what time it is."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from guidebench.store.finding import ASIDE


def this_host() -> str:
    """A name of what process numbers count in: this machine since it was started, or a container on it.

    Copies of a machine have the same name, and outside containers the namespace has the same number everywhere.
    """
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "_", platform.node())[:32] or "_"]
    with suppress(OSError):  # some containers hide it
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8])
    with suppress(OSError):
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return ".".join(parts)


def unfinished_prefix() -> str:
    """How names of what this process has not finished writing begin; `Store.clean` removes those of dead processes."""
    return f"{ASIDE}{this_host()}-{os.getpid()}-"


def alive(pid: int) -> bool:
    """Whether a process of this host runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # there is no /proc
        return True
    return state not in ("Z", "X")


def clock_of(folder: Path) -> float:
    """What a file that is written in a folder now has as its time: the clock of a file server may differ from ours."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        return os.fstat(stream.fileno()).st_mtime
