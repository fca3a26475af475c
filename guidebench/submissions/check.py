"""One thing that was checked about a submission, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal["ok", "differs", "not checked"]
_NAMED = 5  # of what differs; the rest is counted


@dataclass(frozen=True)
class Check:
    """A line of `guidebench submit verify`."""

    about: str  # a word or two
    result: Result
    says: str


def ok(about: str, says: str) -> Check:
    """What was found to be as it should."""
    return Check(about, "ok", says)


def differs(about: str, says: str) -> Check:
    """What does not match."""
    return Check(about, "differs", says)


def not_checked(about: str, says: str) -> Check:
    """What could not be found out. says: also why."""
    return Check(about, "not checked", says)


def each_differs(about: str, says: Sequence[str]) -> list[Check]:
    """A line for each of the first things that differ, and one that counts the others."""
    found = [differs(about, one) for one in says[:_NAMED]]
    more = len(says) - _NAMED
    return [*found, differs(about, f"and {more} more")] if more > 0 else found


def listed(names: Iterable[str]) -> str:
    """The first of several names, and how many more there are.

    >>> listed("abcdefg"), listed("ab")
    ('a, b, c, d, e and 2 more', 'a, b')
    """
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return f"{', '.join(every[:_NAMED])}{more}"


def counted(number: int, noun: str) -> str:
    """A number and a noun.

    >>> counted(1, "trial"), counted(1200, "trial")
    ('1 trial', '1,200 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
