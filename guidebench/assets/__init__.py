"""The assets folder: finds the pretrained files of a testbed and checks that they are what they should be.

`catalogue` describes the files, `placing` puts them into the folder, `contents` opens each once with the code that will
use it. The folder also holds ``assets.json``, the digest of every file that was looked at, with the sizes and times by
which an unchanged file is recognised, so that hundreds of megabytes are hashed once. Where no digest is published, the
first one that was recorded counts, and any other is reported as wrong. Nothing here interprets a file beyond its first
and last bytes.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from guidebench import digest as digests
from guidebench import files, places
from guidebench.assets.catalogue import ASSETS, Asset, named, needed_by
from guidebench.errors import BadInput, MissingAsset
from guidebench.files import open_regular
from guidebench.text import bytes_in_words

LOCK = "assets.json"
_LEGACY_TORCH = b"\x80\x02"  # files of torch before 1.6 start with a pickle of protocol 2


@dataclass(frozen=True)
class State:
    """What the folder holds for an asset."""

    asset: Asset
    status: Literal["present", "missing", "wrong"]
    detail: str = ""  # wrong: why
    sha256: str | None = None  # None: nothing is there, or it was not hashed because its format is wrong

    @property
    def path(self) -> Path:
        """Where it is, or should be."""
        return folder() / self.asset.file

    @property
    def line(self) -> str:
        """One line for `guidebench assets verify`."""
        details = {"present": f"SHA-256 {self.sha256} ({self.authority})", "missing": "", "wrong": self.detail}
        return f"{self.status:8} {self.asset.id:20} {self.asset.file}  {details[self.status]}".rstrip()

    def as_data(self) -> dict[str, Any]:
        """For `guidebench assets list --json`: the asset's fields with what the folder holds."""
        data = asdict(self.asset)
        data["about_bytes"], data["published_sha256"] = data.pop("size"), data.pop("sha256")
        return {**data, "state": self.status, "detail": self.detail, "sha256": self.sha256, "path": str(self.path)}

    @property
    def authority(self) -> str:
        """Why this is taken to be the right digest."""
        if len(self.asset.sha256) == 64:
            return "as published"
        if self.asset.sha256:
            return f"starts as published: {self.asset.sha256}"
        if self.sha256 and self.sha256 == self.asset.seen_sha256:
            return "as recorded when it was added, and as the one public copy that is known"
        return "as recorded when it was added"


def folder() -> Path:
    """The folder of assets, which need not exist; see `guidebench.places.assets_folder`."""
    return places.assets_folder()


def find(asset_id: str) -> Path:
    """The file (ONNX pack: the folder) of an asset, of the right digest.

    Raises MissingAsset, naming the command that helps, if it is absent or wrong; BadInput if there is no such asset.
    """
    return _sound(asset_id).path


def digest(asset_id: str) -> str:
    """SHA-256 of an asset's file; of an ONNX pack: of its files' names and digests. Raises as `find`."""
    sha256 = _sound(asset_id).sha256
    assert sha256 is not None  # what is present was hashed
    return sha256


def path_or_none(asset_id: str) -> Path | None:
    """As `find`, but None if the asset is absent. One that is wrong raises, too."""
    return None if inspect(named(asset_id)).status == "missing" else find(asset_id)


def arcface_pack() -> str:
    """The id of the ArcFace pack to use: the first one that is present and right, else the first of all."""
    return present_of(*(asset.id for asset in ASSETS if asset.id.startswith("arcface-")))


def missing(testbed: str) -> list[str]:
    """What a testbed cannot run without and does not find: one line each, with the command that helps."""
    return [complaint(state) for state in unmet(testbed)]


def present_of(*asset_ids: str) -> str:
    """The first of some assets that is present and right; the first of all if none is."""
    return next((asset_id for asset_id in asset_ids if inspect(named(asset_id)).status == "present"), asset_ids[0])


def unmet(testbed: str) -> list[State]:
    """The required assets of a testbed that are absent or wrong; of those that can replace each other, the first."""
    states = {asset.id: inspect(asset) for asset in needed_by(testbed)}
    lacking: dict[str, State] = {}
    for state in states.values():
        asset = state.asset
        others = [states[other] for other in asset.instead if other in states]
        if state.status == "present" or asset.without or any(other.status == "present" for other in others):
            continue
        if not lacking.keys() & {*asset.instead}:
            lacking[asset.id] = state
    return list(lacking.values())


def complaint(state: State) -> str:
    """What is wrong with an asset and what to do about it, in one line."""
    asset = state.asset
    if state.status == "wrong":
        return f"{state.path} {state.detail}; {remedy(asset)}"
    return f"{asset.file} ({asset.role}) is not in {folder()}; {remedy(asset)}"


def remedy(asset: Asset) -> str:
    """How to get an asset, ending with the exact command."""
    if asset.urls:
        return f"`{command(asset)}`"
    return f"get it from {asset.origin}; licence: {asset.licence}; then `{command(asset)}`"


def command(asset: Asset) -> str:
    """The command that puts an asset into the folder."""
    return f"guidebench assets fetch {asset.id}" if asset.urls else f"guidebench assets add {asset.file}"


def inspect(asset: Asset, *, rehash: bool = False) -> State:
    """What the folder holds for an asset. rehash: even if the file seems not to have changed since the last time."""
    path = folder() / asset.file
    try:
        if not path.exists():
            return State(asset, "missing")
        seen = _seen(path)
        entry = _entries().get(asset.id, {})
        if not rehash and entry.get("files") == seen:
            sha256 = str(entry["sha256"])
        elif problem := format_problem(asset, path):
            return State(asset, "wrong", problem)
        else:
            sha256 = digest_of(path)
    except OSError as error:
        return State(asset, "wrong", f"cannot be read: {error.strerror or error}")
    if problem := digest_problem(asset, sha256, recorded=entry.get("sha256")):
        return State(asset, "wrong", problem, sha256)
    if entry.get("files") != seen:
        record(asset, sha256)
    return State(asset, "present", "", sha256)


def digest_of(path: Path) -> str:
    """SHA-256 of a file; of a folder: of its files' names and digests."""
    if path.is_dir():
        return digests.of_data({item.name: digests.of_file(item) for item in _files(path)})
    return digests.of_file(path)


def digest_problem(asset: Asset, sha256: str, *, recorded: str | None = None) -> str:
    """Why a digest is not the one that an asset must have, or "". recorded: what counts if none is published."""
    wanted = asset.sha256 or recorded or ""
    if sha256.startswith(wanted):
        return ""
    if asset.sha256:
        more = "…" if len(wanted) < 64 else ""
        return f"is another file: its SHA-256 is {sha256}, the published one is {wanted}{more}"
    return f"has changed since it was added: its SHA-256 is {sha256}, the recorded one is {wanted}"


def doubt(state: State) -> str:
    """What speaks against a file that is taken all the same: the one public copy that is known is another; or ""."""
    asset = state.asset
    if not asset.seen_sha256 or state.sha256 in (None, asset.seen_sha256):
        return ""
    return (
        f"the one public copy of {asset.file} that is known has SHA-256 {asset.seen_sha256}, {state.path} has "
        f"{state.sha256}; "
        "compare it with a colleague's before you compare results"
    )


def format_problem(asset: Asset, path: Path) -> str:
    """Why a file cannot be what it should be, from its first and last bytes, or ""."""
    if asset.format == "onnx-pack":
        return _pack_problem(asset, path)
    if path.is_dir():
        return "is a folder, not a file"
    if not path.is_file():
        return "is a pipe or a device, not a file"
    with open_regular(path) as stream:
        first = stream.read(512)
        stream.seek(max(0, path.stat().st_size - 1))
        last = stream.read(1)
    if problem := _stand_in_problem(first):
        return problem
    if first.startswith(b"PK"):
        whole = asset.format in ("torch", "numpy") and zipfile.is_zipfile(path)
        return "" if whole else "is a zip archive that is cut short or should have been unpacked"
    sound = {
        "pickle": first.startswith(b"\x80") and last == b".",  # a pickle ends with its STOP
        "torch": first.startswith(_LEGACY_TORCH),
        "numpy": first.startswith(b"\x93NUMPY"),
    }
    return "" if sound[asset.format] else f"is not a complete {asset.format} file"


def _stand_in_problem(first: bytes) -> str:
    """Why a file that starts with these bytes only stands for another, or ""."""
    if not first:
        return "is empty"
    if first.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the file; sites send one when they want a confirmation first"
    return "is a git-lfs pointer, not the file" if first.startswith(b"version https://git-lfs") else ""


def record(asset: Asset, sha256: str) -> None:
    """Records an asset's digest with the size and time of its file. A folder that cannot be written is left alone.

    If two processes write at once, one entry may be lost, and that file is hashed again.
    """
    root = folder()
    with contextlib.suppress(OSError):
        entries = {**_entries(), asset.id: {"sha256": sha256, "files": _seen(root / asset.file)}}
        files.write_json(dict(sorted(entries.items())), root / LOCK)


def recorded_digest(asset: Asset) -> str | None:
    """The digest in the lock file, if the asset has ever been looked at."""
    return _entries().get(asset.id, {}).get("sha256")


def free_bytes(path: Path) -> int:
    """Free space where a file or folder is, or would be made."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _sound(asset_id: str) -> State:
    state = inspect(named(asset_id))
    if state.status != "present":
        raise MissingAsset(complaint(state))
    return state


def _entries() -> dict[str, dict[str, Any]]:
    """The lock file's entries by asset id. Raises BadInput if it cannot be understood."""
    path = folder() / LOCK
    try:
        entries = json.loads(files.read_bytes(path))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise BadInput(f"{path} is damaged; delete it, and `guidebench assets verify` hashes all files again")
    return entries


def _seen(path: Path) -> dict[str, list[int]]:
    """File name -> [size in bytes, time of change in ns], by which an unchanged file is recognised."""
    states = {item.name: item.stat() for item in (_files(path) if path.is_dir() else [path])}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


def _files(pack: Path) -> list[Path]:
    return sorted(path for path in pack.iterdir() if path.is_file())


def _pack_problem(asset: Asset, path: Path) -> str:
    if not path.is_dir():
        return "is a file, not an unpacked folder"
    sizes = {item.name: item.stat().st_size for item in _files(path)}
    if lacking := [name for name in asset.members if not sizes.get(name)]:
        return f"lacks {' and '.join(lacking)}"
    for name in asset.members:
        with open_regular(path / name) as stream:
            if problem := _stand_in_problem(stream.read(512)):
                return f"holds {name}, which {problem}"
    return ""


def summary(states: Iterable[State]) -> list[str]:
    """The lines of `guidebench assets list`."""
    lines = []
    for state in states:
        asset = state.asset
        lines += [
            f"{state.status:8} {asset.id:20} {asset.file} (about {bytes_in_words(asset.size)}; {asset.needed})",
            f"{'':8} {asset.role}",
            f"{'':8} {'fetch' if asset.urls else 'by hand'}: {asset.origin}; licence: {asset.licence}",
        ]
        if state.detail:
            lines.append(f"{'':8} {state.detail}")
    return lines
