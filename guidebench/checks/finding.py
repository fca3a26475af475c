"""One line of `guidebench check`, and what the checks of methods, metrics and testbeds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guidebench.errors import in_one_line


@dataclass(frozen=True)
class Finding:
    """One line of a check."""

    name: str  # what was looked at
    ok: bool
    detail: str  # what was found and, if it is wrong, what to do


def guarded(name: str, good: str, complain: Callable[[], str | None]) -> Finding:
    """A finding from a check that returns a complaint or None, or raises whatever a plug-in raises."""
    try:
        complaint = complain()
    except Exception as error:
        complaint = f"it raised {in_one_line(error)}"
    return Finding(name, complaint is None, complaint or good)
