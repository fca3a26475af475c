"""Puts pretrained files into the assets folder: fetched from where they are published, or added by hand.

Every file arrives under a temporary name in the assets folder, is checked there and then renamed, so that a good file
is never replaced by a bad one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TextIO

from guidebench import archives, assets
from guidebench.archives import BadArchive
from guidebench.assets import catalogue, contents
from guidebench.assets.catalogue import Asset, named
from guidebench.errors import BadInput, GuidebenchError, MissingAsset
from guidebench.text import bytes_in_words

_log = logging.getLogger(__name__)

MIRROR = "GUIDEBENCH_MIRROR"
_ASIDE = ".arriving-"
_STALE_SECONDS = 24 * 3600.0  # a temporary folder as old as this was left behind, whoever made it
_MOST_UNPACKED = 2  # bytes of an unpacked pack per byte of the published download; real ones have 1.3
_MOST_MEMBERS = 50  # files in a pack; published ones have 5
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.onnx")
_CHUNK = 1 << 18  # bytes
_TIMEOUT_SECONDS = 30.0  # without a byte
_LIVE_SECONDS, _PLAIN_SECONDS = 0.2, 15.0  # how often progress is shown at most: on a terminal, elsewhere
_SHORTEST_PREFIX = 8  # hexadecimal digits by which a file may be recognised


@dataclass(frozen=True)
class Placed:
    """A file that has just been put into the folder."""

    asset: Asset
    sha256: str
    replaced: str | None = None  # digest of the file that it replaced, if that was another one
    linked: bool = False

    @property
    def line(self) -> str:
        """What was done, in one line."""
        known = "as published" if self.asset.sha256 else "recorded, and checked from now on"
        if self.asset.sha256 and len(self.asset.sha256) < 64:
            known = f"starts as published, {self.asset.sha256}"
        before = f"; replaces a file of SHA-256 {self.replaced}" if self.replaced else ""
        verb = "linked" if self.linked else "placed"
        return f"{verb} {self.asset.id} at {assets.folder() / self.asset.file}: SHA-256 {self.sha256} ({known}){before}"


def add(source: Path, *, as_id: str | None = None, link: bool = False) -> Placed:
    """Copies (or links) a file into the assets folder; an ONNX pack may be a zip archive or a folder.

    as_id: which asset it is, if its name does not say. Raises BadInput, in one line, if it is not that.
    """
    source = source.expanduser()
    if not source.exists():
        raise BadInput(
            f"{source} does not exist; `guidebench assets list` shows what is needed and where it comes from"
        )
    if not source.is_file() and not source.is_dir():
        raise BadInput(f"{source} is a pipe or a device; give the file itself")
    try:
        asset = named(as_id) if as_id else recognise(source)
        if link and source.resolve() == (assets.folder() / asset.file).resolve():
            raise BadInput(f"{source} is already {assets.folder() / asset.file}; there is nothing to link")
        with _arriving(asset) as aside:
            if link:
                aside.symlink_to(source.resolve())
            elif asset.format == "onnx-pack":
                _unpack(asset, source, aside, given=str(source))
            else:
                _check_format(asset, source, given=str(source))  # before copying hundreds of megabytes
                shutil.copyfile(source, aside)
            return _install(asset, aside, given=str(source), linked=link)
    except OSError as error:
        raise _disk_trouble(error, source) from None


def fetch(asset: Asset, *, stream: TextIO | None = None) -> Placed:
    """Downloads an asset; progress goes to ``stream`` (None: it is not shown).

    Raises MissingAsset if it cannot be had, BadInput if it is not what it should be or does not fit on the disk, in one
    line. The folder then stays as it was, without half a download.
    """
    addresses = _addresses(asset)
    if not addresses:
        raise MissingAsset(f"{asset.file} has no address to fetch it from; {assets.remedy(asset)}")
    try:
        with _arriving(asset) as aside:
            download = aside.with_name("download")
            address = _download_from_any(asset, addresses, download, stream)
            if asset.format == "onnx-pack":
                _check_archive(asset, download, given=address)
                _unpack(asset, download, aside, given=address)
            else:
                os.chmod(download, 0o644)  # temporary files are private, assets may be shared
                os.replace(download, aside)
            return _install(asset, aside, given=address)
    except OSError as error:
        raise _disk_trouble(error, assets.folder()) from None


def fetch_all(wanted: Sequence[Asset], *, stream: TextIO | None = None) -> Iterator[tuple[bool, str]]:
    """Fetches what is absent or wrong, one after another: yields whether each is settled, and a line that says so.

    What has no address is not settled, unless a testbed can do without it; its line is an instruction. stream: see
    `fetch`.
    """
    for asset in wanted:
        state = assets.inspect(asset)
        if state.status == "present":
            yield True, f"have {asset.id} at {state.path}"
        elif not _addresses(asset):
            yield bool(asset.without), f"{assets.complaint(state)} ({asset.needed})"
        else:
            try:
                yield True, fetch(asset, stream=stream).line
            except GuidebenchError as error:
                yield False, str(error)


def enough_of(offered: Sequence[Asset]) -> list[Asset]:
    """All assets, but of those that can replace each other only the present ones, or the first if none is."""
    here = {asset.id for asset in offered if asset.instead and assets.inspect(asset).status == "present"}
    enough: list[Asset] = []
    for asset in offered:
        chosen_before = any(other.id in asset.instead for other in enough)
        if asset.id in here or not (here & {*asset.instead} or chosen_before):
            enough.append(asset)
    return enough


def recognise(source: Path) -> Asset:
    """Which asset a file or folder is, by its name or else by its digest. Raises BadInput if it is none."""
    name = re.sub(r" ?\(\d+\)(?=\.[^.]*$|$)", "", source.name)  # "encoder_FFHQ (1).pt", as browsers name a second one
    for asset in catalogue.ASSETS:
        names = {asset.file, *asset.also}
        if asset.format == "onnx-pack":
            names.add(_published_name(asset))
        if name in names:
            return asset
    if source.is_file():
        sha256 = assets.digest_of(source)
        for asset in catalogue.ASSETS:
            known = (asset.sha256, asset.seen_sha256, asset.archive_sha256)
            if any(len(start) >= _SHORTEST_PREFIX and sha256.startswith(start) for start in known):
                return asset
    raise BadInput(
        f"neither the name nor the digest of {source} is known; `guidebench assets list` shows all files, --as ID says "
        "which one it is"
    )


def sweep() -> None:
    """Removes what killed processes left in the assets folder; what a living process still builds is let alone."""
    mine = _aside_prefix()
    for old in assets.folder().glob(f"{_ASIDE}*"):
        builder = old.name.removeprefix(mine).partition("-")[0] if old.name.startswith(mine) else ""
        with contextlib.suppress(OSError):
            if (builder.isdecimal() and not _alive(int(builder))) or time.time() - old.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _arriving(asset: Asset) -> Iterator[Path]:
    """A temporary path for an asset, in a folder of its own next to the final place; removed when the block ends."""
    root = assets.folder()
    root.mkdir(parents=True, exist_ok=True)
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_aside_prefix()}{os.getpid()}-", dir=root) as aside:
        yield Path(aside) / asset.file


def _aside_prefix() -> str:
    """How the temporary folders of this machine begin: processes of another cannot be asked whether they live."""
    return f"{_ASIDE}{re.sub('[^A-Za-z0-9.]', '_', platform.node())}-"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _install(asset: Asset, aside: Path, *, given: str, linked: bool = False) -> Placed:
    """Checks the file at a temporary path and renames it to where the asset belongs."""
    _check_format(asset, aside, given=given)
    sha256 = assets.digest_of(aside)
    if problem := assets.digest_problem(asset, sha256):
        raise BadInput(f"{given} {problem}; not taken as {asset.id}")
    if problem := contents.problem(asset.id, aside):
        raise BadInput(f"{problem.replace(str(aside), given)}; not taken as {asset.id}")
    target = assets.folder() / asset.file
    before = assets.recorded_digest(asset) if target.exists() else None
    if asset.format == "onnx-pack" and (target.exists() or target.is_symlink()):
        os.replace(target, aside.with_name("before"))  # removed together with the temporary folder
    os.replace(aside, target)
    assets.record(asset, sha256)
    if doubt := assets.doubt(assets.State(asset, "present", sha256=sha256)):
        _log.warning("%s", doubt)
    return Placed(asset, sha256, before if before != sha256 else None, linked)


def _check_format(asset: Asset, path: Path, *, given: str) -> None:
    if problem := assets.format_problem(asset, path):
        raise BadInput(f"{given} {problem}; not taken as {asset.id}, which comes from {asset.origin}")


def _check_archive(asset: Asset, path: Path, *, given: str) -> None:
    """Raises BadInput if a fetched archive is not the published one."""
    if not asset.archive_sha256 or (sha256 := assets.digest_of(path)) == asset.archive_sha256:
        return
    raise BadInput(
        f"{given} is another archive: its SHA-256 is {sha256}, the published one is {asset.archive_sha256}; not taken "
        f"as {asset.id}. `guidebench assets add FILE` takes files that you packed yourself"
    )


def _unpack(asset: Asset, source: Path, target: Path, *, given: str) -> None:
    """Puts the ONNX files of a zip archive or a folder, however deeply nested, side by side into a new folder."""
    target.mkdir()
    limits = {"most_files": _MOST_MEMBERS, "most_bytes": _MOST_UNPACKED * asset.size}
    try:
        if source.is_dir():
            paths = [path for path in sorted(source.rglob("*.onnx")) if path.is_file() and _is_member(path)]
            archives.check_amount([path.stat().st_size for path in paths], **limits)
            for path in paths:
                shutil.copyfile(path, archives.free(target / path.name))
        else:
            archives.unpack(source, lambda name: target / name.name if _is_member(name) else None, **limits)
    except BadArchive as error:
        raise BadInput(f"{given} {error}; not taken as {asset.id}, which comes from {asset.origin}") from None


def _is_member(name: PurePath) -> bool:
    return _MEMBER.fullmatch(name.name) is not None


def _addresses(asset: Asset) -> tuple[str, ...]:
    """Where to fetch an asset from: the mirror that the user names, which may hold every file, or its own addresses."""
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    if not mirror:
        return asset.urls
    if not mirror.startswith(("http://", "https://")):
        raise BadInput(f"{MIRROR}={mirror} is not an address; give it as http://host/folder")
    return (f"{mirror}/{_published_name(asset)}",)


def _download_from_any(asset: Asset, addresses: tuple[str, ...], target: Path, stream: TextIO | None) -> str:
    """Downloads from the first address that answers and returns it. Raises MissingAsset with a reason for each."""
    problems = []
    for address in addresses:
        problem = _download(asset, address, target, stream)
        if not problem:
            return address
        problems.append(f"{address} {problem}")
    raise MissingAsset(
        f"cannot fetch {asset.id}: {'; '.join(problems)}. Run `guidebench assets fetch {asset.id}` to try again, or "
        f"`guidebench assets add {_published_name(asset)}` with a file from elsewhere: {asset.origin}"
    )


def _published_name(asset: Asset) -> str:
    return f"{asset.file}.zip" if asset.format == "onnx-pack" else asset.file


def _download(asset: Asset, address: str, target: Path, stream: TextIO | None) -> str:
    """One attempt: returns why it failed, or "". Trouble with the disk raises OSError."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # it announces every file for which it is given no digest
    progress = _Progress(asset, stream)
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=_CHUNK, timeout=_TIMEOUT_SECONDS)
    try:
        # _install checks the digest: pooch takes whole ones only, and of some files only the first digits are known.
        pooch.retrieve(address, None, fname=target.name, path=target.parent, downloader=downloader)
    except requests.HTTPError as error:
        return f"answers {str(error).partition(' for url')[0]}"
    except requests.ConnectTimeout:
        return "cannot be reached: no answer"
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
        cut = "closed the connection before the whole file had arrived"
        return "cannot be reached (offline?)" if progress.total is None else cut
    except requests.RequestException as error:
        return f"failed: {' '.join(str(error).split())}"
    finally:
        progress.end()
    return ""


class _Progress:
    """pooch's progress bar: a live line on a terminal, a line every 15 seconds elsewhere, nothing without a stream."""

    total: int | None = None  # bytes, set by pooch when the server has answered; 0: it did not say how many

    def __init__(self, asset: Asset, stream: TextIO | None) -> None:
        self.done = 0  # bytes; counted in whole chunks
        self._asset, self._stream = asset, stream
        self._live = stream is not None and stream.isatty()
        self._last = time.monotonic()

    def update(self, size: int) -> None:
        """``size`` more bytes have arrived."""
        self.done = min(self.done + size, self.total or sys.maxsize)
        now = time.monotonic()
        if self._stream is not None and now - self._last >= (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            self._last = now
            start, end = ("\r\x1b[2K", "") if self._live else ("", "\n")
            of_all = f" of {bytes_in_words(self.total)}" if self.total else ""
            self._stream.write(f"{start}fetching {self._asset.id}: {bytes_in_words(self.done)}{of_all}{end}")
            self._stream.flush()

    def reset(self) -> None:
        """pooch restarts its bar before it fills it to the end."""
        self.done = 0

    def close(self) -> None:
        """Everything has arrived."""

    def end(self) -> None:
        """Removes the live line, however the download ended."""
        if self._live and self._stream is not None:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


def _disk_trouble(error: OSError, source: Path) -> BadInput:
    root = assets.folder()
    if error.errno == errno.ENOSPC:
        free = bytes_in_words(assets.free_bytes(root))
        return BadInput(f"no space left in {root} ({free} free); make room or name another folder in GUIDEBENCH_ASSETS")
    return BadInput(f"cannot place {error.filename or source} in {root}: {error.strerror or error}")
