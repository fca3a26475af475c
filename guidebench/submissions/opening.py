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
from guidebench.text import brief


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
        archive.check_arrays(folder, file)
        if not (folder / NAME).is_file():
            raise BadInput(f"{file} holds no {NAME}; give a file that `guidebench submit pack` wrote")
        try:
            submission = Submission.from_json((folder / NAME).read_bytes())
        except BadInput as error:
            raise BadInput(f"{file}: {error}") from None
        _check_names(file, submission)
        digests = _digests(folder)
        _add_copies(folder, submission, digests)
        wrong = tuple(_wrong_files(submission, digests))
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


def _check_names(file: Path, submission: Submission) -> None:
    """Raises BadInput if submission.json names what no file in it can be called."""
    for name in submission.files:
        if reason := archive.odd_name(name):
            raise BadInput(f"{file} names {brief(name)}, {reason}; it is not opened")
    if len(submission.files) > archive.MOST_FILES:
        raise BadInput(f"{file} names {len(submission.files):,} files; it may name {archive.MOST_FILES:,}")


def _digests(folder: Path) -> dict[str, str]:
    """Every file by its path in the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: digest.of_file(path) for name, path in paths.items() if name != NAME}


def _add_copies(folder: Path, submission: Submission, digests: dict[str, str]) -> None:
    """Puts a file that the zip holds once in every place that it has; digests: of what is there, which they join."""
    there = {sha: name for name, sha in digests.items()}
    for name, sha in submission.files.items():
        if name not in digests and sha in there:
            target = folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(folder / there[sha], target)
            except OSError as error:
                raise BadInput(f"{brief(name)} of a submission cannot be unpacked: {error.strerror or error}") from None
            digests[name] = sha


def _wrong_files(submission: Submission, digests: dict[str, str]) -> Iterator[str]:
    for name in sorted(submission.files.keys() - digests.keys()):
        yield f"{name} is not in the file"
    for name, sha in sorted(digests.items()):
        if name not in submission.files:
            yield f"{name} is not in {NAME}"
        elif sha != submission.files[name]:
            yield f"{name} is not the file that was packed"
