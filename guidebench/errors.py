"""What can go wrong, in one clear line each, and the exit codes that the command line answers with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from guidebench.text import one_line

EXIT_MEASURED = 0  # everything asked for is measured
EXIT_FAILED_TRIALS = 1  # the run finished, some trials failed and say why in their records
EXIT_BAD_INPUT = 2  # bad input, a missing asset, or records that cannot be written
EXIT_INTERRUPTED = 130  # Ctrl-C; what was measured is kept


class GuidebenchError(Exception):
    """Base of all errors that are shown to the user as one line: what happened, what was given, what to do next."""

    exit_code = EXIT_BAD_INPUT

    def __str__(self) -> str:
        """The message as one line of characters that every file and terminal takes; see `guidebench.text.one_line`."""
        return one_line(super().__str__())


class BadInput(GuidebenchError):
    """The user asked for something that cannot be done as asked."""


class MissingAsset(GuidebenchError):
    """A file that the work needs is absent, unreadable or not the file it should be."""


class MethodError(GuidebenchError):
    """A method raised, returned something unusable, diverged or changed what it must not change. Fails one trial."""

    exit_code = EXIT_FAILED_TRIALS


class StorageError(GuidebenchError):
    """Records cannot be written: the directory is not writable or the disk is full. Stops the run."""


def in_one_line(error: BaseException) -> str:
    """The class of an exception and what it says, in one line; see `guidebench.text.one_line`.

    >>> in_one_line(ValueError("two\\nlines"))
    'ValueError: two lines'
    """
    return one_line(" ".join(f"{type(error).__name__}: {error}".split()))


def unknown_name(kind: str, given: object, known: Iterable[str], *, command: str | None) -> BadInput:
    """The error for a name that is not registered, with the closest match and the command that lists all.

    command: None where no command lists them: then the message does.
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    where = f"`{command}` shows all {len(names)}" if command else f"there are {', '.join(names)}"
    return BadInput(f"unknown {kind} '{given}'{hint} {where}")
