"""Records that are left out, in words: one line each, and one for all that are of an older schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guidebench.store.finding import Corrupt
from guidebench.store.folders import schema_of
from guidebench.store.record import SCHEMA


def left_out(corrupt: Sequence[Corrupt], directory: str | Path | None = None) -> list[str]:
    """Why records were left out and what to do: a line each, and one line for all that are of an older schema.

    directory: that paths are shown relative to, where they are inside it.
    """
    older, lines = [], []
    for item in corrupt:
        if _is_older(item):
            older.append(item)
        else:
            lines.append(f"{_below(item.path, directory)}: {item.reason}; {_cure(item)}")
    return [*lines, _of_older(older, directory)] if older else lines


def _is_older(item: Corrupt) -> bool:
    """Whether a record cannot be read because it was written before `SCHEMA`."""
    schema = schema_of(item.path)
    return schema is not None and schema < SCHEMA


def _cure(item: Corrupt) -> str:
    if (schema_of(item.path) or 0) > SCHEMA:
        return "a later version of guidebench wrote it, and reads it"
    return item.cure


def _of_older(older: Sequence[Corrupt], directory: str | Path | None = None) -> str:
    """How many records are of an older schema, one of them, and what to do."""
    count = f"{len(older)} records" if len(older) > 1 else "1 record"
    return (
        f"{count} of an older schema, such as {_below(older[0].path, directory)}; this version reads schema {SCHEMA}: "
        "`guidebench run` with the same options measures these trials again; then delete the old folders"
    )


def _below(path: Path, directory: str | Path | None) -> str:
    inside = directory is not None and path.is_relative_to(directory)
    return path.relative_to(directory).as_posix() if inside else str(path)  # type: ignore[arg-type]


def nothing_readable(directory: str | Path, corrupt: Sequence[Corrupt]) -> str:
    """What to say where no record can be read, and what to do."""
    older = [item for item in corrupt if _is_older(item)]
    if len(older) == len(corrupt):
        return f"{directory} holds nothing but {_of_older(older)}"
    return (
        f"none of the {len(corrupt)} records in {directory} can be used, such as {corrupt[0].path}: "
        f"{corrupt[0].reason}; run `guidebench run --out {directory} …` again: it measures these trials anew and keeps "
        "what is there"
    )
