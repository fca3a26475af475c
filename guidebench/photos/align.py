"""Cuts faces out of photographs in the frame of a generator's training images (`guidebench.photos.frames`).

The largest face counts. A photograph that is such a cut already is handed on as it is: cut again it would lose
sharpness, and rows at its border would be repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from guidebench import files
from guidebench.errors import BadInput
from guidebench.photos import endings, frames
from guidebench.photos.frames import Fill, Frame

if TYPE_CHECKING:
    from guidebench.networks.mtcnn import FaceDetector

LEAST_SIDE = 128  # pixels; the crop of a smaller photograph would be enlarged at least four times
_LARGEST_SEEN = 4096  # pixels; a photograph with a longer side is shown to the detector in this size

# What is shown outside the photograph: GUIDE's sample crops repeat their last row, EG3D's training images mirror it.
FILLS: dict[str, Fill] = {"corrected": "mirror", "published": "edge"}

DetectorName = Literal["mtcnn", "insightface"]


@dataclass(frozen=True)
class Aligned:
    """One photograph's face, cut out."""

    image: np.ndarray  # (side, side, 3) uint8
    faces: int  # how many were found; the largest is taken
    outside: float  # share of the frame that is outside the photograph, 0 to 1
    enlarged: float  # pixels of the cut per pixel of the photograph
    as_given: bool = False  # the photograph was such a cut already and is only resized if need be


def align(path: Path, detector: FaceDetector, frame: Frame = "eg3d", *, fill: Fill = "mirror") -> Aligned:
    """The largest face of a photograph file in a frame. fill: see `guidebench.photos.frames.cut`.

    Raises BadInput, naming the file, if it is not an image, is smaller than 128 pixels, or shows no face.
    """
    from guidebench import images

    photo = images.open_photo(path, least=LEAST_SIDE)
    found, landmarks = _largest_face(photo, detector)
    if landmarks is None:
        raise BadInput(
            f"no face is found in {path}; give a photograph that shows it larger, upright and from the front"
        )
    side = frames.SIDES[frame]
    try:
        if frames.is_framed(frame, photo.size, landmarks):
            whole = photo if photo.width == side else photo.resize((side, side), Image.Resampling.LANCZOS)
            return Aligned(np.asarray(whole), found, 0.0, side / photo.width, as_given=True)
        cut = frames.cut(photo, landmarks, frame, fill=fill)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    width = float(np.linalg.norm(cut.corners[3] - cut.corners[0]))
    return Aligned(cut.image, found, frames.outside(cut.corners, photo.size), side / width)


def frame_of(photo: Image.Image, detector: FaceDetector) -> Frame | None:
    """The frame that an RGB photograph is a cut of, by its largest face; None if it is of neither."""
    _, landmarks = _largest_face(photo, detector)
    if landmarks is None:
        return None
    return next((frame for frame in frames.SIDES if frames.is_framed(frame, photo.size, landmarks)), None)


def _largest_face(photo: Image.Image, detector: FaceDetector) -> tuple[int, np.ndarray | None]:
    """How many faces an RGB photograph shows, and the landmarks (5, 2) of the largest, in its pixels."""
    seen = photo
    if (longest := max(photo.size)) > _LARGEST_SEEN:
        size = round(photo.width * _LARGEST_SEEN / longest), round(photo.height * _LARGEST_SEEN / longest)
        seen = photo.resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BICUBIC, reducing_gap=3.0)
    found = detector.detect(np.asarray(seen))
    if len(found) == 0:
        return 0, None
    sides = found.boxes[:, 2:4] - found.boxes[:, :2]
    landmarks = found.points(int(sides.prod(axis=1).argmax()))
    return len(found), (landmarks + 0.5) * (np.array(photo.size) / seen.size) - 0.5


def align_all(
    inputs: Sequence[Path], out: Path, detector: FaceDetector, frame: Frame = "eg3d", *, fill: Fill = "mirror"
) -> Iterator[tuple[bool, str]]:
    """Aligns files and folders of photographs to PNG files below ``out``; yields whether each went well, and a line.

    Photographs of a folder keep their relative paths. If the folder contains ``out``, everything below that is skipped.
    Raises BadInput before anything is written if there is nothing to align, or if a crop would overwrite another crop
    or one of the photographs.
    """
    targets: dict[Path, Path] = {}
    for given in inputs:
        for path, place in _photos(given, out):
            target = out / place.with_suffix(".png")
            if target in targets:
                raise BadInput(f"{targets[target]} and {path} would both be written to {target}; align them separately")
            targets[target] = path
    originals = {path.resolve() for path in targets.values()}
    if overwritten := next((target for target in targets if target.resolve() in originals), None):
        raise BadInput(f"{overwritten} was given and would be overwritten; name another folder for the crops")
    for target, path in targets.items():
        try:
            found = align(path, detector, frame, fill=fill)
        except BadInput as error:
            yield False, str(error)
            continue
        with files.written_aside(target, "wb") as stream:
            Image.fromarray(found.image).save(stream, format="PNG")
        yield True, _report(path, target, found, frame, fill)


def load_detector(name: DetectorName) -> FaceDetector:
    """The face detector of a judge, on the CPU. Raises MissingAsset naming the command that fetches its files."""
    from guidebench import assets

    if name == "mtcnn":
        from guidebench.networks import mtcnn

        (folder,) = {assets.find(f"mtcnn-{network}").parent for network in ("pnet", "rnet", "onet")}
        return mtcnn.load(folder, convention="corrected")
    from guidebench.assets.catalogue import named
    from guidebench.networks import arcface

    pack = named(assets.arcface_pack())
    return arcface.load_detector(assets.find(pack.id) / pack.members[0])


def _photos(given: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """The photographs of a file or folder, with their paths relative to the folder; nothing below ``out``."""
    if given.is_file():
        yield given, Path(given.name)
        return
    if not given.is_dir():
        raise BadInput(f"{given} does not exist; give photographs, or a folder of them")
    paths = endings.files_below(given)
    found = endings.photographs(paths, given)
    endings.tell_what_is_passed_over(set(paths) - set(found), given)
    if given.resolve() in out.resolve().parents:
        found = [path for path in found if out.resolve() not in path.resolve().parents]
    if not found:
        raise BadInput(f"{given} holds no {', '.join(sorted(endings.READ))} files; give a folder of photographs")
    for path in found:
        yield path, path.relative_to(given)


def _report(path: Path, target: Path, found: Aligned, frame: Frame, fill: Fill) -> str:
    notes = [f"the largest of {found.faces} faces"] if found.faces > 1 else []
    if found.as_given:
        notes.append(f"already in the frame of {frame}, not cut again")
    if found.outside >= 0.005:
        shown = "mirrored" if fill == "mirror" or frame == "ffhq" else "the border repeated"
        notes.append(f"{100 * found.outside:.0f} % is outside the photograph: {shown}")
    if found.enlarged > 2:
        notes.append(f"enlarged {found.enlarged:.1f} times")
    return f"{path} -> {target}" + (f" ({'; '.join(notes)})" if notes else "")
