"""Finds the folders of records below a directory, and names what it cannot look into instead of passing over it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

RECORDS, FAILURES = "records", "failures"
ASIDE = ".building-"  # prefix of what is not finished; host and process that build it follow
RETIRED = "-old-"  # in the name of an unfinished folder: a record that was being replaced, whose name follows

MEASURED_AGAIN = "run its trial again, which keeps this folder below replaced/"

# What lies in a folder, by its path and its time of status, which changes when something comes or goes; None: not known
Remembered: TypeAlias = Callable[[str, int], frozenset[str] | None]


@dataclass(frozen=True)
class Corrupt:
    """A record folder that cannot be read or is not as it was written; reports name it and leave it out."""

    path: Path
    reason: str
    cure: str = MEASURED_AGAIN  # what to do


class Listed(NamedTuple):
    """A folder with a record.json."""

    folder: str
    changed: int  # time of the folder's status, in nanoseconds, from before it was listed
    names: frozenset[str]  # of all that lies in it


@dataclass(frozen=True)
class Found:
    """What lies below a directory."""

    failures: list[Listed]  # by attempt
    records: list[Listed]
    hidden: list[Corrupt]  # folders that could not be looked into


def _nothing(folder: str, changed: int) -> None:
    """Remembers no folder."""


def find(root: Path, remembered: Remembered = _nothing) -> Found:
    """All folders of records below a directory: a run's own, or one that holds those of several runs at any depth.

    remembered: of folders of measured trials.
    """
    hidden: list[Corrupt] = []
    tops = [root] if is_of_a_run(root) else list(_runs_below(root, hidden))
    failures, records = (
        [folder for top in tops if os.path.isdir(top / kind) for folder in _folders(str(top / kind), hidden, known)]
        for kind, known in ((FAILURES, _nothing), (RECORDS, remembered))
    )
    return Found(sorted(failures, key=_attempt), records, hidden)


def _attempt(listed: Listed) -> int:
    name = os.path.basename(listed.folder)
    return int(name) if name.isdecimal() else 0


def is_of_a_run(folder: Path) -> bool:
    """Whether a folder is the results directory of a run."""
    return os.path.isdir(folder / RECORDS) or os.path.isdir(folder / FAILURES)


def _runs_below(folder: Path, hidden: list[Corrupt]) -> Iterator[Path]:
    for entry in sorted(_entries(str(folder), hidden), key=_by_name):
        if not os.path.isdir(entry):
            continue
        if entry.is_symlink():
            if is_of_a_run(Path(entry)):
                hidden.append(_link(entry))
        elif is_of_a_run(Path(entry)):
            yield Path(entry)
        else:
            yield from _runs_below(Path(entry), hidden)


def _folders(folder: str, hidden: list[Corrupt], remembered: Remembered) -> Iterator[Listed]:
    """The folders with a record.json at or below a folder; a link to a folder is not followed."""
    changed = _changed(folder)
    names = remembered(folder, changed)
    if names is not None:
        yield Listed(folder, changed, names)
        return
    entries = _entries(folder, hidden)
    if any(entry.name == "record.json" for entry in entries):
        yield Listed(folder, changed, _shared(frozenset([entry.name for entry in entries])))
        return
    for entry in sorted(entries, key=_by_name):
        if entry.name.startswith(ASIDE):
            retired = entry.name.partition(RETIRED)[2]
            if retired and not os.path.exists(f"{folder}/{retired}"):
                hidden.append(
                    Corrupt(
                        Path(entry),
                        "is the record of a trial that was being measured again when its run was killed",
                        "give the command of that run again, which puts it back",
                    )
                )
        elif entry.is_symlink():
            if os.path.isdir(entry) or not os.path.exists(entry):
                hidden.append(_link(entry))
        elif entry.is_dir():
            yield from _folders(entry.path, hidden, remembered)


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_ctime_ns
    except OSError:  # listing it will say so
        return 0


@functools.lru_cache
def _shared(names: frozenset[str]) -> frozenset[str]:
    """The same object for the same names, which most records have."""
    return names


def _by_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _entries(folder: str, hidden: list[Corrupt]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # it was removed, or put aside for another, just now
        return []
    except OSError as error:
        cure = "give yourself the right to read it, or move it away"
        hidden.append(Corrupt(Path(folder), f"cannot be read: {error.strerror or error}", cure))
        return []


def _link(entry: os.DirEntry[str]) -> Corrupt:
    return Corrupt(Path(entry), "is a symbolic link, which is not followed", "put the folder itself in its place")
