"""One picture of a whole run: everybody's photograph, before, and after each method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guidebench.errors import BadInput
from guidebench.reporting import selection
from guidebench.reporting.figures import Person, contact_sheet
from guidebench.store.folders import StoredRecord, person_folder, scan, storage_errors


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
    """Writes a contact sheet of everybody whom measured trials below ``directory`` forgot, without floors.

    Of several seeds the lowest is shown. protocol, testbed, conventions, weights: which, if the records hold several.
    methods: labels in the order of their rows; none: all, as recorded. first: only that many people, by name. Raises
    BadInput if there is nothing to show or records do not belong together, StorageError if ``out`` cannot be written.
    """
    chosen = selection.Filter(testbed=testbed, conventions=conventions, protocol=protocol, weights=weights)
    stored = chosen.apply(scan(directory)[0], directory)
    stored = [item for item in stored if item.record.is_measured and not item.record.spec.method.floor]
    known = sorted({item.record.spec.method.label for item in stored})
    wanted = list(methods) or known
    shown = [item for item in stored if item.record.spec.method.label in wanted and _folders(item)]
    if not shown:
        raise BadInput(
            f"{directory} holds no pictures of {', '.join(wanted) or 'any method'}; it has: {', '.join(known)}"
        )
    shown = selection.of_one_protocol(shown, selection.Filter(), directory)
    record = shown[0].record
    numbered = record.instrument.weights_version
    version = f", weights version {numbered}" if numbered else ""
    title = f"{record.spec.protocol.title}, testbed {record.spec.testbed}{version}"
    people = _people(shown, wanted)[:first]
    with storage_errors(Path(out)):
        contact_sheet(people, out, title=title)
    return Path(out)


def _folders(item: StoredRecord) -> dict[str, Path]:
    """Person -> folder of pictures, for everybody whom a trial forgot and who was drawn."""
    folders = {person: item.path / "pictures" / person_folder(person) for person in item.record.spec.people}
    return {person: folder for person, folder in folders.items() if (folder / "after.png").is_file()}


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
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}; measure that trial again with --fresh") from None
