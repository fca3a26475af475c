"""One picture of a whole run: everybody's photograph, before, and after each method."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guidebench.errors import BadInput
from guidebench.reporting import selection
from guidebench.reporting.figures import Person, contact_sheet
from guidebench.store.contents import check_contents
from guidebench.store.folders import StoredRecord, person_folder, scan, storage_errors
from guidebench.store.unreadable import left_out

_log = logging.getLogger(__name__)


def gallery(
    directory: str | Path,
    out: str | Path,
    *,
    protocol: str | None,
    methods: Sequence[str] = (),
    testbed: str | None = None,
    conventions: str | None = None,
    weights: str | None = None,
    first: int | None = None,
) -> Path:
    """Writes a contact sheet of everybody whom measured trials below ``directory`` forgot; floors only if named.

    Of several seeds the lowest is shown. protocol, testbed, conventions, weights: which, if the records hold several.
    methods: labels, or names that tell versions of their code apart, in the order of their rows; none: all. first: only
    that many people, by name. What is left out is logged: trials that cannot be used, or whose pictures are missing or
    changed. Raises BadInput if there is nothing to show or records do not belong together, StorageError if ``out``
    cannot be written.
    """
    chosen = selection.Filter(testbed=testbed, conventions=conventions, protocol=protocol, weights=weights)
    readable, corrupt = scan(directory)
    stored = chosen.apply(readable, directory)
    stored = [
        item
        for item in stored
        if item.record.is_measured and (not item.record.spec.method.floor or set(methods) & set(_names(item)))
    ]
    known = sorted({item.record.spec.method.label for item in stored})
    wanted = list(methods) or known
    asked = [item for item in stored if set(wanted) & set(_names(item))]
    shown = [item for item in asked if _folders(item)]
    absent = [name for name in wanted if not any(name in _names(item) for item in stored)]
    if not shown or absent:
        names = ", ".join(absent or wanted)
        raise BadInput(f"{directory} holds no pictures of {names or 'any method'}; it has: {', '.join(known)}")
    for line in left_out(corrupt):
        _log.warning("left out: %s", line)
    _say_what_is_missing(asked)
    _refuse_versions(shown)
    shown = selection.of_one_protocol(shown, selection.Filter(), directory)
    record = shown[0].record
    numbered = record.instrument.weights_version
    version = f", weights version {numbered}" if numbered else ""
    title = f"{record.spec.protocol.title}, testbed {record.spec.testbed}{version}"
    rows = [item.record.spec.method.label for name in wanted for item in shown if name in _names(item)]
    people = _people(shown, list(dict.fromkeys(rows)))[:first]
    with storage_errors(Path(out)):
        contact_sheet(people, out, title=title)
    return Path(out)


def _names(item: StoredRecord) -> tuple[str, str]:
    return selection.Variant.of(item.record).names


def _refuse_versions(shown: Sequence[StoredRecord]) -> None:
    """Raises BadInput if rows would show what several versions of a method's code made."""
    versions: dict[str, set[str]] = {}
    for item in shown:
        label, name = _names(item)
        versions.setdefault(label, set()).add(name)
    for label, names in versions.items():
        if len(names) > 1:
            choices = " or ".join(f"`--method '{name}'`" for name in sorted(names))
            raise BadInput(f"'{label}' was recorded with several versions of its code; choose one: {choices}")


def _say_what_is_missing(asked: Sequence[StoredRecord]) -> None:
    trials = Counter(item.record.spec.method.label for item in asked)
    without = Counter(
        item.record.spec.method.label for item in asked if set(_folders(item)) != set(item.record.spec.people)
    )
    if without:
        listed = ", ".join(f"{label} ({count} of {trials[label]} trials)" for label, count in sorted(without.items()))
        _log.warning("left out, pictures are missing or changed: %s; `guidebench run --fresh` draws them again", listed)


def _folders(item: StoredRecord) -> dict[str, Path]:
    """Person -> folder of pictures, for everybody whom a trial forgot and who was drawn by it."""
    folders = {person: f"pictures/{person_folder(person)}" for person in item.record.spec.people}
    return {person: item.path / folder for person, folder in folders.items() if _is_drawn(item, folder)}


def _is_drawn(item: StoredRecord, folder: str) -> bool:
    """Whether somebody's pictures are there, and those that the trial drew."""
    try:
        check_contents(item.record, item.path, [f"{folder}/{name}.png" for name in ("photo", "before", "after")])
    except (OSError, ValueError):
        return False
    return (item.path / folder / "after.png").is_file()


def _people(shown: Sequence[StoredRecord], methods: Sequence[str]) -> list[Person]:
    drawn: dict[str, dict[str, Path]] = {}
    for item in sorted(shown, key=lambda item: (methods.index(item.record.spec.method.label), -item.record.spec.seed)):
        for person, folder in _folders(item).items():
            drawn.setdefault(person, {})[item.record.spec.method.label] = folder
    people = []
    for person in sorted(drawn):
        folders = drawn[person]
        first = next(iter(folders.values()))
        photo = _load(first / "photo.png") if (first / "photo.png").is_file() else None
        after = {label: _load(folder / "after.png") for label, folder in folders.items()}
        people.append(Person(person, photo, _load(first / "before.png"), after))
    return people


def _load(path: Path) -> np.ndarray:
    from guidebench import images

    try:
        return np.array(images.open_photo(path))
    except BadInput:
        raise BadInput(f"{path} is not a picture; measure that trial again with --fresh") from None
