"""Which files are photographs: those that are read, and those that are passed over, which the user is told."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from pathlib import Path, PurePath

_log = logging.getLogger(__name__)

READ = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp"})
_NOT_READ = frozenset(
    ".arw .avif .cr2 .cr3 .dng .gif .heic .heif .hif .j2k .jp2 .jxl .nef .orf .raf .rw2 .tif .tiff".split()
)
_ARCHIVERS = "__MACOSX"  # the folder of file attributes that macOS adds to zip archives


def is_hidden(name: PurePath) -> bool:
    """Whether a path, relative to the folder that was given, is of files that nobody put there as photographs."""
    return any(part.startswith(".") or part == _ARCHIVERS for part in name.parts)


def photographs(files: Iterable[Path], root: Path) -> list[Path]:
    """Those of the paths below ``root`` that are files of photographs, in the same order; hidden ones are left out."""
    shown = (path for path in files if path.suffix.lower() in READ and not is_hidden(path.relative_to(root)))
    return [path for path in shown if path.is_file()]


def tell_what_is_passed_over(files: Iterable[Path], root: Path) -> None:
    """Warns, once for a folder, of photographs in formats that are not read."""
    found = [path for path in files if path.suffix.lower() in _NOT_READ and not is_hidden(path.relative_to(root))]
    if found:
        endings = ", ".join(sorted({path.suffix.lower() for path in found}))
        _warn(f"{root}: {len(found)} files are passed over, as {endings} is not read; save them as JPEG or PNG")


@functools.cache
def _warn(message: str) -> None:
    _log.warning("%s", message)
