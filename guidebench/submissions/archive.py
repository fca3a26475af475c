"""The zip of a submission: written with the same bytes for the same content, and read as what anybody may have sent.

Reading trusts nothing: no name leaves the folder, no link is made, and neither names nor sizes are believed before they
are checked. Nothing in the file is executed.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from guidebench import archives
from guidebench.archives import BadArchive
from guidebench.errors import BadInput
from guidebench.files import written_aside
from guidebench.text import brief, bytes_in_words

MOST_FILES = 200_000
MOST_BYTES = 64_000_000_000  # unpacked, all files together
MOST_RATIO = 200  # unpacked to packed; records have 7
MOST_OF_ARRAYS = 4_000_000_000  # bytes of the arrays in one npz file, which is a zip in the zip; 50 requests have 2e9
LONGEST_TEXT = 64_000_000  # bytes of a JSON file
_FREE = 1_000_000  # bytes that a file, and all together, may have whatever their ratio
_LONGEST_CONTENTS = 40_000_000  # bytes of the list of MOST_FILES files
_LONGEST_PART, _MOST_PARTS = 200, 16  # of a path
_STORED = {".npz", ".png", ".safetensors"}  # as good as not compressible
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the time of every file
_KINDS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


def write(members: Mapping[str, Path | bytes], target: Path) -> None:
    """Writes a zip of files, by their paths in it, sorted, without times and rights of their own."""
    with written_aside(target, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(members):
            content = members[name]
            info = zipfile.ZipInfo(name, _OLDEST)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # as on Unix, everywhere
            if Path(name).suffix not in _STORED:
                text = content if isinstance(content, bytes) else content.read_bytes()
                archive.writestr(info, text, zipfile.ZIP_DEFLATED, 9)
                continue
            assert isinstance(content, Path), "what is made here is text"
            info.file_size = content.stat().st_size
            with open(content, "rb") as source, archive.open(info, "w") as packed:
                shutil.copyfileobj(source, packed, 2**20)


def unpack(file: Path, folder: Path) -> None:
    """Unpacks a zip into an empty folder. Raises BadInput, in one line, if it is not one that `write` may have made."""
    try:
        with archives.opened(file, longest_contents=_LONGEST_CONTENTS) as archive:
            members = _checked(archive, file)
            for name, info in members.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, open(target, "xb") as unpacked:
                    _copy(packed, unpacked, info.file_size, file)
    except FileNotFoundError:
        raise BadInput(f"no such file: {file}") from None
    except IsADirectoryError:
        raise BadInput(f"{file} is a directory; give the zip that `guidebench submit pack` wrote") from None
    except BadArchive as error:
        raise BadInput(f"{file} {error}; get the file again") from None
    except OSError as error:
        raise BadInput(f"{file} cannot be unpacked: {error.strerror or error}") from None


def _checked(archive: zipfile.ZipFile, file: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by path, nothing about which is odd; raises BadInput on the first that is."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES:
        raise BadInput(f"{file} holds {len(infos):,} files; a submission may have {MOST_FILES:,}")
    size = sum(info.file_size for info in infos)
    if size > MOST_BYTES:
        raise BadInput(
            f"{file} would unpack to {bytes_in_words(size)}; a submission may have {bytes_in_words(MOST_BYTES)}"
        )
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if reason := _odd(info):
            raise BadInput(f"{file} holds {brief(info.orig_filename)}, {reason}; it is not unpacked")
        if info.filename in found:
            raise BadInput(f"{file} holds {brief(info.filename)} twice; it is not unpacked")
        found[info.filename] = info
    packed = file.stat().st_size
    if size > _FREE + MOST_RATIO * packed:
        raise BadInput(
            f"{file} would unpack to {bytes_in_words(size)} from {bytes_in_words(packed)}, more than any results "
            "shrink; it is not unpacked"
        )
    for name in found:
        if inside := next((str(above) for above in PurePosixPath(name).parents if str(above) in found), None):
            raise BadInput(f"{file} holds {brief(inside)} as a file and as a folder; it is not unpacked")
    return found


def odd_name(name: str) -> str:
    """What is wrong with the path of a file in a submission; "": nothing."""
    parts = name.split("/")
    if "\\" in name or ":" in name or not name.isprintable() or any(part in ("", ".", "..") for part in parts):
        return "a name that leads out of a folder, or that no file should have"
    if len(parts) > _MOST_PARTS or max(map(len, parts)) > _LONGEST_PART:
        return "a name that is too long"
    return "a hidden file" if any(part.startswith(".") for part in parts) else ""


def _odd(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member; "": nothing."""
    name = info.orig_filename
    if reason := odd_name(name):
        return reason
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link or a device"
    if info.flag_bits & 0x1:
        return "which is encrypted"
    if info.compress_type not in _KINDS:
        return "which is compressed in a way that is not read"
    if info.file_size > max(_FREE, MOST_RATIO * info.compress_size):
        return f"{bytes_in_words(info.file_size)} in {bytes_in_words(info.compress_size)}, more than any result shrinks"
    if name.endswith(".json") and info.file_size > LONGEST_TEXT:
        return f"{bytes_in_words(info.file_size)} of JSON"
    return ""


def check_arrays(folder: Path, file: Path) -> None:
    """Raises BadInput if a file of arrays in an unpacked submission would fill the memory of whoever reads it."""
    for path in sorted(folder.rglob("*.npz")):
        try:
            with archives.opened(path) as arrays:
                size = sum(info.file_size for info in arrays.infolist())
        except (BadArchive, OSError):
            continue  # whoever reads it says what is wrong with it
        if size > MOST_OF_ARRAYS:
            name = path.relative_to(folder).as_posix()
            raise BadInput(f"{file} holds {bytes_in_words(size)} of arrays in {brief(name)}; it is not opened")


def _copy(packed: IO[bytes], unpacked: IO[bytes], size: int, file: Path) -> None:
    """Copies as many bytes as were announced and checked."""
    left = size
    while chunk := packed.read(min(2**20, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise BadInput(f"{file} holds a file that is longer than it says; it is not unpacked")
        unpacked.write(chunk)
    if left:
        raise BadInput(f"{file} holds a file that is shorter than it says; it is damaged, get the file again")
