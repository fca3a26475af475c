"""Packs results into one file that somebody else can check."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from guidebench import digest, sources
from guidebench.errors import BadInput
from guidebench.reporting.selection import Filter, Variant
from guidebench.store import folders, salts
from guidebench.store.contents import check_contents
from guidebench.store.evidence_files import SHARED, UnreadableEvidence, shared_files
from guidebench.store.folders import StoredRecord, person_folder, scan, storage_errors
from guidebench.store.unreadable import left_out, nothing_readable
from guidebench.submissions import archive
from guidebench.submissions.manifest import NAME, SOURCE, Submission
from guidebench.submissions.opening import opened

_log = logging.getLogger(__name__)

Some = int | Literal["all"]
_PICTURES = ("photo.png", "before.png", "after.png")


@dataclass(frozen=True)
class Packed:
    """What was packed."""

    submission: Submission
    records: int
    generators: int
    pictures: int  # trials with pictures of their people
    size: int  # bytes of the file


def pack(
    directories: Sequence[str | Path],
    out: str | Path,
    submission: Submission,
    *,
    chosen: Filter | None = None,
    source: str | Path | None = None,
    generators: Some = 4,
    pictures: Some = 4,
    against: str | Path | None = None,
) -> Packed:
    """Writes the records below directories, with what belongs to them, as one file.

    submission: what it says of itself; files and environment are filled in here. chosen: which records. source: the
    Python file of the method or attack; those beside it that it imports come along. generators, pictures: of how many
    trials per row kept generators and pictures come along. Which trials these are nobody chooses: for generators their
    keys decide; for pictures they are the first by the name of their group, each with its lowest seed. against: the
    submission that an attack is made against. Raises BadInput if there is nothing to pack, if directories contradict
    each other, or if neither a link nor the code says what was measured.
    """
    _refuse_anonymous(submission, source)
    records = _records(directories, chosen or Filter(), submission.attacks)
    members: dict[str, Path | bytes] = {}
    for item in records:
        members |= _numbers(item, submission.evidence)
    kept = [item for item in records if submission.evidence and (item.path / "generator").is_dir()]
    with_generator = _first_per_row(kept, generators, lambda item: digest.of_data(item.record.key))
    drawn = [item for item in records if any((item.path / "pictures").glob("*/after.png"))]
    with_pictures = _first_per_row(_of_lowest_seed(drawn), pictures, lambda item: item.record.spec.group)
    for item in with_generator:
        members |= _below(item, "generator") | _named(item, ["latents.npz"])
    for item in with_pictures:
        people = (f"pictures/{person_folder(person)}" for person in item.record.spec.people)
        members |= _named(item, [f"{folder}/{name}" for folder in people for name in _PICTURES])
    found_salts = {item.record.spec.salt for item in records}
    if len(found_salts) == 1:
        members[salts.FILE] = f"{found_salts.pop()}\n".encode("ascii")
    code = _code(source)
    members |= code
    digests = {
        name: digest.of_bytes(content) if isinstance(content, bytes) else digest.of_file(content)
        for name, content in sorted(members.items())
    }
    submission = replace(
        submission,
        sources=tuple(name.removeprefix(f"{SOURCE}/") for name in code),
        against=_against(against, records) if against else {},
        environment=environment_of(records),
        files=digests,
    )
    names = {*{sha: name for name, sha in reversed(digests.items())}.values()}  # the first of those that are alike
    stored = {name: content for name, content in members.items() if not _is_picture(name) or name in names}
    with storage_errors(Path(out)):
        archive.write({NAME: submission.to_json(), **stored}, Path(out))
    return Packed(submission, len(records), len(with_generator), len(with_pictures), Path(out).stat().st_size)


def _is_picture(name: str) -> bool:
    """Whether the zip holds a file once that is alike in all rows: a person's photograph, and the face before."""
    return "/pictures/" in name


def environment_of(records: Sequence[StoredRecord]) -> dict[str, tuple[str, ...]]:
    """Devices and versions of all records, by name: what a reader wants to know of where they were made."""
    found: dict[str, set[str]] = {}
    for item in records:
        where = item.record.environment
        for name, value in {"device": where.device, **where.versions}.items():
            found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def place_of(item: StoredRecord) -> str:
    """Where a record lies in the file: records/PROTOCOL/METHOD/TRIAL, or failures/PROTOCOL/METHOD/TRIAL/N."""
    kind, levels = (folders.RECORDS, 3) if item.record.is_measured else (folders.FAILURES, 4)
    return "/".join((kind, *item.path.absolute().parts[-levels:]))


def _refuse_anonymous(submission: Submission, source: str | Path | None) -> None:
    if not submission.link and source is None:
        raise BadInput("nobody can tell what was measured: give --link (a paper or code), --source FILE.py, or both")
    if submission.form == "attack" and not submission.evidence:
        raise BadInput("an attack without evidence shows nothing; leave out --without-evidence")


def _records(directories: Sequence[str | Path], chosen: Filter, attacks: Sequence[str]) -> list[StoredRecord]:
    """The records of all directories, each once, in the order of their places."""
    found: dict[str, StoredRecord] = {}
    corrupt = []
    for directory in directories:
        stored, unreadable = scan(directory)
        corrupt += unreadable
        for line in left_out(unreadable):
            _log.warning("left out: %s", line)
        for item in stored:
            known = found.setdefault(place_of(item), item)
            if known.record.digest != item.record.digest:
                raise BadInput(
                    f"{known.path} and {item.path} are records of one trial that differ; pack one of the directories"
                )
    named = ", ".join(map(str, directories))
    if not found:
        raise BadInput(nothing_readable(named, corrupt))
    records = chosen.apply([found[place] for place in sorted(found)], named)
    if not attacks:
        return records
    attacked = [item for item in records if {run.attack.label for run in item.record.attacks} >= {*attacks}]
    if not attacked:
        made = sorted({run.attack.label for item in records for run in item.record.attacks})
        raise BadInput(
            f"no trial in {named} was attacked by {' and '.join(attacks)}; attacks there: {', '.join(made) or 'none'}"
        )
    return attacked


def _numbers(item: StoredRecord, evidence: bool) -> dict[str, Path | bytes]:
    """The record, and what its scores were computed from."""
    found = {f"{place_of(item)}/record.json": item.path / "record.json"}
    if not evidence:
        return {**found}
    members = found | _named(item, ["evidence.npz", "progress.csv", *item.record.attack_files])
    if (item.path / "evidence.npz").is_file():
        try:
            members |= {f"{SHARED}/{path.name}": path for path in shared_files(item.path / "evidence.npz")}
        except UnreadableEvidence as error:
            raise BadInput(
                f"{item.path}: {error}; leave its method out, or pack records alone with --without-evidence"
            ) from None
    return {**members}


def _named(item: StoredRecord, names: Sequence[str]) -> dict[str, Path]:
    """Those of a record's files that are there. Raises BadInput if one is not the record's own."""
    there = [name for name in names if (item.path / name).is_file()]
    try:
        check_contents(item.record, item.path, there)
    except (OSError, ValueError) as error:
        raise BadInput(f"{item.path}: {error}; measure the trial again with --fresh, or leave its method out") from None
    return {f"{place_of(item)}/{name}": item.path / name for name in there}


def _below(item: StoredRecord, folder: str) -> dict[str, Path]:
    paths = [path for path in sorted((item.path / folder).rglob("*")) if path.is_file() and path.name[0] != "."]
    return _named(item, [path.relative_to(item.path).as_posix() for path in paths])


def _first_per_row(
    items: Sequence[StoredRecord], count: Some, order: Callable[[StoredRecord], str]
) -> list[StoredRecord]:
    """The first trials of each protocol and method, in an order."""
    rows: dict[tuple[str, Variant], list[StoredRecord]] = {}
    for item in sorted(items, key=order):
        rows.setdefault((item.record.spec.protocol.digest(), Variant.of(item.record)), []).append(item)
    return [item for own in rows.values() for item in (own if count == "all" else own[:count])]


def _of_lowest_seed(items: Sequence[StoredRecord]) -> list[StoredRecord]:
    lowest: dict[tuple[str, Variant, str], StoredRecord] = {}
    for item in sorted(items, key=lambda item: item.record.spec.seed):
        spec = item.record.spec
        lowest.setdefault((spec.protocol.digest(), Variant.of(item.record), spec.group), item)
    return list(lowest.values())


def _code(source: str | Path | None) -> dict[str, Path | bytes]:
    """A Python file and those beside it that it imports, by their paths in the file; the first defines the class."""
    if source is None:
        return {}
    path = Path(source).resolve()
    if not path.is_file() or path.suffix != ".py":
        raise BadInput(f"{source} is not a Python file; give the file of the method or attack")
    files = sources.files_of(path)
    top = Path(os.path.commonpath([file.parent for file in files]))
    return {f"{SOURCE}/{file.relative_to(top).as_posix()}": file for file in files}


def _against(file: str | Path, records: Sequence[StoredRecord]) -> Mapping[str, str]:
    """Trial's key -> digest of the record in the attacked submission."""
    with opened(file) as victim:
        theirs = {item.record.key: item.record.digest for item in scan(victim.folder)[0]}
    found = {item.record.key: theirs[item.record.key] for item in records if item.record.key in theirs}
    if not found:
        raise BadInput(f"{file} has none of the attacked trials; unpack it, attack what is in it, and pack that")
    return dict(sorted(found.items()))
