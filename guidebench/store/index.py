"""The index of a large directory of results: what was read of its records, so that they need not be read again.

    OUT/index/DIGEST    of the trials of one method under one protocol

The folders of records stay the truth. A part of the index is taken for a record only if record.json and the files that
are checked with it have the sizes and times, to the nanosecond and of content and status alike, that they had when they
were read: what changed is read again. A folder whose time of status is the same is not listed again. Times of status
cannot be set, so an index that came with a copied directory counts for nothing. Any part, or all of it, may be deleted
at any time. A damaged part, one of another version of guidebench, and one that cannot be written count as absent.

A part is written aside and renamed, and never changed: of several processes the last one wins, and each wrote a whole.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import hashlib
import logging
import os
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
import numpy as np

from guidebench import files, places
from guidebench.errors import GuidebenchError
from guidebench.metric import Score
from guidebench.store.attack_files import ATTACKS
from guidebench.store.contents import NUMBERS
from guidebench.store.finding import Listed, is_of_a_run
from guidebench.store.lazy import Digests, ScoreColumns, Scores
from guidebench.store.processes import unfinished_prefix
from guidebench.store.record import Cost, Environment, Outcome, Record, TrialSpec

INDEX = "index"  # the folder, below a directory of results
FROM = 1_000  # records from which a directory has an index: fewer are read at once
SETTLED = 2.0  # seconds after which a file that is changed again has other times, on any file system
_SAID_EVERY = 15.0  # seconds between lines of progress
_SAVED_EVERY = 60.0  # seconds after which what is new is saved, so that not all is lost if the process is killed
_VERSION = 1
_CHECKED = ("record.json", *NUMBERS)
EVIDENCE = "evidence.npz"
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """What is known of a record's folder."""

    changed: int  # time of its status
    names: frozenset[str]  # of what lies in it and is of interest
    files: bytes  # sizes and times of those that are checked, as a digest
    record: Record


class Index:
    """What is known of the records below one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._parts: dict[str, _Part] = {}
        self._folders = _folders(root)
        self._begun = time.time_ns()  # before any folder is listed
        self._above = ""  # of the last record
        self._files, self._is_settled = b"", False  # of the last record, as they were before it was read
        self._saved = time.monotonic()
        self.progress = Progress("reading records that are new or changed")

    def names(self, folder: str, changed: int) -> frozenset[str] | None:
        """What of interest lies in a record's folder that keeps its time of status; None: it has to be listed."""
        row = self._row(folder, os.path.dirname(folder)) if changed else None
        return row.names if row and row.changed == changed else None

    def get(self, listed: Listed, place: str) -> Record | None:
        """A record that did not change since it was read; None: it has to be read.

        place: where its trial lies, as in `guidebench.store.folders.scan`.
        """
        self.progress.done += 1
        above = os.path.dirname(place)
        if above != self._above:
            self.save()  # the part that was read before is complete
            self._above = above
        self._files, changed = _state(listed.folder, listed.names)
        settled = SETTLED * 1e9
        self._is_settled = listed.changed < self._begun - settled and changed < time.time_ns() - settled
        row = self._row(listed.folder, above)
        if row and row.files == self._files:
            if row.changed != listed.changed:  # by something that is not checked
                self.put(listed, row.record)
            return row.record
        self.progress.say()
        return None

    def put(self, listed: Listed, record: Record) -> None:
        """Keeps the record of the folder that `get` was asked about, once it was read."""
        if self._is_settled:
            part = self._parts[self._above]
            part.rows[listed.folder[len(self._above) :]] = Row(listed.changed, _told(listed.names), self._files, record)
            part.changed = True
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the parts that changed, where that is possible; their records then share what is equal in memory."""
        for above, part in self._parts.items():
            if not part.changed:
                continue
            part.rows = {name: row for name, row in part.rows.items() if os.path.isdir(above + name)}
            relative = self._relative(above)
            try:
                packed = _packed(relative, part.rows)
            except (OverflowError, UnicodeError) as error:  # a number or a name that MessagePack does not have
                _log.debug("a part of the index cannot be written: %s", error)
                continue
            _write(_file_name(relative), packed, self._folders)
            for name, row in _unpacked(packed, relative).items():
                part.rows[name].record.__dict__.update(row.record.__dict__)
            part.changed = False
        self._saved = time.monotonic()

    def _row(self, folder: str, above: str) -> Row | None:
        part = self._parts.get(above) or self._load(above)
        return part.rows.get(folder[len(above) :])

    def _load(self, above: str) -> _Part:
        relative = self._relative(above)
        part = self._parts[above] = _Part({})
        for data in _contents(_file_name(relative), self._folders):
            try:
                part.rows = _unpacked(data, relative)
                break
            except _UNUSABLE as error:
                _log.debug("a part of the index is not used: %s", error)
        return part

    def _relative(self, above: str) -> str:
        return os.path.relpath(above or os.curdir, self._root)


@dataclasses.dataclass
class _Part:
    """The records of one method under one protocol, by the names of their folders."""

    rows: dict[str, Row]
    changed: bool = False


@dataclasses.dataclass
class Progress:
    """A line now and then on what takes long."""

    what: str
    count: int = 0  # of records
    done: int = 0
    said: float = dataclasses.field(default_factory=time.monotonic)

    def say(self) -> None:
        """Says how far it is, unless that was said lately."""
        if time.monotonic() - self.said > _SAID_EVERY:
            self.said = time.monotonic()
            _log.info("%s: %s of %s; the next command finds them in an index", self.what, self.done, self.count)


@contextmanager
def no_collection() -> Iterator[None]:
    """Makes many objects, none of which is garbage, without looking for garbage among them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _folders(root: Path) -> list[Path]:
    """Where an index may be: in a run's own directory, and in the cache for those where nothing can be written.

    A directory that holds those of several runs may have anything else of that name.
    """
    own = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return [*([root / INDEX] if is_of_a_run(root) else []), places.cache_folder() / INDEX / own]


def _file_name(relative: str) -> str:
    return hashlib.sha256(os.fsencode(relative)).hexdigest()[:24]


def _state(folder: str, names: frozenset[str]) -> tuple[bytes, int]:
    """Of the files that are checked when a record is read: sizes and times as a digest, and when one last changed.

    names: of all that lies in its folder.
    """
    numbers: list[int] = []
    newest = 0
    checked = _checked(names)
    if ATTACKS in names:
        checked += _attack_files(folder)
    for name in checked:
        try:
            state = os.stat(f"{folder}/{name}")
        except OSError:
            numbers += (-1, -1, -1)
        else:
            changed = state.st_ctime_ns
            numbers += (state.st_size, state.st_mtime_ns, changed)
            newest = max(newest, changed)
    packed = struct.pack(f"<{len(numbers)}q", *numbers) + "/".join(checked).encode(errors="surrogateescape")
    return hashlib.blake2b(packed, digest_size=16).digest(), newest


@functools.lru_cache
def _told(names: frozenset[str]) -> frozenset[str]:
    """Those of interest, as one object for all folders that hold the same."""
    return names & {*_CHECKED, ATTACKS}


@functools.lru_cache
def _checked(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in _CHECKED if name in names)


def _attack_files(folder: str) -> tuple[str, ...]:
    try:
        return tuple(f"{ATTACKS}/{name}" for name in sorted(os.listdir(f"{folder}/{ATTACKS}")))
    except OSError:
        return ()


# Files -----------------------------------------------------------------------------------------------------------

_SUM = 32  # bytes of the check sum that a file begins with
_UNUSABLE = (msgspec.MsgspecError, GuidebenchError, ValueError, TypeError, LookupError)


def _write(name: str, data: bytes, folders: Sequence[Path]) -> None:
    """Writes a file to the first of the folders where that is possible."""
    for folder in folders:
        try:
            with files.written_aside(folder / name, "wb", prefix=unfinished_prefix()) as stream:
                stream.write(hashlib.blake2b(data, digest_size=_SUM).digest() + data)
            return
        except OSError as error:
            _log.debug("the index cannot be written to %s: %s", folder, error)


def _contents(name: str, folders: Sequence[Path]) -> Iterator[bytes]:
    """What whole files of this name hold."""
    for folder in folders:
        try:
            with files.open_regular(folder / name) as stream:
                data = stream.read()
        except OSError:
            continue
        if hashlib.blake2b(data[_SUM:], digest_size=_SUM).digest() == data[:_SUM]:
            yield data[_SUM:]


class _Column(msgspec.Struct, array_like=True):
    """One fact of every record: the different values, and which of them each record has."""

    values: msgspec.Raw  # a list
    codes: bytes  # int32


class _Scores(msgspec.Struct, array_like=True):
    """`ScoreColumns`, and where those of each trial end."""

    kinds: list[Score]
    identities: list[str]
    kind: bytes
    identity: bytes
    value: bytes
    ends: bytes  # int64


def _scores_of(trials: Sequence[Sequence[Score]]) -> _Scores:
    columns = ScoreColumns.of([score for scores in trials for score in scores])
    ends = np.cumsum([len(scores) for scores in trials], dtype=np.int64)
    numbers = (columns.kind.tobytes(), columns.identity.tobytes(), columns.value.tobytes(), ends.tobytes())
    return _Scores([*columns.kinds], [*columns.identities], *numbers)


def _columns_of(stored: _Scores) -> list[Scores]:
    """The scores of each trial."""
    kind, identity = (np.frombuffer(codes, dtype=np.int32) for codes in (stored.kind, stored.identity))
    columns = ScoreColumns(stored.kinds, stored.identities, kind, identity, np.frombuffer(stored.value))
    ends = np.frombuffer(stored.ends, dtype=np.int64).tolist()
    return [Scores(columns, start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)] if ends else []


class _Stored(msgspec.Struct, array_like=True):
    version: str
    above: str  # the folder that it is about, relative to the directory
    folders: list[str]
    changed: bytes  # int64, the times of their status
    names: _Column  # of what lies in them
    states: list[bytes]  # of the files that are checked
    keys: list[str]
    digests: list[str]
    files: list[bytes]
    columns: dict[str, _Column]  # by place in the record, such as "spec.seed"
    scores: _Scores


_PARTS: Mapping[str, type] = {"spec": TrialSpec, "environment": Environment, "cost": Cost, "outcome": Outcome}
_APART = {"outcome.scores", "files"}  # kept in columns of their own


@functools.cache
def _facts() -> Mapping[str, Any]:
    """The type of every fact of a record, by its place in it."""
    found: dict[str, Any] = {"cost": bool}  # whether there is one
    for name, kind in get_type_hints(Record).items():
        if name in _PARTS:
            found |= {f"{name}.{field}": own for field, own in get_type_hints(_PARTS[name]).items()}
        else:
            found[name] = kind
    return {name: kind for name, kind in found.items() if name not in _APART}


def _packed(above: str, rows: Mapping[str, Row]) -> bytes:
    records = [row.record for row in rows.values()]
    stored = _Stored(
        version=_version(),
        above=above,
        folders=list(rows),
        changed=np.array([row.changed for row in rows.values()], dtype=np.int64).tobytes(),
        names=_column([sorted(row.names) for row in rows.values()]),
        states=[row.files for row in rows.values()],
        keys=[record.key for record in records],
        digests=[record.digest for record in records],
        files=[msgspec.msgpack.encode(dict(record.files)) for record in records],
        columns={name: _column([_fact(record, name) for record in records]) for name in _facts()},
        scores=_scores_of([record.outcome.scores for record in records]),
    )
    return msgspec.msgpack.encode(stored)


def _fact(record: Record, place: str) -> Any:
    if place == "cost":
        return record.cost is not None
    value: Any = record
    for name in place.split("."):
        value = None if value is None else getattr(value, name)
    return value


def _column(values: Sequence[Any]) -> _Column:
    different: dict[bytes, int] = {}
    codes = [different.setdefault(msgspec.msgpack.encode(value), len(different)) for value in values]
    together = msgspec.msgpack.encode([msgspec.Raw(value) for value in different])
    return _Column(msgspec.Raw(together), np.array(codes, dtype=np.int32).tobytes())


def _unpacked(data: bytes, above: str) -> dict[str, Row]:
    """The rows of a file; raises one of `_UNUSABLE` if it is of another version or folder."""
    stored = msgspec.msgpack.decode(data, type=_Stored)
    if stored.version != _version() or stored.above != above:
        raise ValueError("it is of another version or folder")
    records = _records(stored, _columns_of(stored.scores))
    changed = np.frombuffer(stored.changed, dtype=np.int64).tolist()
    names = _values(stored.names, frozenset[str])
    rows = map(Row, changed, names, stored.states, records)
    return dict(zip(stored.folders, rows, strict=True))


def _records(stored: _Stored, scores: Sequence[Scores]) -> Iterator[Record]:
    facts = {name: _values(stored.columns[name], kind) for name, kind in _facts().items()}
    made = [_made(kind, {name: facts[f"{part}.{name}"] for name in _names(part)}) for part, kind in _PARTS.items()]
    whole = _made(Record, {name: values for name, values in facts.items() if "." not in name and name != "cost"})
    per_record = (facts["cost"], scores, stored.keys, stored.digests, stored.files)
    for record, spec, environment, cost, outcome, has_cost, own, key, digest, packed in zip(
        whole, *made, *per_record, strict=True
    ):
        spec.__dict__["key"] = key
        outcome.__dict__["scores"] = own
        record.__dict__.update(
            spec=spec,
            environment=environment,
            cost=cost if has_cost else None,
            outcome=outcome,
            files=Digests(packed),
            digest=digest,
        )
        yield record


def _names(part: str) -> list[str]:
    return [field.name for field in dataclasses.fields(_PARTS[part]) if f"{part}.{field.name}" not in _APART]


def _values(column: _Column, kind: Any) -> list[Any]:
    """One fact of every record; equal ones are the same object."""
    different = msgspec.msgpack.decode(column.values, type=list[kind | None])
    return [different[code] for code in np.frombuffer(column.codes, dtype=np.int32).tolist()]


def _made(kind: type, facts: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    """Objects of a frozen dataclass whose fields were checked when the records were read."""
    for values in zip(*facts.values(), strict=True):
        one: Any = object.__new__(kind)
        one.__dict__.update(zip(facts, values, strict=True))
        yield one


# Scores over several trials --------------------------------------------------------------------------------------

_ACROSS = "across"  # the name of their file


class _Across(msgspec.Struct, array_like=True):
    version: str
    companies: list[bytes]  # what they were computed from, as a digest
    scores: _Scores


class Computed:
    """Scores over several trials that were computed from a directory's evidence before."""

    def __init__(self, root: Path, count: int) -> None:
        """count: of records, for progress."""
        self._folders = _folders(root)
        self._found: dict[bytes, Sequence[Score]] = {}
        self._changed, self._saved = False, time.monotonic()
        self._progress = Progress("comparing the people of several trials, records", count)
        self._last, self._asked = b"", set[bytes]()
        for data in _contents(_ACROSS, self._folders):
            try:
                stored = msgspec.msgpack.decode(data, type=_Across)
                if stored.version == _version():
                    self._found = dict(zip(stored.companies, _columns_of(stored.scores), strict=True))
                    break
            except _UNUSABLE as error:
                _log.debug("scores over several trials are computed again: %s", error)

    def get(self, trials: Sequence[tuple[Record, bool]], metrics: Iterable[str]) -> Sequence[Score] | None:
        """The scores of these metrics over trials; None: they have to be computed.

        trials: records, and whether their evidence is there.
        """
        self._progress.done += len(trials)
        self._progress.say()
        state = hashlib.blake2b("/".join(metrics).encode(), digest_size=16)
        for record, is_there in trials:
            state.update(f"{record.digest} {is_there}\n".encode())
        self._last = state.digest()
        self._asked.add(self._last)
        return self._found.get(self._last)

    def put(self, scores: Sequence[Score]) -> None:
        """Keeps the scores that `get` did not have."""
        self._found[self._last] = Scores(ScoreColumns.of(scores), 0, len(scores))  # objects would take far more memory
        self._changed = True
        if time.monotonic() - self._saved > _SAVED_EVERY:
            self.save()

    def save(self, *, whole: bool = False) -> None:
        """Writes what is new, where that is possible. whole: all was asked for; anything else is of the past."""
        if whole and (past := self._found.keys() - self._asked):
            self._found = {key: scores for key, scores in self._found.items() if key not in past}
            self._changed = True
        if self._changed:
            stored = _Across(_version(), list(self._found), _scores_of(list(self._found.values())))
            _write(_ACROSS, msgspec.msgpack.encode(stored), self._folders)
            self._changed, self._saved = False, time.monotonic()


@functools.cache
def _version() -> str:
    """Of the format, and of the code, version included, that decides which records are read and as what."""
    package = Path(__file__).parents[1]
    state = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *(package / "store").glob("*.py"), *(package / "metrics").glob("*.py")]):
        state.update(path.read_bytes())
    return f"{_VERSION} {state.hexdigest()}"
