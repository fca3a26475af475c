"""Submissions on a page: each names its rows, and submitted attacks say what they find of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guidebench.page.boards import Source
from guidebench.store.folders import RECORDS, StoredRecord, scan
from guidebench.submissions.against import Lowered, lowered
from guidebench.submissions.manifest import Submission
from guidebench.submissions.opening import Opened, found_in, opened


@dataclass(frozen=True)
class Gathered:
    """What a page is made of."""

    sources: tuple[Source, ...]
    found: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)  # by attacked trial: its key and label


@contextmanager
def gathered(paths: Sequence[Path]) -> Iterator[Gathered]:
    """Results directories, submissions and folders of submissions, open for as long as the block lasts.

    Raises BadInput, in one line, for a zip that is not a submission.
    """
    with ExitStack() as stack:
        sources, attacks = [], []
        for path in (one for given in paths for one in _expanded(given)):
            if path.suffix != ".zip":
                sources.append(Source(path))
                continue
            one = stack.enter_context(opened(path))
            if one.submission.form == "attack":
                attacks.append(one)
            else:
                sources.append(_source(one))
        yield Gathered(tuple(sources), _found(sources, attacks))


def _expanded(path: Path) -> list[Path]:
    """The submissions in a folder that holds no results of its own; else the path itself."""
    if path.is_dir() and not (path / RECORDS).is_dir():
        return found_in(path) or [path]
    return [path]


def _source(one: Opened) -> Source:
    said = one.submission
    return Source(one.folder, by=_who(said), link=said.link, tuning=said.tuning.in_words)


def _who(said: Submission) -> str:
    return f"{said.name}, {said.authors}" if said.authors else said.name


def _found(sources: Sequence[Source], attacks: Sequence[Opened]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    if not attacks:
        return found
    theirs = [item for source in sources for item in _measured(Path(source.directory))]
    for attack in attacks:
        for one in lowered(theirs, _measured(attack.folder), attack.submission.attacks):
            for trial in one.attacked:
                found.setdefault(trial, []).append(_in_words(one, attack.submission))
    return found


def _measured(folder: Path) -> list[StoredRecord]:
    return [item for item in scan(folder)[0] if item.record.is_measured]


def _in_words(one: Lowered, said: Submission) -> str:
    of = f"attack {one.attack} ({_who(said)}), {one.trials} of {one.total} trials"
    if one.shows_anybody:
        original = "" if one.original is None else f", {one.original:.2f} on the original generator"
        return f"{of}: finds ID {one.found:.2f}{original}; it can show anybody"
    if one.found > one.claimed:
        return f"{of}: the worst ID rises from {one.claimed:.2f} to {one.found:.2f}"
    return f"{of}: finds nothing above the worst ID of {one.claimed:.2f}"
