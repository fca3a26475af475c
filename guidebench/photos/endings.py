"""Which files are photographs: those that are read, and those that are passed over, which the user is told."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from guidebench.errors import BadInput

_log = logging.getLogger(__name__)

READ = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
NOT_READ = frozenset(
    ".arw .avif .cr2 .cr3 .dng .gif .heic .heif .hif .j2k .jp2 .jxl .nef .orf .raf .rw2 .tif .tiff".split()
)
_ARCHIVERS = "__MACOSX"  # the folder of file attributes that macOS adds to zip archives
_NAMED = 3  # files that a message names


def is_hidden(name: PurePath) -> bool:
    """Whether a path, relative to the folder that was given, is of files that nobody put there as photographs."""
    return any(part.startswith(".") or part == _ARCHIVERS for part in name.parts)


def files_below(root: Path) -> list[Path]:
    """Every file below a folder, sorted by name; of hidden folders, and of links that lead in a circle, the folder.

    Links to folders are followed, wherever they lead. Raises BadInput, naming the folder, if one cannot be read.
    """
    return list(_files_below(root, frozenset()))


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise BadInput(f"cannot read the folder {folder}: {error.strerror or error}; make it readable") from None
    for path in inside:
        if not path.is_dir() or is_hidden(PurePath(path.name)) or (path.is_symlink() and path.resolve() in above):
            yield path
        else:
            yield from _files_below(path, above)


def photographs(files: Iterable[Path], root: Path) -> list[Path]:
    """Those of the paths below ``root`` that are files of photographs, in the same order; hidden ones are left out."""
    shown = (path for path in files if path.suffix.lower() in READ and not is_hidden(path.relative_to(root)))
    return [path for path in shown if path.is_file()]


def tell_what_is_passed_over(paths: Iterable[Path], root: Path) -> None:
    """Logs, once for a folder, which of its files and folders were passed over: a warning if any is a photograph."""
    unread: list[Path] = []
    misplaced: list[Path] = []
    others: list[Path] = []
    for path in sorted(paths):
        ending = path.suffix.lower()
        if is_hidden(path.relative_to(root)) or not (ending in READ | NOT_READ or path.is_dir()):
            others.append(path)
        else:
            (unread if ending in NOT_READ else misplaced).append(path)
    formats = ", ".join(sorted({path.suffix.lower() for path in unread}))
    parts = [
        f"{what} ({len(found)}: {_names(found, root)})"
        for found, what in (
            (unread, f"{formats}, which is not read"),
            (misplaced, "photographs where none are looked for"),
            (others, "what is not a photograph"),
        )
        if found
    ]
    if parts:
        cure = "; save them as JPEG or PNG" if unread else ""
        _say(f"{root}: passed over: {'; '.join(parts)}{cure}", logging.WARNING if unread or misplaced else logging.INFO)


def _names(paths: list[Path], root: Path) -> str:
    """The first names; those of folders end with a slash."""
    named = ", ".join(f"{path.relative_to(root)}{'/' if path.is_dir() else ''}" for path in paths[:_NAMED])
    return f"{named}, …" if len(paths) > _NAMED else named


@functools.cache
def _say(message: str, level: int) -> None:
    _log.log(level, "%s", message)
