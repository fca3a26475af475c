"""Processes that share a directory of records: who wrote something there, whether he lives, and what time it is."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from pathlib import Path


def this_host() -> str:
    """A name of what process numbers count in: this machine, or the container, as two may have their host's name."""
    try:
        namespace = f".{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        namespace = ""
    return (re.sub(r"[^A-Za-z0-9._-]+", "_", platform.node())[:40] or "_") + namespace


def alive(pid: int) -> bool:
    """Whether a process of this host runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def clock_of(folder: Path) -> float:
    """What a file that is written in a folder now has as its time: the clock of a file server may differ from ours."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        return os.fstat(stream.fileno()).st_mtime
