"""Writes the page to a folder: index.html, the pictures that it loads when they are looked at, and the records.

OUT/
  index.html
  pictures/DIGEST.jpg                                      what several trials share is there once
  records/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/record.json     as in a results directory; failures/ likewise
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from guidebench import files
from guidebench.errors import BadInput
from guidebench.page.boards import ALL, Board, Source, boards_of
from guidebench.page.data import data_of, path_of
from guidebench.page.html import GENERATOR, html_of
from guidebench.page.pictures import as_jpeg, faces_of, name_of
from guidebench.reporting.selection import Filter
from guidebench.store.folders import StoredRecord, storage_errors

_log = logging.getLogger(__name__)

INDEX, PICTURES = "index.html", "pictures"
_PICTURE = re.compile(r"[0-9a-f]{16}\.jpg")
_HEAD = 4096  # characters of index.html in which it says what wrote it


def write_page(
    sources: Sequence[Source],
    out: str | Path,
    *,
    chosen: Filter = ALL,
    against: str | None = None,
    attacked: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType({}),
) -> Path:
    """Writes the page of several results directories; a page that is there is brought up to date.

    chosen: which records. against: the row that others are compared with. attacked: what submitted attacks find, by
    the key and label of attacked trials. Returns the path of index.html. Other files in the folder are left alone.
    Raises BadInput as `guidebench.page.boards.boards_of`, and if ``out`` is a file, a part of the results, or a folder
    that holds something else; StorageError if it cannot be written.
    """
    out = Path(out)
    _refuse_foreign(out, sources)
    boards = boards_of(sources, chosen, against)
    with storage_errors(out):
        if not (out / INDEX).exists():  # what an interrupted call leaves is a page, too
            files.write_text(f'<meta name="generator" content="{GENERATOR}">', out / INDEX)
        writer = _Writer(out)
        writer.write_records(boards)
        data = data_of(boards, writer.pictures, records=True, attacked=attacked)
        files.write_text(html_of(data), out / INDEX)
        writer.remove_stale()
    if writer.without:
        _log.warning(
            "%d of %d people's pictures are missing or changed; the page says so where they would be",
            writer.without,
            writer.without + writer.drawn,
        )
    return out / INDEX


def _refuse_foreign(out: Path, sources: Sequence[Source]) -> None:
    """Raises BadInput unless ``out`` is free, empty or a page that `write_page` wrote."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; give a folder for the page, such as --out {out}-page")
    if any(out.resolve() == Path(source.directory).resolve() for source in sources):
        raise BadInput(f"{out} holds the results; give another folder for their page, such as --out {out}-page")
    if out.is_dir() and any(out.iterdir()) and not _is_page(out):
        raise BadInput(f"{out} is not empty and not a page of guidebench; give another --out, or empty it")


def _is_page(folder: Path) -> bool:
    try:
        with open(folder / INDEX, encoding="utf-8", errors="replace") as stream:
            return f'<meta name="generator" content="{GENERATOR}' in stream.read(_HEAD)
    except OSError:
        return False


class _Writer:
    """Writes what lies beside index.html, and removes what an earlier page had there and this one has not."""

    def __init__(self, out: Path) -> None:
        """out: the page's folder."""
        self.out = out
        self.written: set[Path] = set()
        self.drawn, self.without = 0, 0

    def write_records(self, boards: Sequence[Board]) -> None:
        """Every record.json, below the folder as below its results directory."""
        for stored in (stored for board in boards for stored in board.stored.values()):
            path = self.out / path_of(stored)
            self._write((stored.path / "record.json").read_bytes(), path)

    def pictures(self, stored: StoredRecord, person: str) -> Mapping[str, Any] | None:
        """Writes somebody's pictures and returns the names of their files; None if there are none."""
        faces = faces_of(stored, person) if stored.record.is_measured else None
        if faces is None:
            self.without += stored.record.is_measured
            return None
        self.drawn += 1
        names: dict[str, Any] = {
            side: [self._picture(picture) for picture in getattr(faces, side)] for side in ("before", "after")
        }
        return names | ({"photo": self._picture(faces.photo)} if faces.photo is not None else {})

    def _picture(self, picture: Any) -> str:
        jpeg = as_jpeg(picture)
        self._write(jpeg, self.out / PICTURES / name_of(jpeg))
        return name_of(jpeg)

    def _write(self, content: bytes, path: Path) -> None:
        if path not in self.written and not (path.is_file() and path.read_bytes() == content):
            with files.written_aside(path, "wb") as stream:
                stream.write(content)
        self.written.add(path)

    def remove_stale(self) -> None:
        """Only what is called as `write_page` calls its files."""
        pictures = [path for path in self.out.glob(f"{PICTURES}/*") if _PICTURE.fullmatch(path.name)]
        records = [*self.out.glob("records/*/*/*/record.json"), *self.out.glob("failures/*/*/*/*/record.json")]
        for path in {*pictures, *records} - self.written:
            path.unlink()
            _remove_empty(path.parent, self.out)


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
