"""The faces of a trial: photograph, before and after, from the front, and from the other views that its sheet shows."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from guidebench.errors import BadInput
from guidebench.images import open_photo
from guidebench.reporting.figures import Cell, Row, boxes
from guidebench.store.arrays import opened
from guidebench.store.contents import check_contents
from guidebench.store.folders import StoredRecord, person_folder

if TYPE_CHECKING:
    from guidebench.store.record import Record

VIEWS = 3  # that sheets show of a forgotten person: from one side, the front, the other side
QUALITY = 88  # of JPEG
_ALIKE = 4.0  # mean difference, of 255, up to which a picture cut from a sheet is that of its own file


@dataclass(frozen=True)
class Faces:
    """A forgotten person's pictures, (r, r, 3) uint8."""

    photo: np.ndarray | None  # None: identities are sampled
    before: tuple[np.ndarray, ...]  # by view; one: the front
    after: tuple[np.ndarray, ...]  # likewise, after the last request


def faces_of(stored: StoredRecord, person: str) -> Faces | None:
    """Somebody's pictures as the trial drew them; None if they are missing, or not the record's own."""
    folder = f"pictures/{person_folder(person)}"
    names = [f"{folder}/{name}.png" for name in ("photo", "before", "after")]
    try:
        check_contents(stored.record, stored.path, [*names, "pictures/sheet.png", "latents.npz"])
        photo, before, after = (_read(stored.path / name) for name in names)
    except (OSError, ValueError, BadInput):
        return None
    if before is None or after is None:
        return None
    views = _views(stored, person, photo is not None, before, after)
    return Faces(photo, *(views or ((before,), (after,))))


def _read(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    return np.array(open_photo(path))


def as_jpeg(picture: np.ndarray) -> bytes:
    """A picture as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=QUALITY, optimize=True)
    return stream.getvalue()


def name_of(jpeg: bytes) -> str:
    """The name of a picture's file, from its content: what trials share is stored once."""
    return f"{hashlib.sha256(jpeg).hexdigest()[:16]}.jpg"


# Views -----------------------------------------------------------------------------------------------------------

_Views = tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]


def _views(stored: StoredRecord, person: str, has_photo: bool, before: np.ndarray, after: np.ndarray) -> _Views | None:
    """Before and after from `VIEWS` sides, cut from the trial's sheet; None where the sheet does not show them.

    Sheets of several requests show several afterwards, and are not cut. A cut is used only if its front pictures are
    those of ``before`` and ``after``.
    """
    try:
        sheet = _read(stored.path / "pictures/sheet.png") if len(stored.record.spec.requests) == 1 else None
    except BadInput:
        return None
    if sheet is None or before.shape != after.shape:
        return None
    for has_target in (True, False):
        cells = _cells(stored, person, has_photo, has_target, before.shape)
        if cells is None:
            return None
        cuts = [_cut(sheet, box, before.shape) for box in cells]
        first = int(has_photo)
        sides = cuts[first : first + VIEWS], cuts[-VIEWS:]
        if all(_are_alike(own[VIEWS // 2], front) for own, front in zip(sides, (before, after), strict=True)):
            return _around(before, sides[0]), _around(after, sides[1])
    return None


def _around(front: np.ndarray, cuts: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    return (*cuts[: VIEWS // 2], front, *cuts[VIEWS // 2 + 1 :])


def _cells(
    stored: StoredRecord, person: str, has_photo: bool, has_target: bool, shape: tuple[int, ...]
) -> list[tuple[int, int, int, int]] | None:
    """Where the sheet shows somebody."""
    subjects = _subjects(stored.record, stored.path)
    if ("forget", person) not in subjects:
        return None
    blank = np.zeros(shape, np.uint8)
    counts = {"forget": int(has_photo) + 2 * VIEWS + int(has_target)}
    rows = [
        Row(name, [Cell(blank, "before")] * counts.get(role, int(has_photo) + 2), group=role) for role, name in subjects
    ]
    return boxes(rows)[subjects.index(("forget", person))]


def _subjects(record: Record, folder: Path) -> list[tuple[str, str]]:
    """Role and name of everybody on the sheet, in order; without latents.npz the first one at least."""
    try:
        with opened(folder / "latents.npz") as arrays:
            return [(str(role), str(name)) for role, name in zip(arrays["role"], arrays["identity"], strict=True)]
    except (OSError, ValueError, KeyError):
        return [("forget", record.spec.people[0])]


def _cut(sheet: np.ndarray, box: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """A picture of the sheet at its own size; a box that the sheet does not reach is grey."""
    left, top, right, bottom = box
    inner = sheet[top + 1 : bottom - 1, left + 1 : right - 1]  # without the hairline
    if inner.shape[:2] != (bottom - top - 2, right - left - 2):
        return np.full(shape, 128, np.uint8)
    whole = np.pad(inner, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return np.array(Image.fromarray(whole).resize((shape[1], shape[0]), Image.Resampling.BOX))


def _are_alike(cut: np.ndarray, picture: np.ndarray) -> bool:
    return float(np.abs(cut.astype(float) - picture.astype(float)).mean()) <= _ALIKE
