"""The user's own photographs, for ``--photos DIR`` on any testbed: a folder with one sub-folder per person."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from guidebench import digest, images
from guidebench.errors import BadInput
from guidebench.photos import duplicates, endings
from guidebench.testbed import Faces, Person

SOURCE = "photos"


class FolderFaces(Faces):
    """``DIR/PERSON/*.jpg``: people and photographs in the order of their names; the first photograph is forgotten.

    Photographs should be cropped like the testbed's own. They are cut to their centre square and resized.
    """

    def __init__(self, root: str | Path, resolution: int) -> None:
        """Raises BadInput as `list_people` does."""
        self._root = Path(root)
        self._resolution = resolution
        self._people = _found(self._root)
        self._compared: dict[str, int] = {}  # person -> how many photographs were compared with one another

    def sources(self) -> Mapping[str, int]:
        """See `guidebench.testbed.Faces.sources`."""
        return {SOURCE: len(self._people)}

    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        """See `guidebench.testbed.Faces.people`."""
        names = list(self._people)
        return [self._person(names[index], photos) for index in indices]

    def _person(self, name: str, photos: int) -> Person:
        files = self._people[name]
        if len(files) < photos:
            raise BadInput(
                f"{self._root / name} holds {len(files)} photographs, {photos} are needed; add some, or lower "
                "probe_photos in the protocol"
            )
        shown = files[:photos]
        pictures = torch.stack([images.load(path, self._resolution) for path in shown])
        self._warn_of_duplicates(name, shown, pictures)
        return Person(name, pictures, tuple(map(str, shown)))

    def _warn_of_duplicates(self, name: str, shown: Sequence[Path], pictures: torch.Tensor) -> None:
        """Warns of pairs that are nearly the same picture, of each once."""
        before = self._compared.get(name, 0)
        if len(shown) <= before:
            return
        self._compared[name] = len(shown)
        pairs = duplicates.alike([Image.fromarray(array) for array in images.to_arrays(pictures)])
        duplicates.warn(name, [path.name for path in shown], [pair for pair in pairs if pair[1] >= before])

    def manifest(self, source: str) -> str:
        """Digest of all file contents by person."""
        return digest.of_data({name: [digest.of_file(path) for path in files] for name, files in self._people.items()})


def list_people(root: Path) -> dict[str, list[Path]]:
    """Person -> photograph files, sorted by name and number.

    What is passed over is logged: hidden files and folders, files beside the folders, other types of files.

    Raises BadInput if ``root`` is not a folder, has no sub-folder, or one of them holds no photograph.
    """
    people = _found(root)
    used = {root / name for name in people} | {file for files in people.values() for file in files}
    inside = [*root.iterdir(), *(path for name in people for path in (root / name).iterdir())]
    endings.tell_what_is_passed_over([path for path in inside if path not in used], root)
    return people


def _found(root: Path) -> dict[str, list[Path]]:
    if not root.is_dir():
        raise BadInput(f"photos: {root} is not a folder; give a folder with one sub-folder per person")
    people = {}
    folders = [path for path in root.iterdir() if path.is_dir() and not endings.is_hidden(Path(path.name))]
    for folder in sorted(folders, key=_natural):
        if not folder.name.isprintable():
            raise BadInput(f"photos: {root} holds a folder named {folder.name!r}; rename it to something printable")
        files = sorted(endings.photographs(folder.iterdir(), folder), key=_natural)
        if not files:
            raise BadInput(
                f"photos: {folder} holds no {', '.join(sorted(endings.READ))} files; put this person's photographs "
                "there or remove the folder"
            )
        people[folder.name] = files
    if not people:
        raise BadInput(f"photos: {root} has no sub-folder; make one for each person, with photographs in it")
    return people


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
