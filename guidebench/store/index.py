"""The index of a large directory of results: what was read of its records, so that they need not be read again.

    OUT/index/DIGEST    of the trials of one method under one protocol

The folders of records stay the truth. A part of the index is taken for a record only if record.json and the files that
are checked with it have the sizes and times, to the nanosecond and of content and status alike, that they had when they
were read: what changed is read again. Times of status cannot be set, so an index that came with a copied directory
counts for nothing. Any part, or all of it, may be deleted at any time. A damaged part, one of another version of
guidebench, and one that cannot be written count as absent.

A part is written aside and renamed, and never changed: of several processes the last one wins, and each wrote a whole.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
import numpy as np

import guidebench
from guidebench import files, places
from guidebench.errors import GuidebenchError
from guidebench.metric import Score
from guidebench.store.attack_files import ATTACKS
from guidebench.store.contents import NUMBERS
from guidebench.store.finding import is_of_a_run
from guidebench.store.lazy import Digests, ScoreColumns, Scores
from guidebench.store.record import Cost, Environment, Outcome, Record, TrialSpec

INDEX = "index"  # the folder, below a directory of results
FROM = 1_000  # records from which a directory has an index: fewer are read at once
SETTLED = 2.0  # seconds after which a file that is changed again has other times, on any file system
_SAID_EVERY = 15.0  # seconds between lines of progress
_VERSION = 1
_CHECKED = ("record.json", *NUMBERS)
_log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """The files of a record."""

    state: bytes  # sizes and times, as a digest
    is_settled: bool  # False: they may change again and show the same times


class Index:
    """What is known of the records below one directory."""

    def __init__(self, root: Path, count: int) -> None:
        """count: how many records there are, for progress."""
        self._root, self._count = root, count
        self._parts: dict[str, _Part] = {}
        self._folders = [folder for folder in (_beside(root), _in_cache(root)) if folder]
        self._seen = Seen(b"", False)  # the files of the last record as they were before it was read
        self._done = 0
        self._said = time.monotonic()

    def get(self, folder: Path, place: Path) -> Record | None:
        """A record that did not change since it was read; None: it has to be read.

        place: where its trial lies, as in `guidebench.store.folders.scan`.
        """
        self._done += 1
        path, above = str(folder), os.path.dirname(place)
        self._seen = _seen(path)
        part = self._parts.get(above) or self._load(above)
        state, record = part.rows.get(path[len(above) :], (b"", None))
        if record and state == self._seen.state:
            return record
        if time.monotonic() - self._said > _SAID_EVERY:
            self._said = time.monotonic()
            _log.info(
                "reading records that are new or changed, %s of %s; the next command finds them in an index",
                f"{self._done:,}",
                f"{self._count:,}",
            )
        return None

    def put(self, folder: Path, place: Path, record: Record) -> None:
        """Keeps the record that `get` did not have, now that it was read."""
        if self._seen.is_settled:
            above = os.path.dirname(place)
            part = self._parts[above]
            part.rows[str(folder)[len(above) :]] = (self._seen.state, record)
            part.changed = True

    def save(self) -> None:
        """Writes the parts that changed, where that is possible."""
        changed = {above: part for above, part in self._parts.items() if part.changed}
        for folder in self._folders if changed else ():
            try:
                for above, part in changed.items():
                    with files.written_aside(folder / _file_name(self._relative(above)), "wb") as stream:
                        stream.write(_packed(self._relative(above), part.rows))
                return
            except (OSError, OverflowError) as error:  # OverflowError: a number that MessagePack does not have
                _log.debug("the index cannot be written to %s: %s", folder, error)

    def _load(self, above: str) -> _Part:
        part, relative = _Part({}), self._relative(above)
        for folder in self._folders:
            try:
                with files.open_regular(folder / _file_name(relative)) as stream:
                    part = _Part(_unpacked(stream.read(), relative))
                break
            except FileNotFoundError:
                continue
            except _UNUSABLE as error:
                _log.debug("the index in %s is not used: %s", folder, error)
        self._parts[above] = part
        return part

    def _relative(self, above: str) -> str:
        return os.path.relpath(above, self._root)


@dataclasses.dataclass
class _Part:
    """The records of one method under one protocol, by the names of their folders."""

    rows: dict[str, tuple[bytes, Record]]  # with the state of their files
    changed: bool = False


def _beside(root: Path) -> Path | None:
    """The index in a run's own directory; one that holds those of several runs may have anything of that name."""
    return root / INDEX if is_of_a_run(root) else None


def _in_cache(root: Path) -> Path:
    return places.cache_folder() / INDEX / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]


def _file_name(relative: str) -> str:
    return hashlib.sha256(os.fsencode(relative)).hexdigest()[:24]


def _seen(folder: str) -> Seen:
    """Sizes and times of the files that are checked when a record is read."""
    now, newest = time.time_ns(), 0
    numbers: list[int] = []
    attacks = _attack_files(folder)
    for name in (*_CHECKED, *attacks):
        try:
            state = os.stat(f"{folder}/{name}")
        except OSError:
            numbers += (-1, -1, -1)
        else:
            numbers += (state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            newest = max(newest, state.st_ctime_ns)
    packed = struct.pack(f"<{len(numbers)}q", *numbers) + "/".join(attacks).encode(errors="surrogateescape")
    return Seen(hashlib.blake2b(packed, digest_size=16).digest(), newest < now - SETTLED * 1e9)


def _attack_files(folder: str) -> list[str]:
    try:
        return [f"{ATTACKS}/{name}" for name in sorted(os.listdir(f"{folder}/{ATTACKS}"))]
    except OSError:
        return []


# Files -----------------------------------------------------------------------------------------------------------

_SUM = 32  # bytes of the check sum that a file begins with
_UNUSABLE = (OSError, msgspec.MsgspecError, GuidebenchError, ValueError, TypeError, LookupError)


class _Column(msgspec.Struct, array_like=True):
    """One fact of every record: the different values, and which of them each record has."""

    values: msgspec.Raw  # a list
    codes: bytes  # int32


class _Stored(msgspec.Struct, array_like=True):
    version: str
    above: str  # the folder that it is about, relative to the directory
    names: list[str]  # of folders of records
    states: list[bytes]
    keys: list[str]
    digests: list[str]
    files: list[bytes]
    columns: dict[str, _Column]  # by place in the record, such as "spec.seed"
    kinds: msgspec.Raw
    identities: list[str]
    scores: tuple[bytes, bytes, bytes]  # of `ScoreColumns`: kind, identity, value
    ends: bytes  # int64: how many scores there are up to and with each record's


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


def _packed(above: str, rows: Mapping[str, tuple[bytes, Record]]) -> bytes:
    records = [record for _, record in rows.values()]
    scores = ScoreColumns.of([score for record in records for score in record.outcome.scores])
    stored = _Stored(
        version=_version(),
        above=above,
        names=list(rows),
        states=[state for state, _ in rows.values()],
        keys=[record.key for record in records],
        digests=[record.digest for record in records],
        files=[msgspec.msgpack.encode(dict(record.files)) for record in records],
        columns={name: _column([_fact(record, name) for record in records]) for name in _facts()},
        kinds=msgspec.Raw(msgspec.msgpack.encode(scores.kinds)),
        identities=list(scores.identities),
        scores=(scores.kind.tobytes(), scores.identity.tobytes(), scores.value.tobytes()),
        ends=np.cumsum([len(record.outcome.scores) for record in records], dtype=np.int64).tobytes(),
    )
    body = msgspec.msgpack.encode(stored)
    return hashlib.blake2b(body, digest_size=_SUM).digest() + body


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


def _unpacked(data: bytes, above: str) -> dict[str, tuple[bytes, Record]]:
    """The rows of a file; raises one of `_UNUSABLE` if it is damaged, or of another version or folder."""
    body = memoryview(data)[_SUM:]
    if hashlib.blake2b(body, digest_size=_SUM).digest() != data[:_SUM]:
        raise ValueError("it is damaged")
    stored = msgspec.msgpack.decode(body, type=_Stored)
    if stored.version != _version() or stored.above != above:
        raise ValueError("it is of another version or folder")
    columns = ScoreColumns(
        msgspec.msgpack.decode(stored.kinds, type=list[Score]),
        stored.identities,
        *(np.frombuffer(own, dtype=kind) for own, kind in zip(stored.scores, (np.int32, np.int32, np.float64))),
    )
    return dict(zip(stored.names, zip(stored.states, _records(stored, columns), strict=True), strict=True))


def _records(stored: _Stored, columns: ScoreColumns) -> Iterator[Record]:
    facts = {name: _values(stored.columns[name], kind) for name, kind in _facts().items()}
    made = {
        part: list(_made(kind, {name: facts[f"{part}.{name}"] for name in _names(part, kind)}, len(stored.names)))
        for part, kind in _PARTS.items()
    }
    ends = np.frombuffer(stored.ends, dtype=np.int64).tolist()
    whole = {name: values for name, values in facts.items() if "." not in name and name != "cost"}
    for number, (record, start, end) in enumerate(
        zip(_made(Record, whole, len(stored.names)), [0, *ends], ends, strict=False)
    ):
        parts = {part: own[number] for part, own in made.items()}
        parts["outcome"].__dict__["scores"] = Scores(columns, start, end)
        parts["spec"].__dict__["key"] = stored.keys[number]
        parts["cost"] = parts["cost"] if facts["cost"][number] else None
        record.__dict__.update(parts, files=Digests(stored.files[number]), digest=stored.digests[number])
        yield record


def _names(part: str, kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if f"{part}.{field.name}" not in _APART]


def _values(column: _Column, kind: Any) -> list[Any]:
    """One fact of every record; equal ones are the same object."""
    different = msgspec.msgpack.decode(column.values, type=list[kind | None])
    return [different[code] for code in np.frombuffer(column.codes, dtype=np.int32).tolist()]


def _made(kind: type, facts: Mapping[str, Sequence[Any]], count: int) -> Iterator[Any]:
    """Objects of a frozen dataclass whose fields were checked when the records were read."""
    names = list(facts)
    for values in zip(*facts.values(), strict=True) if names else [()] * count:
        one = kind.__new__(kind)
        one.__dict__.update(zip(names, values))
        yield one


@functools.cache
def _version() -> str:
    """Of the format, the package and the code that decides which records are read, and as what."""
    package = Path(guidebench.__file__).parent
    state = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *(package / "store").glob("*.py"), *(package / "metrics").glob("*.py")]):
        state.update(path.read_bytes())
    return f"{_VERSION} {guidebench.__version__} {state.hexdigest()[:16]}"
