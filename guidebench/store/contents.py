"""The files beside record.json: which there are, and whether they are still those that the trial wrote."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

from guidebench import digest
from guidebench.store.record import Record

CURVE = "curve.json"
NO_GENERATOR = "no-generator.txt"  # why a generator that was to be kept could not be saved
NUMBERS = ("evidence.npz", "latents.npz", "progress.csv", CURVE)  # checked whenever a record is read


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a record's folder but record.json and hidden ones, by its path in the folder."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): digest.of_file(path)
        for name, path in found.items()
        if name.as_posix() != "record.json" and not any(part.startswith(".") for part in name.parts)
    }


def check_contents(record: Record, folder: Path, names: Iterable[str] | None = None) -> None:
    """Raises ValueError if a file is not the one that the record was written with; an absent one may be missed.

    names: paths in the folder; None: those that hold numbers. Raises OSError if one cannot be read.
    """
    for name in (*NUMBERS, *record.attack_files) if names is None else names:
        path = folder / name
        if not path.exists():
            continue
        if name not in record.files:
            raise ValueError(f"{name} is not the record's own: the trial wrote no such file")
        if _digest_of(path) != record.files[name]:
            raise ValueError(f"{name} is not the one that the trial wrote, as if it had been changed or mixed up")


def _digest_of(path: Path) -> str:
    state = path.stat()
    return _digest_of_state(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@functools.lru_cache(maxsize=16384)
def _digest_of_state(path: Path, *state: int) -> str:
    """Tables read the same records several times; what tells a changed file is only there to be noticed."""
    return digest.of_file(path)
