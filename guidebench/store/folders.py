"""Records: what a trial leaves behind, in a folder that is built aside and renamed whole.

    OUT/
      records/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/       a measured trial
        record.json  evidence.npz  latents.npz  progress.csv  pictures/  [generator/]
      failures/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/N/    attempt N that failed: record.json with the reason, progress.csv
      replaced/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/N/    what lay in a record's place, was not as it was written, made room
      shared/                                         evidence that trials have in common; see evidence_files.py
      unfinished/PROTOCOL/METHOD/PEOPLE-sSEED-KEY/K/  a trial of several requests after request K, until it is recorded
      claims/                                         trials in flight; see claims.py

A record is complete or absent: `kill -9` at any moment loses at most the trial in flight. What is recorded is skipped
by the next run; a failed trial is tried again and its attempts are kept. A record that is not as it was written, or not
in its place, counts as absent and is named.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from guidebench import digest, files
from guidebench.errors import BadInput, StorageError
from guidebench.store import index
from guidebench.store.attack_files import ATTACKS
from guidebench.store.contents import check_contents, digests_of
from guidebench.store.evidence_files import SHARED
from guidebench.store.finding import ASIDE, FAILURES, MEASURED_AGAIN, RECORDS, RETIRED, Corrupt, find
from guidebench.store.possible import check_possible, in_plain_text
from guidebench.store.processes import alive, clock_of, this_host, unfinished_prefix
from guidebench.store.record import SCHEMA, Attempt, Record, TrialSpec

REPLACED, UNFINISHED = "replaced", "unfinished"
_ABANDONED = 24 * 3600.0  # seconds without a write after which nobody, on whatever host, still builds a folder
_HALFWAY = 60.0  # seconds after which nobody is still between the two renames that replace a record
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # what renaming a folder meets where something lies already
_RACES = 20  # times that a place is cleared for a record, or made, and somebody else is faster
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class StoredRecord:
    """A record and the folder that it was read from."""

    record: Record
    folder: str  # takes less memory than a path
    has_evidence: bool = True  # whether evidence.npz was there when the record was found

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)


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
    """The record in one folder; raises ValueError, in one line, or OSError.

    ValueError: it is not a record of this schema, it is not as it was written, or no trial can have measured it.
    """
    folder = Path(folder)
    record = Record.from_json(files.read_bytes(folder / "record.json"))
    check_possible(record)
    check_contents(record, folder)
    return record


def write_record(record: Record, folder: Path) -> None:
    """Writes record.json with the digests of the files that lie in the folder: the last of them to be written."""
    record = in_plain_text(replace(record, files=digests_of(folder)))
    _refuse_impossible(record)
    (folder / "record.json").write_text(record.to_json(), encoding="utf-8")


def rewrite_record(record: Record, folder: Path) -> None:
    """Replaces record.json, as a whole, by one with other scores; the files beside it stay those of the trial."""
    record = in_plain_text(record)
    _refuse_impossible(record)
    with storage_errors(folder), files.written_aside(folder / "record.json", prefix=unfinished_prefix()) as stream:
        stream.write(record.to_json())


def _refuse_impossible(record: Record) -> None:
    try:
        check_possible(record)
    except ValueError as error:
        raise BadInput(f"{error}, so that it is not recorded; `guidebench check` tests testbeds and metrics") from None


def schema_of(folder: Path) -> int | None:
    """The schema of the record in a folder; None: there is no record, or it does not say."""
    try:
        schema = json.loads(files.read_bytes(folder / "record.json"))["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return schema if isinstance(schema, int) else None


def scan(out: str | Path) -> tuple[list[StoredRecord], list[Corrupt]]:
    """All records below ``out``, measured and failed, in a stable order, and the folders that are left out.

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
    with index.no_collection():
        return _scan(root, out)


def _scan(root: Path, out: str | Path) -> tuple[list[StoredRecord], list[Corrupt]]:
    kept = index.Index(root)
    found = find(root, kept.names)
    kept.progress.count = len(found.records) + len(found.failures)
    known = kept if kept.progress.count >= index.FROM else None
    stored: dict[tuple[str, str], StoredRecord] = {}  # by key and label: one trial may be the row of two labels
    corrupt: list[Corrupt] = []
    in_place = [(listed, os.path.dirname(listed.folder)) for listed in found.failures]
    for listed, place in in_place + [(listed, listed.folder) for listed in found.records]:
        folder = listed.folder
        record = known.get(listed, place) if known else None
        if record is None:
            try:
                record = read(folder)
            except (OSError, ValueError) as error:
                corrupt.append(_unreadable(Path(folder), Path(place), error))
                continue
            if not is_in_place(record, Path(place)):
                corrupt.append(_misplaced(record, Path(folder)))
                continue
            if known:
                known.put(listed, record)
        stored[record.key, record.spec.method.label] = StoredRecord(record, folder, index.EVIDENCE in listed.names)
    if known:
        known.save()
    if not stored and not corrupt and not found.hidden:
        for above in (root.absolute(), *root.absolute().parents):
            if above.name == RECORDS and any(above.glob("*/*/*/record.json")):
                raise BadInput(f"{out} is a part of the records of {above.parent}; give that directory")
        raise BadInput(
            f"no records in {out}; run something first, such as `guidebench reproduce table-2 --out {out}` or, for a "
            f"minute only, `guidebench run --out {out} --protocol smoke --method guide`"
        )
    return sorted(stored.values(), key=lambda item: item.folder), [*corrupt, *found.hidden]


def _unreadable(folder: Path, place: Path, error: OSError | ValueError) -> Corrupt:
    cure = MEASURED_AGAIN if place == folder else "delete the folder: a failed trial is run again anyway"
    if isinstance(error, OSError):
        return Corrupt(folder, f"{Path(error.filename or '').name}: {error.strerror or error}", cure)
    return Corrupt(folder, str(error).splitlines()[0], cure)


def is_in_place(record: Record, folder: Path) -> bool:
    """Whether a folder is called, and lies, as the record in it says: protocol, label, people, seed and key."""
    return folder.absolute().parts[-3:] == place_of(record.spec).parts


def place_of(spec: TrialSpec) -> Path:
    """PROTOCOL/METHOD/PEOPLE-sSEED-KEY: where a trial lies below each kind of folder."""
    return Path(slug(spec.protocol.name), slug(spec.method.label), folder_name(spec))


def _misplaced(record: Record, folder: Path) -> Corrupt:
    reason = f"it holds the record of {place_of(record.spec).as_posix()}, as if it had been copied or renamed"
    return Corrupt(folder, reason, "delete it, or move it back to its place")


class Store:
    """Writes records below one output directory and knows which trials are done."""

    def __init__(self, out: str | Path) -> None:
        """Makes ``out`` if needed. Raises StorageError if nothing can be written there."""
        self.root = Path(out)
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            clock_of(self.root)  # that something can be written there

    def clean(self) -> None:
        """Removes what killed processes left unfinished, and puts back the records that they were about to replace.

        What a living process of this host builds is let alone; so is what another host builds, unless nothing was
        written to it for a day.
        """
        with storage_errors(self.root):
            now = clock_of(self.root)
            found = [path for path in self.root.iterdir() if path.name.startswith(ASIDE)]
        for kind in (RECORDS, FAILURES, SHARED, UNFINISHED, index.INDEX):
            found += _unfinished(self.root / kind)
        for leftover in found:
            if _is_left_behind(leftover, now):
                _clear(leftover)

    @property
    def shared(self) -> Path:
        """Where the evidence that trials share is kept."""
        return self.root / SHARED

    def path(self, spec: TrialSpec, *, kind: str = RECORDS) -> Path:
        """Where a trial's folder is or will be."""
        return self.root / kind / place_of(spec)

    def holds_attacks(self) -> bool:
        """Whether any trial was attacked."""
        return any((self.root / RECORDS).glob(f"*/*/*/{ATTACKS}"))

    def measured(self, folder: Path) -> Record | None:
        """The record at this path if reports would take it, too, and it is measured."""
        try:
            record = read(folder)
        except (OSError, ValueError):
            return None
        reported = is_in_place(record, folder) and not folder.is_symlink()
        return record if record.is_measured and reported else None

    def check_places(self, specs: Iterable[TrialSpec]) -> None:
        """Raises BadInput if trials would be recorded where reports do not look, or over records of a later version."""
        folders = [self.path(spec) for spec in specs]
        for above in dict.fromkeys(above for folder in folders for above in list(folder.parents)[:2]):
            if above.is_symlink():
                raise BadInput(
                    f"{above} is a symbolic link, which reports do not follow; put the folder itself in its place"
                )
        newer = [folder for folder in folders if _is_newer(folder)]
        if newer:
            raise BadInput(
                f"{self.root} holds records of a later version of guidebench (schema {schema_of(newer[0])}; this "
                f"version writes {SCHEMA}) of {len(newer)} of these trials, such as {newer[0]}; run that version, or "
                "give another --out"
            )

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

        A record that is already at ``target`` is replaced, and kept below replaced/ if it is not as it was written.
        Raises StorageError on disk trouble, if the output directory is gone, or if a later version wrote that record.
        """
        self.refuse_absent()
        with storage_errors(self.root):
            aside = _made_beside(target)
            try:
                yield aside
                _sync(aside)
                os.chmod(aside, 0o755)
                self._put(aside, target)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise

    @contextmanager
    def scratch(self, target: Path) -> Iterator[Path]:
        """A folder beside ``target`` for what its trial needs while it runs; removed as the block ends."""
        self.refuse_absent()
        with storage_errors(self.root):
            folder = _made_beside(target)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def refuse_absent(self) -> None:
        """Raises StorageError if the output directory is not there any more."""
        if not self.root.is_dir():
            raise StorageError(
                f"{self.root} was deleted or moved while trials were running, and what was recorded there with it; "
                "give the same command again"
            )

    def _put(self, aside: Path, target: Path) -> None:
        """Renames a finished folder, also where other processes put theirs in the same place: the last one stays."""
        old: list[Path] = []
        try:
            while True:
                try:
                    os.replace(aside, target)
                    break
                except OSError as error:
                    if error.errno not in _TAKEN or len(old) == _RACES:
                        raise
                old.append(aside.with_name(f"{aside.name}-{len(old)}{RETIRED}{target.name}"))
                self._make_room(target, old[-1])
        finally:  # if it raised, the record goes back
            for folder in old:
                _clear(folder)

    def _make_room(self, target: Path, old: Path) -> None:
        """A record at ``target`` goes to ``old``, to be deleted; one that reports leave out is kept below replaced/."""
        if _is_newer(target):
            raise StorageError(
                f"{target} was written by a later version of guidebench and is left as it is; give another --out"
            )
        if _may_be_a_record(target) and self.measured(target) is None:
            old = self.next_attempt(Path(self.root, REPLACED, *target.relative_to(self.root).parts[1:]))
            old.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody else made room
            os.replace(target, old)

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


def within(folder: Path, make: Callable[[], _Made]) -> _Made:
    """What ``make`` puts into a folder, which is made if need be, and again if others remove it while it is empty."""
    tries = 0
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return make()
        except (FileNotFoundError, FileExistsError):
            tries += 1
            if tries > _RACES:
                raise


def _made_beside(target: Path) -> Path:
    """A new folder for what is not finished."""
    return within(target.parent, lambda: Path(tempfile.mkdtemp(prefix=unfinished_prefix(), dir=target.parent)))


def _unfinished(folder: Path) -> list[Path]:
    """What is not finished at any depth; os.walk, unlike glob, bears folders that others remove meanwhile."""
    found = []
    for above, below, names in os.walk(folder):
        found += [Path(above, name) for name in (*below, *names) if name.startswith(ASIDE)]
        below[:] = [name for name in below if not name.startswith(ASIDE)]
    return found


def _is_left_behind(leftover: Path, now: float) -> bool:
    try:
        if _empty_place(leftover) and now - leftover.lstat().st_ctime > _HALFWAY:
            return True
    except OSError:  # it is gone, or back in its place
        return False
    mine = f"{ASIDE}{this_host()}-"
    builder = leftover.name.removeprefix(mine).partition("-")[0]
    if leftover.name.startswith(mine) and not (builder.isdigit() and alive(int(builder))):
        return True
    try:
        written = max(path.lstat().st_mtime for path in (leftover, *leftover.rglob("*")))
    except OSError:  # somebody is at work there
        return False
    return now - written > _ABANDONED


def _empty_place(leftover: Path) -> Path | None:
    """Where a record that was to be replaced goes back to; None: it is no such record, or another is in its place."""
    retired = leftover.name.partition(RETIRED)[2]
    return leftover.with_name(retired) if retired and not os.path.lexists(leftover.with_name(retired)) else None


def _clear(leftover: Path) -> None:
    """Removes something unfinished; a record that was to be replaced goes back to its place if that is empty."""
    if place := _empty_place(leftover):
        try:
            os.rename(leftover, place)
            return
        except OSError as error:
            if error.errno not in _TAKEN:  # a record is in its place by now
                return
    if leftover.is_dir() and not leftover.is_symlink():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        with suppress(OSError):  # somebody else's, or it is gone
            leftover.unlink()


def _may_be_a_record(folder: Path) -> bool:
    """Whether record.json lies in a folder, or nobody can see whether it does."""
    try:
        return "record.json" in os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _is_newer(folder: Path) -> bool:
    schema = schema_of(folder)
    return schema is not None and schema > SCHEMA


def _numbers(folder: Path) -> list[int]:
    return [int(item.name) for item in folder.glob("*") if item.name.isdecimal()]


def _sync(folder: Path) -> None:
    """Forces a folder's files to disk, so that a renamed folder is a whole one even after a power cut."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
