"""What liars do to results and to files of submissions, for tests that see it noticed."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from guidebench.store import folders
from guidebench.store.record import Record
from guidebench.submissions.manifest import Submission
from guidebench.submissions.pack import pack
from guidebench.submissions.verify import Verified, verify

LINK = "https://example.org/paper"
METHOD = Submission(form="method", name="A", link=LINK)


def trial(directory: Path, method: str, person: str) -> Path:
    """The folder of a trial."""
    (folder,) = directory.glob(f"records/*/{method}/{person}-*")
    return folder


def forge(folder: Path, change: Callable[[Record], Record] = lambda record: record) -> None:
    """Rewrites a record with all its digests, so that it looks as it was written."""
    record = change(Record.from_json((folder / "record.json").read_bytes()))
    folders.write_record(record, folder)


def with_value(record: Record, metric: str, value: float | None) -> Record:
    """The record with another value of a metric."""
    scores = tuple(
        dataclasses.replace(score, value=value) if score.metric == metric else score for score in record.outcome.scores
    )
    return dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores))


def change_arrays(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Rewrites an npz file."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored}
    change(arrays)
    np.savez(path, **arrays)


def rezipped(file: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """A copy of a zip with other contents; None: without the member."""
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info, content)
    return target


def lines(verified: Verified, result: str) -> list[tuple[str, str]]:
    """What has a result, as (about, says)."""
    return [(check.about, check.says) for check in verified.checks if check.result == result]


def differing(directory: Path, submission: Submission = METHOD, **options: int) -> list[tuple[str, str]]:
    """Packs a directory as it is, verifies it, and says what differs."""
    file = directory.parent / f"{directory.name}.zip"
    pack([directory], file, submission)
    return lines(verify(file, **{"sample": 0, **options}), "differs")
