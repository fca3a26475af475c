"""Writes files so that nobody ever reads half of one: under a temporary name in the same folder, then renamed.

Reads text files that a user names.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from guidebench.errors import BadInput


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


def read_text(path: Path, what: str) -> str:
    """A text file in UTF-8. what: it is, for messages. Raises BadInput if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadInput(f"the {what} {path} does not exist; correct the path") from None
    except OSError as error:
        raise BadInput(f"cannot read the {what} {path}: {error.strerror}; correct the path") from None
    except ValueError as error:  # a name or a text that is none
        raise BadInput(f"cannot read the {what} {str(path)!r}: {error}; save it as UTF-8") from None


def write_text(text: str, path: str | Path) -> None:
    """Writes a text file as a whole; see `written_aside`."""
    with written_aside(path) as stream:
        stream.write(text)


def write_json(value: Any, path: str | Path) -> None:
    """Writes JSON, one space per level, as a whole; see `written_aside`."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", path)
