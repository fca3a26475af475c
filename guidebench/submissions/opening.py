"""A submission as a results directory: unpacked where nobody writes, and removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guidebench import digest
from guidebench.errors import BadInput
from guidebench.submissions import archive
from guidebench.submissions.manifest import NAME, Submission


@dataclass(frozen=True)
class Opened:
    """A submission that is unpacked for the moment."""

    file: Path  # the zip
    submission: Submission
    folder: Path  # the results directory; read-only
    wrong: tuple[str, ...] = ()  # files that are not as submission.json says, each with what is wrong


def found_in(folder: str | Path) -> list[Path]:
    """The zips in a folder, by name: the submissions of a leaderboard."""
    return sorted(path for path in Path(folder).iterdir() if path.suffix == ".zip" and path.is_file())


@contextmanager
def opened(file: str | Path, *, lenient: bool = False) -> Iterator[Opened]:
    """Unpacks a submission into a temporary folder, which every command that reads results reads.

    Its files cannot be written, and it is gone as the block ends. lenient: files that are not as submission.json says
    are listed instead of refused. Raises BadInput, in one line, if the file is not a submission, or is made to harm.
    """
    file = Path(file)
    with _temporary() as folder:
        archive.unpack(file, folder)
        if not (folder / NAME).is_file():
            raise BadInput(f"{file} holds no {NAME}; give a file that `guidebench submit pack` wrote")
        try:
            submission = Submission.from_json((folder / NAME).read_bytes())
        except BadInput as error:
            raise BadInput(f"{file}: {error}") from None
        wrong = tuple(_wrong_files(folder, submission))
        if wrong and not lenient:
            raise BadInput(f"{file}: {wrong[0]}; `guidebench submit verify {file}` shows all that does not match")
        _forbid_writing(folder)
        yield Opened(file, submission, folder, wrong)


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="guidebench-submission-"))
    try:
        yield folder
    finally:
        for above, _, _ in os.walk(folder):
            os.chmod(above, 0o755)
        shutil.rmtree(folder, ignore_errors=True)


def _forbid_writing(folder: Path) -> None:
    for above, _, names in os.walk(folder, topdown=False):
        for name in names:
            os.chmod(Path(above, name), 0o444)
        os.chmod(above, 0o555)


def _wrong_files(folder: Path, submission: Submission) -> Iterator[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {NAME}
    for name in sorted(submission.files.keys() - found):
        yield f"{name} is not in the file"
    for name in sorted(found):
        if name not in submission.files:
            yield f"{name} is not in {NAME}"
        elif digest.of_file(folder / name) != submission.files[name]:
            yield f"{name} is not the file that was packed"
