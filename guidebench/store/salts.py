"""The salt of a results directory: a number that decides what a method must not know in advance.

It is drawn when the first trial is planned and shared by all that follow, so that the rows of a table stand on the same
random numbers.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from guidebench import files
from guidebench.errors import BadInput
from guidebench.store.folders import storage_errors
from guidebench.store.processes import unfinished_prefix

FILE = "salt"
_BITS = 32

Asked = int | Literal["new"] | None


def salt_for(out: Path, asked: Asked) -> int:
    """The salt of a run, kept in its results directory.

    asked: None: the directory's own, drawn if it has none yet; "new": another one, which becomes the directory's; a
    number: that one, which becomes the directory's if it has none. Raises BadInput if the file holds something else.
    """
    if asked == "new":
        _keep(out, draw(), replace=True)
    elif current(out) is None:
        _keep(out, draw() if asked is None else asked, replace=False)
    return asked if isinstance(asked, int) else current(out) or 0


def checked(asked: object) -> Asked:
    """A salt that was asked for; raises BadInput unless it is a number below 2^32, "new" or None."""
    if asked is None or asked == "new":
        return asked
    if isinstance(asked, bool) or not str(asked).isdecimal() or int(str(asked)) >= 2**_BITS:
        raise BadInput(f"salt = {asked!r:.40} is not allowed; give a number below 2^{_BITS}, or new")
    return int(str(asked))


def draw() -> int:
    """A number that nobody knows."""
    return secrets.randbits(_BITS)


def current(out: Path) -> int | None:
    """The directory's salt; None if it has none. Raises BadInput if the file holds something else."""
    path = out / FILE
    try:
        text = files.read_bytes(path).decode("ascii").strip()
        if not text.isdigit() or int(text) >= 2**_BITS:
            raise ValueError
        return int(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise BadInput(
            f"{path} holds no salt, which is a number below 2^{_BITS}; give --salt new, or --salt N as its records say"
        ) from None


def _keep(out: Path, salt: int, *, replace: bool) -> None:
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        aside = out / f"{unfinished_prefix()}{secrets.token_hex(4)}"
        aside.write_text(f"{salt}\n", encoding="ascii")
        try:
            if replace:
                os.replace(aside, out / FILE)
            elif not (out / FILE).exists():
                _link(aside, out / FILE)
        finally:
            aside.unlink(missing_ok=True)


def _link(aside: Path, target: Path) -> None:
    """Puts the file in place unless another process was first."""
    try:
        os.link(aside, target)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(aside, target)
