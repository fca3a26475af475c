"""Photo sets that the user owns: the people that a frozen rule picks from FFHQ and CelebA-HQ, kept as a manifest.

The rule gives every lab the same people. People are ordered by SHA-256("RULE:" + number), where RULE is
``guidebench-ffhq-v1`` or ``guidebench-celebahq-v1`` and the number is decimal without leading zeros: the index of an
FFHQ image, or CelebA's number of an identity with at least five images in CelebA-HQ. The first thirty are listed:
protocols forget the first twenty and retain the last ten. An identity of CelebA-HQ is listed with its five images of
lowest index, an identity of FFHQ with its only image. The first image is the one that is forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from guidebench import digest, files, places
from guidebench.errors import BadInput, MissingAsset, unknown_name
from guidebench.photos import align, duplicates, endings
from guidebench.photos.frames import SIDES, Frame

if TYPE_CHECKING:
    from guidebench.networks.mtcnn import FaceDetector

LISTED = 30  # people in a manifest: twenty to forget, ten to retain
LEAST_SIDE = 256  # pixels; the smallest photograph that is accepted, half of what EG3D draws
FFHQ_IMAGES = 70_000
CELEBAHQ_IMAGES = 30_000
CELEBAHQ_PHOTOS = 5  # of each listed identity
SOURCES = ("ffhq", "celebahq")
_FORMAT = 1  # of the manifest file
_NAMED = 5  # missing files that an error names; the rest are counted


@dataclass(frozen=True)
class Photo:
    """One photograph file."""

    file: str  # relative to the manifest's root, with forward slashes
    sha256: str
    side: int  # pixels; photographs are square


@dataclass(frozen=True)
class Listed:
    """One identity and its photographs, the first of which is the one that is forgotten."""

    identity: str
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Manifest:
    """The people of a photo set, in the order of its rule."""

    source: str  # "ffhq" or "celebahq"
    root: str  # absolute path of the folder that was scanned
    people: tuple[Listed, ...]
    framed: Mapping[str, int] = field(default_factory=dict)  # frame, or "neither" -> photographs; empty: not looked at

    @property
    def frame(self) -> Frame | None:
        """The frame that most photographs are cuts of; None if that is not known, or most are of neither."""
        count = sum(self.framed.values())
        return next((frame for frame in SIDES if 2 * self.framed.get(frame, 0) > count), None)

    @property
    def rule(self) -> str:
        """Name and version of the rule that picked the people."""
        return rule(self.source)

    @property
    def digest(self) -> str:
        """SHA-256 of the rule and all file contents by identity; not of paths, so that labs share it."""
        return digest.of_data(
            [self.rule, [[person.identity, [photo.sha256 for photo in person.photos]] for person in self.people]]
        )

    def path(self, photo: Photo) -> Path:
        """Where a photograph is."""
        return Path(self.root) / photo.file

    @property
    def lines(self) -> list[str]:
        """For `guidebench data show`."""
        count = sum(len(person.photos) for person in self.people)
        lines = [f"{self.source}: {len(self.people)} people, {count} photographs below {self.root}"]
        lines += [f"rule {self.rule}", f"digest {self.digest}", self.frames_line]
        for person in self.people:
            for photo in person.photos:
                lines.append(f"{person.identity:14} {photo.file}  {photo.side} px  {photo.sha256}")
        return lines

    @property
    def frames_line(self) -> str:
        """In which frames the photographs are."""
        if not self.framed:
            return "frame not looked at: MTCNN's files are missing; see `guidebench assets`, and scan again"
        return "frame " + ", ".join(f"{name} {count}" for name, count in sorted(self.framed.items()))

    @property
    def hint(self) -> str:
        """What to do next if frames, or else sizes, show that these are not crops like EG3D's, or ""."""
        if self.frame == "eg3d":
            return ""
        if self.frame == "ffhq":
            return (
                "these are FFHQ's frames, which stylegan2-ffhq takes as they are; for eg3d-ffhq, " + self._way_to_crops
            )
        photos = [photo for person in self.people for photo in person.photos]
        side = SIDES["eg3d"]
        others = sum(photo.side != side for photo in photos)
        if not others:
            return ""
        return (
            f"{others} of {len(photos)} photographs are not {side} px, the size of EG3D's crops; unless they are "
            f"cropped in the same way, {self._way_to_crops}"
        )

    @property
    def _way_to_crops(self) -> str:
        return (
            f"run `guidebench align $(guidebench data show {self.source} --files) CROPS` and then "
            f"{_scan_command(self.source, 'CROPS')}"
        )

    def as_data(self) -> dict[str, Any]:
        """The content of the manifest file."""
        return {"format": _FORMAT, "rule": self.rule, "digest": self.digest, **dataclasses.asdict(self)}

    @classmethod
    def from_data(cls, data: Any) -> Manifest:
        """What `as_data` gave. Raises ValueError if the data is anything else, or does not match its digest."""
        try:
            people = tuple(
                Listed(str(person["identity"]), tuple(Photo(**photo) for photo in person["photos"]))
                for person in data["people"]
            )
            framed = {str(name): int(count) for name, count in data.get("framed", {}).items()}
            manifest = cls(str(data["source"]), str(data["root"]), people, framed)
            if data["format"] != _FORMAT or manifest.digest != data["digest"] or not people:
                raise ValueError("its content does not match its digest")
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"it is not a manifest: {type(error).__name__} {error}") from None
        return manifest


def rule(source: str) -> str:
    """Name and version of the rule that picks a source's people."""
    return f"guidebench-{source}-v1"


def ordered(numbers: Iterable[int], source: str) -> list[int]:
    """The numbers in the order of a source's rule: by SHA-256("RULE:" + number), compared as bytes.

    >>> ordered(range(FFHQ_IMAGES), "ffhq")[:3]
    [25605, 25459, 34602]
    """
    return sorted(numbers, key=lambda number: hashlib.sha256(f"{rule(source)}:{number}".encode()).digest())


def ffhq_people() -> dict[str, list[int]]:
    """Identity -> index of its only image, in order: the first thirty of FFHQ's 70,000."""
    return {f"ffhq-{index:05d}": [index] for index in ordered(range(FFHQ_IMAGES), "ffhq")[:LISTED]}


def celebahq_people(identities: Path, mapping: Path) -> dict[str, list[int]]:
    """Identity -> indices of its five listed images in CelebA-HQ, in order.

    identities: CelebA's ``identity_CelebA.txt``. mapping: ``image_list.txt`` of CelebA-HQ or
    ``CelebA-HQ-to-CelebA-mapping.txt`` of CelebAMask-HQ. Raises BadInput if one is not that file or is incomplete.
    """
    owner = dict(_identities(identities))
    images: dict[int, list[int]] = defaultdict(list)
    seen = set()
    for index, original in _mapping(mapping):
        if original not in owner:
            raise BadInput(
                f"{mapping} names {original}, which {identities} does not; give the complete files of CelebA"
            )
        images[owner[original]].append(index)
        seen.add(index)
    if seen != set(range(CELEBAHQ_IMAGES)):
        raise BadInput(
            f"{mapping} lists {len(seen):,} images, CelebA-HQ has {CELEBAHQ_IMAGES:,}, counted from 0; give the "
            "complete file, because a part of it would pick other people"
        )
    enough = [identity for identity, found in images.items() if len(found) >= CELEBAHQ_PHOTOS]
    if len(enough) < LISTED:
        raise BadInput(
            f"{identities} gives {len(enough)} people {CELEBAHQ_PHOTOS} images of CelebA-HQ, {LISTED} are "
            "needed; give CelebA's identity_CelebA.txt"
        )
    chosen = ordered(enough, "celebahq")[:LISTED]
    return {f"celeba-{identity}": sorted(images[identity])[:CELEBAHQ_PHOTOS] for identity in chosen}


def scan(
    source: str, root: Path, people: Mapping[str, Sequence[int]], detector: FaceDetector | None = None
) -> Manifest:
    """Finds, checks and hashes the photographs of these people below ``root``; other files are not looked at.

    detector: finds the faces by which frames are told; without one the manifest does not say.
    Raises BadInput if one is missing, ambiguous, unreadable, not square or smaller than 256 pixels per side.
    """
    if not root.is_dir():
        raise BadInput(f"{root} is not a folder; give the folder that holds the images of {source}")
    folders = _Folders(root)
    found = {index: folders.file_of(index) for indices in people.values() for index in indices}
    missing = sorted(index for index, path in found.items() if path is None)
    if missing:
        named = ", ".join(f"{index:05d}" for index in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        unread = next(filter(None, (folders.file_of(index, endings.NOT_READ) for index in missing)), None)
        there = f"; {unread.name} is there, but {unread.suffix.lower()} is not read" if unread else ""
        raise BadInput(
            f"{len(missing)} of the {len(found)} photographs that {rule(source)} asks for are not below {root}: "
            f"image {named}{more}{there}; accepted names are 00000.png, img00000000.png and 0.png (or "
            f"{', '.join(sorted(endings.READ))}), in that folder or in sub-folders of a thousand images"
        )
    listed, framed = [], Counter[str]()
    for identity, indices in people.items():
        opened = [_photo(root, path) for index in indices if (path := found[index]) is not None]
        _warn_of_duplicates(source, identity, indices, [picture for _, picture in opened])
        listed.append(Listed(identity, tuple(photo for photo, _ in opened)))
        if detector:
            framed.update(align.frame_of(picture, detector) or "neither" for _, picture in opened)
    return Manifest(source, str(root.resolve()), tuple(listed), dict(framed))


def _warn_of_duplicates(source: str, identity: str, indices: Sequence[int], pictures: Sequence[Image.Image]) -> None:
    """Warns of pictures that look alike, and of CelebA-HQ's known pairs; the rule is frozen and keeps both."""
    pairs = set(duplicates.alike(pictures))
    if source == "celebahq":
        pairs |= {(indices.index(one), indices.index(other)) for one, other in duplicates.known_pairs(indices)}
    duplicates.warn(identity, [f"image {index:05d}" for index in indices], sorted(pairs))


def _path(source: str) -> Path:
    return places.manifests_folder() / f"{source}.json"


def write(manifest: Manifest) -> Path:
    """Writes a manifest where `read` finds it; one that is there already is replaced."""
    path = _path(manifest.source)
    files.write_json(manifest.as_data(), path)
    return path


def read(source: str) -> Manifest:
    """The manifest of a source. Raises MissingAsset if there is none, BadInput if it is damaged."""
    if source not in SOURCES:
        raise unknown_name("photo set", source, SOURCES, command="guidebench data --help")
    path = _path(source)
    try:
        return Manifest.from_data(json.loads(files.read_bytes(path)))
    except FileNotFoundError:
        raise MissingAsset(absence(source)) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged ({error}); {remedy(source)}") from None


def absence(source: str) -> str:
    """Why a source cannot be used if it was never scanned, or "" if it was."""
    path = _path(source)
    return (
        ""
        if path.is_file()
        else f"the photographs of {source} have not been scanned: {path} is missing; {remedy(source)}"
    )


def remedy(source: str) -> str:
    """The command that writes a source's manifest, as half a sentence."""
    return f"{_scan_command(source, 'FOLDER')} writes it"


def _scan_command(source: str, root: str) -> str:
    more = " --identities identity_CelebA.txt --mapping image_list.txt" if source == "celebahq" else ""
    return f"`guidebench data scan {source} {root}{more}`"


class _Folders:
    """The folders in which FFHQ, CelebA-HQ and EG3D's crops of them are stored, each listed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def file_of(self, index: int, formats: Collection[str] = endings.READ) -> Path | None:
        """The file of an image, by the usual names, in upper or lower case. Raises BadInput if there are several."""
        stems = dict.fromkeys((f"{index:05d}", f"img{index:08d}", str(index)))
        places = dict.fromkeys((".", f"{index - index % 1000:05d}", f"{index // 1000:05d}"))
        names = [f"{stem}{ending}" for stem in stems for ending in sorted(formats)]
        found = [path for place in places for name in names for path in self._names(self._root / place).get(name, [])]
        if len(found) > 1:
            raise BadInput(
                f"{self._root} holds image {index} twice: {found[0]} and {found[1]}; give the folder of one of them"
            )
        return found[0] if found else None

    def _names(self, folder: Path) -> dict[str, list[Path]]:
        """Name in lower case -> the files that are called so."""
        if folder not in self._listed:
            names: dict[str, list[Path]] = defaultdict(list)
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.suffix.lower() in endings.READ | endings.NOT_READ and path.is_file():
                    names[path.name.lower()].append(path)
            self._listed[folder] = names
        return self._listed[folder]


def _photo(root: Path, path: Path) -> tuple[Photo, Image.Image]:
    from guidebench import images

    picture = images.open_photo(path, least=LEAST_SIDE, must_be_square=True)
    return Photo(path.relative_to(root).as_posix(), digest.of_file(path), picture.width), picture


def _identities(path: Path) -> Iterator[tuple[str, int]]:
    """Original file -> identity, from lines such as ``000001.jpg 2880``."""
    for number, words in _rows(path):
        if len(words) != 2 or not words[1].isdecimal():
            raise BadInput(f"{path}:{number} is not of the form '000001.jpg 2880'; give CelebA's identity_CelebA.txt")
        yield words[0], int(words[1])


def _mapping(path: Path) -> Iterator[tuple[int, str]]:
    """Index in CelebA-HQ -> original file, from columns that the first line names ``idx orig_idx orig_file …``."""
    rows = _rows(path)
    _, head = next(rows, (1, []))
    if "idx" not in head or "orig_file" not in head:
        raise BadInput(
            f"{path} does not start with the columns 'idx orig_idx orig_file'; give CelebA-HQ's image_list.txt or "
            "CelebAMask-HQ's CelebA-HQ-to-CelebA-mapping.txt"
        )
    for number, words in rows:
        if len(words) != len(head) or not words[head.index("idx")].isdecimal():
            raise BadInput(f"{path}:{number} does not match its columns {' '.join(head)}; get the file again")
        yield int(words[head.index("idx")]), words[head.index("orig_file")]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of each line that is not empty."""
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"cannot read {path}: {reason}; give the text file as CelebA and CelebA-HQ publish it") from None
    return ((number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
