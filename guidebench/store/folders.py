"""Records: what a trial leaves behind, in a folder that is built aside and renamed whole.

    OUT/
      records/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/       a measured trial
        record.json  evidence.npz  latents.npz  progress.csv  pictures/  [generator/]
      failures/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/N/    attempt N that failed: record.json with the reason, progress.csv
      shared/                                         evidence that trials have in common; see evidence_files.py

A record is complete or absent: `kill -9` at any moment loses at most the trial in flight. What is recorded is skipped
by the next run; a failed trial is tried again and its attempts are kept.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guidebench import digest
from guidebench.errors import BadInput, StorageError
from guidebench.store.evidence_files import SHARED
from guidebench.store.record import Attempt, Record, TrialSpec

RECORDS, FAILURES = "records", "failures"
_ASIDE = ".building-"  # prefix of a folder that is not finished; host and process that build it follow


@dataclass(frozen=True)
class StoredRecord:
    """A record and the folder that it was read from."""

    record: Record
    path: Path


@dataclass(frozen=True)
class Corrupt:
    """A record folder that cannot be read; reports name it and leave it out."""

    path: Path
    reason: str


def folder_name(spec: TrialSpec) -> str:
    """PEOPLE-sSEED-KEY: readable, and unique through the key."""
    return f"{slug(spec.group)}-s{spec.seed}-{spec.key[:12]}"


def slug(text: str) -> str:
    """``text`` as a file name: letters, digits, dot, underscore and hyphen; a long one ends in a digest."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "_"
    return name if len(name) <= 100 else f"{name[:87]}-{digest.of_data(text)[:12]}"


def person_folder(identity: str) -> str:
    """The folder of a person's pictures: a `slug` that no other person shares."""
    name = slug(identity)
    return name if name == identity else f"{name}-{digest.of_data(identity)[:8]}"


def read(folder: str | Path) -> Record:
    """The record in one folder; raises ValueError or OSError."""
    return Record.from_json((Path(folder) / "record.json").read_bytes())


def scan(out: str | Path) -> tuple[list[StoredRecord], list[Corrupt]]:
    """All records below ``out``, measured and failed, in a stable order, and the folders that cannot be read.

    A failed trial counts once (its last attempt), and not at all if it was measured later. Raises BadInput if ``out``
    does not exist or holds no records.
    """
    if not isinstance(out, str | os.PathLike):
        raise BadInput(f"{out!r:.80} is not a directory; give the path of one that holds records/")
    root = Path(out)
    if root.is_file():
        raise BadInput(f"{out} is a file; give the directory that holds records/")
    if not root.is_dir():
        raise BadInput(f"no such directory: {out}; `guidebench run --out {out} …` makes it")
    stored: dict[tuple[str, str], StoredRecord] = {}  # by key and label: one trial may be the row of two labels
    corrupt: list[Corrupt] = []
    for path in _record_files(root, FAILURES) + _record_files(root, RECORDS):
        try:
            record = read(path.parent)
        except ValueError as error:
            corrupt.append(Corrupt(path.parent, str(error).splitlines()[0]))
        except OSError as error:
            corrupt.append(Corrupt(path.parent, f"{path.name}: {error.strerror or error}"))
        else:
            stored[record.key, record.spec.method.label] = StoredRecord(record, path.parent)
    if not stored and not corrupt:
        for above in (root.absolute(), *root.absolute().parents):
            if above.name == RECORDS and any(above.glob("*/*/*/record.json")):
                raise BadInput(f"{out} is a part of the records of {above.parent}; give that directory")
        raise BadInput(
            f"no records in {out}; run something first, such as `guidebench reproduce table-2 --out {out}` or, for a "
            f"minute only, `guidebench run --out {out} --protocol smoke --method guide`"
        )
    return sorted(stored.values(), key=lambda item: str(item.path)), corrupt


def _record_files(root: Path, kind: str) -> list[Path]:
    written_by_a_run = (root / RECORDS).is_dir() or (root / FAILURES).is_dir()
    pattern = f"{kind}/**/record.json" if written_by_a_run else f"**/{kind}/**/record.json"
    files = [path for path in root.glob(pattern) if _ASIDE not in str(path.relative_to(root))]
    return sorted(files, key=lambda path: [int(part) if part.isdigit() else 0 for part in path.parts[-2:]])


class Store:
    """Writes records below one output directory and knows which trials are done."""

    def __init__(self, out: str | Path) -> None:
        """Makes ``out`` if needed. Raises StorageError if nothing can be written there."""
        self.root = Path(out)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass

    def clean(self) -> None:
        """Removes what killed processes left unfinished; folders that a living process still builds are let alone."""
        mine = f"{_ASIDE}{slug(platform.node())}-"
        for kind in (RECORDS, FAILURES, SHARED):
            for leftover in (self.root / kind).glob(f"**/{mine}*"):
                builder = leftover.name.removeprefix(mine).partition("-")[0]
                if builder.isdigit() and _alive(int(builder)):
                    continue
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
                else:
                    leftover.unlink(missing_ok=True)

    @property
    def shared(self) -> Path:
        """Where the evidence that trials share is kept."""
        return self.root / SHARED

    def path(self, spec: TrialSpec, *, kind: str = RECORDS) -> Path:
        """Where a trial's folder is or will be."""
        return self.root / kind / slug(spec.protocol.name) / slug(spec.method.label) / folder_name(spec)

    def measured(self, folder: Path) -> Record | None:
        """The record at this path if it is there, readable and measured."""
        try:
            record = read(folder)
        except (OSError, ValueError):
            return None
        return record if record.is_measured else None

    def attempts(self, failures: Path) -> list[Attempt]:
        """When and why earlier attempts at a trial failed, oldest first."""
        found: list[Attempt] = []
        for number in sorted(_numbers(failures)):
            try:
                record = read(failures / str(number))
            except (OSError, ValueError):
                continue
            found.append(Attempt(created=record.environment.created, reason=record.outcome.reason or ""))
        return found

    @contextmanager
    def building(self, target: Path) -> Iterator[Path]:
        """A folder to fill; renamed to ``target`` as the block ends, removed if the block raises.

        A folder that is already at ``target`` is replaced. Disk trouble raises StorageError.
        """
        with storage_errors(self.root):
            target.parent.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=unfinished_prefix(), dir=target.parent))
            try:
                yield aside
                _sync(aside)
                os.chmod(aside, 0o755)
                if target.exists():
                    old = aside.with_name(aside.name + "-old")
                    os.replace(target, old)
                    os.replace(aside, target)
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    os.replace(aside, target)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise

    def next_attempt(self, failures: Path) -> Path:
        """The folder of the next failed attempt below ``failures``."""
        return failures / str(max(_numbers(failures), default=0) + 1)


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turns an OSError within the block into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError(
                f"no space left to write {root}; free some and give the same command again: it resumes"
            ) from None
        raise StorageError(f"cannot write {root}: {error.strerror or error}; choose another place") from None


def unfinished_prefix() -> str:
    """How names of what this process has not finished writing begin; `Store.clean` removes those of dead processes."""
    return f"{_ASIDE}{slug(platform.node())}-{os.getpid()}-"


def _numbers(failures: Path) -> list[int]:
    return [int(item.name) for item in failures.glob("*") if item.name.isdecimal()]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    """Forces a folder's files to disk, so that a renamed folder is a whole one even after a power cut."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
