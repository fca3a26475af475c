"""The code of methods and attacks: is it what is installed here, or what is included? Nothing of it runs here."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from guidebench import digest, registry, sources
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.errors import BadInput
from guidebench.store.folders import StoredRecord
from guidebench.submissions.check import Check, differs, listed, not_checked, ok
from guidebench.submissions.manifest import SOURCE, Submission


def check_code(
    submission: Submission, folder: Path, methods: Iterable[ChosenMethod], attacks: Iterable[ChosenAttack]
) -> list[Check]:
    """Whether the recorded digests of code are those of what is installed, or of what is included."""
    plugins: dict[tuple[str, str], tuple[str, ChosenMethod | ChosenAttack]] = {}
    for kind, found in (("method", methods), ("attack", attacks)):
        for plugin in found:
            plugins.setdefault((plugin.name, plugin.source_digest), (kind, plugin))
    included = set(_digests_of_included(submission, folder)) if submission.sources else set()
    as_installed: list[str] = []
    checks: list[Check] = []
    for kind, plugin in plugins.values():
        what = f"{kind} {plugin.name}"
        installed = None if registry.is_direct(plugin.spec) else _installed(kind, plugin.spec)
        if installed == plugin.source_digest:
            as_installed.append(plugin.name)
        elif plugin.source_digest in included:
            checks.append(ok("code", f"{what} ran as the included {SOURCE}/{submission.sources[0]}"))
        elif installed is not None:
            checks.append(differs("code", f"{what} ran other code than is installed here under that name"))
        elif submission.sources:
            says = f"{what} did not run the included {SOURCE}/{submission.sources[0]}, or files of it are missing"
            checks.append(differs("code", says))
        else:
            checks.append(not_checked("code", f"{what} is neither installed here nor included (pack --source FILE.py)"))
    if as_installed:
        checks.insert(0, ok("code", f"ran as installed here: {listed(as_installed)}"))
    return checks


def with_included_code(submission: Submission, folder: Path, stored: Sequence[StoredRecord]) -> list[StoredRecord]:
    """The records, which name the included code where their methods ran it: for those who trust it to run."""
    included = set(_digests_of_included(submission, folder)) if submission.sources else set()
    return [
        _named_there(item, folder / SOURCE / submission.sources[0], included) if included else item for item in stored
    ]


def _named_there(item: StoredRecord, file: Path, included: Set[str]) -> StoredRecord:
    spec = item.record.spec
    if not registry.is_direct(spec.method.spec) or spec.method.source_digest not in included:
        return item
    method = dataclasses.replace(spec.method, spec=f"{file}:{spec.method.spec.rpartition(':')[2]}")
    record = dataclasses.replace(item.record, spec=dataclasses.replace(spec, method=method))
    return dataclasses.replace(item, record=record)


def _installed(kind: str, name: str) -> str | None:
    """The digest of what is registered here; None: nothing is."""
    try:
        load = registry.load_method if kind == "method" else registry.load_attack
        return sources.source_digest(load(name))
    except BadInput:
        return None


def _digests_of_included(submission: Submission, folder: Path) -> Iterator[str]:
    """The digests that a class in the included file may have: its own, and with what ships as its base class."""
    try:
        own = sources.files_of(folder / SOURCE / submission.sources[0])
    except (RecursionError, MemoryError):  # what parsing odd code may lead to
        return
    bases: list[list[Path]] = [[]]
    bases += [sources.source_files(registry.load_method(entry.name)) for entry in registry.METHOD.ships()]
    bases += [sources.source_files(registry.load_attack(entry.name)) for entry in registry.ATTACK.ships()]
    for base in bases:
        yield digest.of_data([digest.of_file(path) for path in (*own, *base)])
