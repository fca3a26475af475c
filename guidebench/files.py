"""Writes files so that nobody ever reads half of one: under a temporary name in the same folder, then renamed.

Reads files that a user names: regular files only, since a pipe or a device may never end, and none that is larger than
any of its kind.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, Literal

from guidebench.errors import BadInput
from guidebench.text import bytes_in_words

_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")
_LARGEST = 2**26  # bytes of a file that is read as a whole; CelebA's lists have 3 MB, a record of 2,500 people 20 MB
_LONGEST_TOML = 2**16  # characters; the longest file that ships has 2,000
_LONGEST_TOML_LINE = 2**12  # characters; tomllib takes memory as the square of the parts of a dotted key


@contextmanager
def written_aside(path: str | Path, mode: Literal["w", "wb"] = "w", *, prefix: str | None = None) -> Iterator[IO[Any]]:
    """A stream to write; what is written appears at ``path`` as the block ends, and never if the block raises.

    Missing folders are made, a file that is already at ``path`` is replaced, text is UTF-8. Several processes may write
    the same path: each writes its own temporary file and the last one wins. prefix: how the temporary name begins, for
    folders that are searched for leftovers; by default it is hidden. Raises OSError as `open` does.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    start = f".{target.name[:100]}-" if prefix is None else prefix
    aside = target.with_name(f"{start}{os.getpid()}-{secrets.token_hex(4)}")
    stream = open(aside, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8")
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # a power cut must not leave the new name on an empty file
        os.replace(aside, target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def open_regular(path: str | Path) -> BufferedReader:
    """Opens a regular file to read.

    Raises OSError as `open` does, and also, at once, for a pipe, a socket, a device, or a name that no file can have.
    """
    try:
        stream = open(path, "rb", opener=_without_waiting)
    except ValueError as error:  # a zero byte, or half a character
        raise OSError(errno.EINVAL, f"no file can have this name: {error}", str(path)) from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return stream


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def memory() -> float:
    """Bytes that this process may use: what the machine has, or its container; infinite where nothing tells."""
    try:
        total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        total = math.inf
    try:
        return min(total, float(_CONTAINER_MEMORY.read_text()))
    except (OSError, ValueError):  # ValueError: "max"
        return total


def read_bytes(path: str | Path) -> bytes:
    """A whole file. Raises OSError as `open_regular` does, and for a file that is larger than any of its kind."""
    with open_regular(path) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {bytes_in_words(_LARGEST)}", str(path))
    return data


def read_text(path: Path, what: str) -> str:
    """A text file in UTF-8, with or without a byte-order mark. what: it is, for messages.

    Raises BadInput if it cannot be read.
    """
    try:
        return read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise BadInput(f"the {what} {path} does not exist; correct the path") from None
    except OSError as error:
        raise BadInput(f"cannot read the {what} {path}: {error.strerror}; correct the path") from None
    except ValueError as error:  # a name or a text that is none
        raise BadInput(f"cannot read the {what} {str(path)!r}: {error}; save it as UTF-8") from None


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises BadInput, naming ``origin``, if it is none, or longer than people write."""
    if len(text) > _LONGEST_TOML or max(map(len, text.splitlines()), default=0) > _LONGEST_TOML_LINE:
        raise BadInput(
            f"{origin} is longer than any file of its kind: it may have {_LONGEST_TOML:,} characters, and "
            f"{_LONGEST_TOML_LINE:,} in a line; shorten it"
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise BadInput(f"{origin} is not valid TOML: its tables or lists are nested too deeply") from None
    except ValueError as error:  # also of absurd numbers
        raise BadInput(f"{origin} is not valid TOML: {error}") from None


def write_text(text: str, path: str | Path) -> None:
    """Writes a text file as a whole; see `written_aside`."""
    with written_aside(path) as stream:
        stream.write(text)


def write_json(value: Any, path: str | Path) -> None:
    """Writes JSON, one space per level, as a whole; see `written_aside`."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", path)
