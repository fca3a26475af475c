"""What the fuzz tests share: how many cases, damage to a file, values of any kind, and what an answer must be."""

from __future__ import annotations

import os
import resource
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some

from guidebench.errors import GuidebenchError

ALL = "GUIDEBENCH_FUZZ" in os.environ  # all cases, and others each time
_FEW = 30  # cases of each test otherwise, always the same ones
_SECONDS = 1.0  # of the processor, for one answer
_LONGEST = 4100  # characters of a message

TEXT = some.text(max_size=12) | some.sampled_from(
    ["", "\x1b[2J", "a\nb", "\ud800", "\u202e", "x" * 5000, "../..", "nan", "1e999", "9" * 400, "\x00", "[1]", "inf"]
)
NUMBERS = some.integers(-3, 30) | some.integers() | some.floats() | some.sampled_from([2**64, 10**400, -1, 0])
VALUES: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | NUMBERS | TEXT,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
EDITS = some.lists(
    some.tuples(
        some.sampled_from(["write", "insert", "delete", "cut", "repeat"]),
        some.floats(0, 1, exclude_max=True),
        some.binary(max_size=8)
        | some.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x1b[2J", b"999999999", b"PK\3\4", b"-1"]),
    ),
    min_size=1,
    max_size=4,
)


def cases(count: int) -> Callable[[Any], Any]:
    """Marks a fuzz test: ``count`` cases in full, a few of them otherwise."""
    chosen = settings(
        max_examples=count if ALL else _FEW,
        derandomize=not ALL,
        deadline=None,  # CPU seconds are counted instead
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.fuzz(pytest.mark.timeout(0)(chosen(test)))


def damaged(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """The bytes of a file after some accidents."""
    for kind, place, piece in edits:
        at = int(place * (len(data) + 1))
        if kind == "write":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + len(piece) + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[at // 2 :]
    return data


def places_of(data: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value in nested data."""
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [above, *(place for key, value in entries for place in places_of(value, (*above, key)))]


def replaced(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Nested data with another value at one place."""
    if not place:
        return value
    key, *rest = place
    inner = replaced(data[key], tuple(rest), value)
    return {**data, key: inner} if isinstance(data, dict) else [*data[:key], inner, *data[key + 1 :]]


def check_message(message: str) -> None:
    """One line that a terminal shows as it is."""
    assert 0 < len(message) < _LONGEST and not any(map(acts_on_a_terminal, message)), message[:500]


def acts_on_a_terminal(letter: str) -> bool:
    """Whether it moves the cursor, ends a line, turns the direction of writing or cannot be written."""
    turns = unicodedata.bidirectional(letter) in ("RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI")
    return turns or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


@contextmanager
def answers(*refusals: type[Exception]) -> Iterator[None]:
    """What is done in the block ends soon and within memory: as it should, or by a refusal in one clear line."""
    start, used = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    except (GuidebenchError, *refusals) as error:
        check_message(str(error))
    assert time.process_time() - start < _SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 500_000, "took half a gigabyte"
