"""Who is at work on which trial, where several processes share one output directory: nobody repeats another's trial.

    OUT/claims/PEOPLE-sSEED-KEY-ROW    a trial in flight: host and process that run it

A claim is a file that only one process can make. Its time is renewed while the trial runs. It is void if its process is
dead, which another process of the same host can see, or if its time is old: on other hosts nothing else can be seen.
One process at a time takes claims away, and looks at each again first, so nobody takes away one that was just made.

On a file server without locks, two hosts that find the same void claim at the same moment may both run its trial: the
record of the last one stays. Nothing else relies on locks: what matters are files that only one can make, and renames.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from guidebench import digest, files
from guidebench.store.folders import Store, folder_name, storage_errors
from guidebench.store.processes import alive, clock_of, this_host
from guidebench.store.record import TrialSpec

CLAIMS = "claims"
_LOCK = ".lock"  # among them, while one is taken away
RENEWED = 15.0  # seconds after which a claim's time is renewed
VOID = 300.0  # seconds after which a claim that was not renewed is void: file servers show times late
_TRIES = 20  # times that a claim is made again because others come and go
_HELD: dict[str, Path] = {}  # this process's own claims, by what is written in them


@contextmanager
def claimed(store: Store, spec: TrialSpec, *, replaces: str = "") -> Iterator[bool]:
    """Whether this process is the one to run a trial; if so, no other does until the block ends.

    False: another process runs it, or has recorded it since this run was planned. replaces: the digest of the record
    that this run is to replace; "": there was none. Raises StorageError if claims cannot be written.
    """
    path = _path(store, spec)
    store.refuse_absent()
    done = threading.Event()
    renewal = threading.Thread(target=_renew, args=(path, done), daemon=True)
    with storage_errors(store.root):
        token = _make(path)
    if token is None:
        yield False
        return
    try:
        record = store.measured(store.path(spec))
        if record is not None and record.digest != replaces:
            yield False
        else:
            renewal.start()
            yield True
    finally:
        done.set()
        _give_up(path, token)


def give_up_all() -> None:
    """Gives up every claim of this process, which ends at once: whatever it is doing, it waits for no lock."""
    for token, path in list(_HELD.items()):
        with suppress(OSError):
            if path.read_text() == token:
                path.unlink()
            path.parent.rmdir()


def in_flight(store: Store, spec: TrialSpec) -> bool:
    """Whether some process runs a trial now."""
    path = _path(store, spec)
    return path.exists() and not _is_void(path)


def clean(store: Store) -> None:
    """Removes claims that are void."""
    try:
        names = sorted(os.listdir(store.root / CLAIMS))
    except OSError:  # there are none, or they are another user's
        return
    for name in names:
        if name != _LOCK:
            with suppress(OSError):  # another user's
                _take_away(store.root / CLAIMS / name, _is_void)


def _path(store: Store, spec: TrialSpec) -> Path:
    row = digest.of_data([spec.protocol.name, spec.method.label])[:8]  # one trial may be the row of two labels
    return store.root / CLAIMS / f"{folder_name(spec)}-{row}"


def _make(path: Path) -> str | None:
    """Makes a claim and returns what is written in it; None if somebody else has it."""
    owner = {"host": this_host(), "pid": os.getpid(), "token": secrets.token_hex(8)}
    text = json.dumps(owner)
    _HELD[text] = path  # before others can read it
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            path.parent.mkdir()
        try:
            with _gone_if_stale():
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileNotFoundError:  # the folder, which its last user removed just now
            continue
        except FileExistsError:
            if not _is_void(path) or not _take_away(path, _is_void):
                break
            continue
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
        except OSError:  # the disk is full: whoever comes next need not wait until the claim is void
            del _HELD[text]
            path.unlink(missing_ok=True)
            raise
        return text
    del _HELD[text]
    return None


def _is_void(path: Path) -> bool:
    try:
        age, text = clock_of(path.parent) - path.stat().st_mtime, files.read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    owner = _owner(text)
    if owner.get("host") == this_host() and isinstance(pid := owner.get("pid"), int):
        mine = pid == os.getpid()
        if (mine and text not in _HELD) or not (mine or alive(pid)):
            return True
    return age > VOID


def _owner(text: str) -> dict[str, Any]:
    """What a claim says; nothing if it was read between being made and being written."""
    try:
        owner = json.loads(text)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _take_away(path: Path, is_mine_to_take: Callable[[Path], bool]) -> bool:
    """Removes a claim, and the folder with the last one; False if it is not to be removed."""
    folder = path.parent
    try:
        with _alone(folder):
            if path.exists():  # and stays: only who is alone removes it
                if not is_mine_to_take(path):
                    return False
                path.unlink()
    except FileNotFoundError:  # the folder, with everybody's claims
        return True
    with suppress(OSError):
        folder.rmdir()
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one thread of one process at a time remove claims. Raises FileNotFoundError without the folder."""
    lock = folder / _LOCK
    for last in (*[False] * (_TRIES - 1), True):
        with _gone_if_stale(), open(lock, "ab") as stream:
            with suppress(OSError):  # file servers without locks: still only one process makes a claim
                fcntl.flock(stream, fcntl.LOCK_EX)
            if not (_is_still_at(lock, stream.fileno()) or last):  # its last user removed it while this one waited
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_still_at(path: Path, handle: int) -> bool:
    try:
        with _gone_if_stale():
            return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def _gone_if_stale() -> Iterator[None]:
    """Raises FileNotFoundError, too, for what another host has removed, as NFS says it of a file or folder in use."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ESTALE:
            raise FileNotFoundError(error.errno, error.strerror, error.filename) from None
        raise


def _renew(path: Path, done: threading.Event) -> None:
    while not done.wait(RENEWED):
        with suppress(OSError):
            os.utime(path)


def _give_up(path: Path, token: str) -> None:
    with suppress(OSError):
        _take_away(path, lambda path: path.read_text() == token)
    _HELD.pop(token, None)
