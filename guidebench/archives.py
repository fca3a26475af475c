"""Zip archives that people are handed, numpy's .npz among them: bounded before anything is unpacked.

A pipe is not waited for, a list of contents is read only up to a length, and every kind of damage is one error with one
short line. Nothing is unpickled.
"""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from guidebench.errors import GuidebenchError, in_one_line
from guidebench.files import memory, open_regular
from guidebench.text import brief, bytes_in_words

_LONGEST_CONTENTS = 2**23  # bytes of the list of an archive's files; one of 50,000 tensors has 5 MB
_LONGEST_REASON = 200  # characters of what zipfile or numpy say
_COPIES = 3  # of an array that are in memory: as it is stored, in float64, and without its mean
_CHUNK = 2**18  # bytes
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class BadArchive(ValueError):
    """What is wrong with an archive, as one line that continues its name, such as "holds 99 files"."""


class _Reader(BufferedReader):
    """A file that gives no more than so many bytes at once: zipfile reads the whole list of contents in one go."""

    most: float

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise BadArchive(f"lists its files in {bytes_in_words(size)}, which no file that is needed does")
        return super().read(size)


@contextmanager
def opened(path: str | Path, *, longest_contents: float = _LONGEST_CONTENTS) -> Iterator[zipfile.ZipFile]:
    """An archive to read; whatever goes wrong in the block is its fault and raises BadArchive.

    longest_contents: bytes that its list of files may have. Raises OSError if it cannot be opened, or if the block
    meets trouble with a disk. Errors of guidebench pass, and so does KeyError, for a name that the archive does not
    have.
    """
    with open_regular(path) as stream:
        try:
            if not zipfile.is_zipfile(stream):
                raise BadArchive("is not a zip archive, or cut short")
            with listed(stream.raw, longest_contents) as archive:
                yield archive
        except (GuidebenchError, BadArchive, KeyError):
            raise
        except MemoryError:
            raise BadArchive("does not fit into memory") from None
        except Exception as error:  # every kind of compression and of damage has its own
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BadArchive(f"is a damaged zip archive ({in_one_line(error)[:_LONGEST_REASON]})") from None


def listed(raw: Any, longest_contents: float = _LONGEST_CONTENTS) -> zipfile.ZipFile:
    """An archive whose list of contents has been read, if it is not too long; raises as `zipfile.ZipFile`.

    raw: a seekable stream of bytes, without a buffer or in memory.
    """
    reader = _Reader(raw)
    reader.most = longest_contents
    archive = zipfile.ZipFile(reader)
    reader.most = math.inf
    return archive


def check_amount(sizes: Sequence[int], *, most_files: int, most_bytes: float) -> None:
    """Raises BadArchive if files of these sizes are more than are taken, before any of them is unpacked."""
    if len(sizes) > most_files or sum(sizes) > most_bytes:
        raise BadArchive(
            f"holds {len(sizes):,} files of {bytes_in_words(sum(sizes))} together; at most {most_files:,} files of "
            f"{bytes_in_words(most_bytes)} are taken"
        )


def unpack(
    path: str | Path, place: Callable[[PurePosixPath], Path | None], *, most_files: int, most_bytes: float
) -> None:
    """Writes files of an archive where ``place`` says for each name in it; None: this one is passed over.

    Names are what the archive says, so `place` decides which are safe. Folders for the files must be there. Raises
    BadArchive, in the end also for two files of one place, and OSError as `opened` does.
    """
    with opened(path) as archive:
        chosen = [(place(PurePosixPath(entry.filename)), entry) for entry in archive.infolist() if not entry.is_dir()]
        wanted = [(target, entry) for target, entry in chosen if target is not None]
        check_amount([entry.file_size for _, entry in wanted], most_files=most_files, most_bytes=most_bytes)
        for target, entry in wanted:
            with archive.open(entry) as packed, open(free(target), "wb") as out:
                shutil.copyfileobj(packed, out, _CHUNK)  # reads no more than the size that was announced


def free(path: Path) -> Path:
    """A path where nothing is yet; raises BadArchive if an earlier file took it."""
    if path.exists():
        raise BadArchive(f"holds several files named {brief(path.name)}")
    return path


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an .npz file by name, each read when it is asked for."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """archive: of files as numpy writes them; others are only named."""
        self._archive = archive
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}

    def __getitem__(self, name: str) -> np.ndarray:
        """Raises BadArchive, also for objects, which would have to be unpickled."""
        entry = self._entries[name]
        with self._archive.open(entry) as packed:
            return array(packed, entry.file_size)

    def __contains__(self, name: object) -> bool:
        """Without reading it."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def unpacked(self, name: str) -> int:
        """How many bytes an array has, as the archive says."""
        return self._entries[name].file_size


def array(stream: IO[bytes], size: int) -> np.ndarray:
    """The array of an .npy file of that many bytes; raises BadArchive for objects, and what numpy raises."""
    read_header = _HEADERS.get(np.lib.format.read_magic(stream))
    if read_header is None:
        raise BadArchive("holds an array in an unknown version of numpy's format")
    shape, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise BadArchive("holds Python objects, which are never unpickled")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise BadArchive(f"announces {brief(shape)} numbers and holds fewer")
    if _COPIES * size > memory():
        raise MemoryError
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
