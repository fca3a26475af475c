"""Records: what a trial leaves behind, in a folder that is built aside and renamed whole.

    OUT/
      records/PROTOCOL/METHOD/IDENTITY-sSEED-KEY/     a measured trial
        record.json  evidence.npz  latents.npz  progress.csv  pictures/  [generator/]
      failures/PROTOCOL/METHOD/IDENTITY-sSEED-KEY/N/  attempt N that failed: record.json with the reason, progress.csv
      shared/                                         evidence that trials have in common; see evidence_files.py

A record is complete or absent: `kill -9` at any moment loses at most the trial in flight. What is recorded is skipped
by the next run; a failed trial is tried again and its attempts are kept.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guidebench import digest
from guidebench.errors import BadInput, StorageError
from guidebench.metric import Score
from guidebench.store.evidence_files import SHARED

SCHEMA = 2  # raised when record.json changes in a way that readers must know; older ones are read, see `_upgraded`
RECORDS, FAILURES = "records", "failures"
# Versions that records made on them do not name, by `Record.weights_digest`.
_NUMBERED_LATER = {"4c924cac62d66f1448e3fc49f8791da65c51484d9f53af639b333b5d928598d2": "1"}  # of mini
_ASIDE = ".building-"  # prefix of a folder that is not finished; host and process that build it follow


@dataclass(frozen=True)
class Record:
    """The content of record.json."""

    key: str  # SHA-256 of everything that decides the trial's numbers
    status: str  # "measured" or "failed"
    protocol: Mapping[str, Any]  # the resolved protocol, all fields
    protocol_digest: str  # Protocol.digest()
    testbed: str
    conventions: str
    method: str  # registered name
    label: str  # name with the fields that were overridden: "guide(alpha_max=20.0)"
    fields: Mapping[str, Any]  # all hyper-parameters
    preset: bool  # whether the method's preset for this testbed was used
    source_digest: str  # SHA-256 of the method's files: of its classes, and what they import from beside them
    floor: bool  # a floor or ceiling row: nothing, scramble
    identity: str  # who was forgotten
    seed: int
    manifest: str  # digest of the photo set
    digests: Mapping[str, str]  # SHA-256 of every network, by name
    judges: Sequence[str]  # in the testbed's order; the first leads
    strangers: Mapping[str, Sequence[float]]  # judge -> [mean, std] of the cosine of different people
    notes: Mapping[str, str]  # for captions and footnotes: "caption", "features", "real"
    scores: Sequence[Mapping[str, Any]]  # Score fields; empty if failed
    seconds: Mapping[str, float]  # "unlearn", "evaluate", "total"
    steps: int  # progress reports of the method
    trainable: int  # parameters that the method left changed
    device: str  # what it ran on, in words
    versions: Mapping[str, str]  # guidebench, python, torch, numerics, …
    commit: str | None  # commit of the guidebench checkout, "+dirty" if changed; None outside a checkout
    created: str  # UTC, ISO 8601
    reason: str | None = None  # why it failed
    attempts: Sequence[Mapping[str, str]] = field(default_factory=list)  # earlier failures: created, reason
    training_seen: bool = True  # False: a checkpoint that other code unlearned
    inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of files that the method read, by name
    peak_memory_bytes: int | None = None  # most memory during unlearning; None: not known, see notes["memory"]
    schema: int = SCHEMA

    @property
    def weights_version(self) -> str | None:
        """The version of the networks that came with the testbed; None where nobody numbers them."""
        return self.notes.get("weights_version") or _NUMBERED_LATER.get(self.weights_digest)

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the digests of all networks: equal only where every network is."""
        return digest.of_data(dict(self.digests))

    def folder_name(self) -> str:
        """See `folder_name`."""
        return folder_name(self.identity, self.seed, self.key)

    def to_json(self) -> str:
        """The text of record.json."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Raises ValueError if the text is no record of a schema that this version reads."""
        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(data, dict) or data.get("schema") not in range(1, SCHEMA + 1):
            given = data.get("schema") if isinstance(data, dict) else type(data).__name__
            raise ValueError(f"record schema {given} is none of 1 to {SCHEMA}")
        data = _upgraded(data)
        names = {item.name for item in dataclasses.fields(cls)}
        try:
            record = cls(**{name: value for name, value in data.items() if name in names})
        except TypeError as error:
            raise ValueError(str(error)) from None
        try:
            _check_types(record)
        except (AttributeError, TypeError) as error:
            raise ValueError(f"it holds something else than was written: {error}") from None
        return record


def _upgraded(data: dict[str, Any]) -> dict[str, Any]:
    """The content of a record of an older schema as one of this schema; keys, digests and scores stay as written."""
    if data["schema"] == 1 and isinstance(data.get("protocol"), dict) and isinstance(data.get("notes"), dict):
        data = data | {
            "protocol": {**data["protocol"], "neighbours": 0},
            "notes": {**data["notes"], "memory": "not measured in record schema 1"},
        }
    return data | {"schema": SCHEMA}


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
    "Mapping": dict,
    "Sequence": list,
}


_PROTOCOL_NUMBERS = ("identities", "samples", "views", "retain", "probe_photos", "neighbours", "yaw_deg", "pitch")


def _check_types(record: Record) -> None:
    """Raises ValueError if a damaged or edited record holds something of another type than was written."""
    for item in dataclasses.fields(record):
        value: Any = getattr(record, item.name)
        declared = str(item.type).partition("[")[0]
        if not isinstance(value, _KINDS[declared]) or (isinstance(value, int) and not abs(value) < 2**53):
            raise ValueError(f"{item.name} is {value!r:.60}")
    if not isinstance(record.protocol.get("name"), str):
        raise ValueError("the record's protocol has no name")
    if record.status not in ("measured", "failed"):
        raise ValueError(f"status {record.status!r:.60} is neither measured nor failed")
    texts: list[Any] = [*record.judges, *record.digests.values(), *record.notes.values(), *record.versions.values()]
    texts += record.inputs.values()
    numbers: list[Any] = [*record.seconds.values(), *(value for pair in record.strangers.values() for value in pair)]
    numbers += [record.protocol.get(name, 0) for name in _PROTOCOL_NUMBERS]
    for score in record.scores:
        texts += [score.get("metric"), score.get("identity"), score.get("judge") or "", score.get("reason") or ""]
        _check_score(score)
    wrong = [value for value in texts if not isinstance(value, str)]
    wrong += [value for value in numbers if type(value) not in (int, float) or not abs(value) < 2**53]
    if wrong:
        raise ValueError(f"it holds {wrong[0]!r:.60} where something else was written")


_COUNTS = ("n", "lost_before", "lost_after", "after_request")
_OF_SCORE = ("metric", "judge", "identity", "value", "reason", *_COUNTS)


def _check_score(score: Mapping[str, Any]) -> None:
    missing = [name for name in _OF_SCORE if name not in score]
    if missing:
        raise ValueError(f"a score lacks {', '.join(missing)}")
    if any(type(score[name]) is not int or not abs(score[name]) < 2**53 for name in _COUNTS):
        raise ValueError(f"a count of {score['metric']!r:.60} is no integer")
    value = score["value"]
    if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
        raise ValueError(f"the value {value!r:.60} of {score['metric']!r:.60} is no finite number")


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


def folder_name(identity: str, seed: int, key: str) -> str:
    """IDENTITY-sSEED-KEY: readable, and unique through the key."""
    return f"{slug(identity)}-s{seed}-{key[:12]}"


def slug(text: str) -> str:
    """``text`` as a file name: letters, digits, dot, underscore and hyphen; a long one ends in a digest."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "_"
    return name if len(name) <= 100 else f"{name[:87]}-{digest.of_data(text)[:12]}"


def read(folder: str | Path) -> Record:
    """The record in one folder; raises ValueError or OSError."""
    return Record.from_json((Path(folder) / "record.json").read_text(encoding="utf-8"))


def scan(out: str | Path) -> tuple[list[StoredRecord], list[Corrupt]]:
    """All records below ``out``, measured and failed, in a stable order, and the folders that cannot be read.

    A failed trial counts once (its last attempt), and not at all if it was measured later. Raises BadInput if ``out``
    does not exist or holds no records.
    """
    root = Path(out)
    if root.is_file():
        raise BadInput(f"{out} is a file; give the directory that holds records/, such as --out of a run")
    if not root.is_dir():
        raise BadInput(f"no such directory: {out}; `guidebench run --out {out} …` makes it")
    stored: dict[str, StoredRecord] = {}
    corrupt: list[Corrupt] = []
    for path in _record_files(root, FAILURES) + _record_files(root, RECORDS):
        try:
            record = read(path.parent)
        except (ValueError, OSError) as error:
            corrupt.append(Corrupt(path.parent, str(error).splitlines()[0]))
        else:
            stored[record.key] = StoredRecord(record, path.parent)
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
        """Where evidence lies that trials have in common."""
        return self.root / SHARED

    def path(self, protocol: str, label: str, folder_name: str, *, kind: str = RECORDS) -> Path:
        """Where a trial's folder is or will be."""
        return self.root / kind / slug(protocol) / slug(label) / folder_name

    def measured(self, folder: Path) -> Record | None:
        """The record at this path if it is there, readable and measured."""
        try:
            record = read(folder)
        except (OSError, ValueError):
            return None
        return record if record.status == "measured" else None

    def attempts(self, failures: Path) -> list[Mapping[str, str]]:
        """When and why earlier attempts at a trial failed, oldest first."""
        found: list[Mapping[str, str]] = []
        for number in sorted(_numbers(failures)):
            try:
                record = read(failures / str(number))
            except (OSError, ValueError):
                continue
            found.append({"created": record.created, "reason": record.reason or ""})
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
        raise StorageError(f"cannot write {root}: {error.strerror or error}; choose another --out") from None


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


def scores_to_data(scores: list[Score]) -> list[dict[str, Any]]:
    """Scores as JSON-like data."""
    return [dataclasses.asdict(score) for score in scores]
