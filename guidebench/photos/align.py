"""Cuts faces out of photographs in the frame of EG3D's training images, from five landmarks.

EG3D (arXiv 2112.07945, supplement) crops as deep 3-D face reconstruction does (Deng et al., arXiv 1903.08527): a weak
perspective of a 3-D template is fitted to five landmarks, and the photograph is scaled and shifted, never turned, so
that the template's origin comes to the same place in the same size. That template is not part of this package. In its
place, the landmarks of five crops that GUIDE publishes are used, found by this package's own MTCNN. docs/data.md shows
how close that comes.
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
from guidebench.photos import endings

if TYPE_CHECKING:
    from guidebench.networks.mtcnn import FaceDetector

CROP = 512  # pixels per side
LEAST_SIDE = 128  # pixels; a crop of a smaller photograph is black at the border or enlarged at least four times

# Left eye, right eye, nose, left and right corner of the mouth as (x, y) in a crop of 512 x 512 whose first pixel is
# (0, 0): means and standard deviations over the five sample crops of GUIDE's repository (data/CelebAHQ/512).
TEMPLATE = np.array([[181.56, 202.47], [314.32, 206.26], [238.20, 284.17], [181.56, 336.95], [314.45, 341.01]])
SPREAD = np.array([[3.49, 7.49], [6.47, 7.23], [14.34, 7.65], [7.16, 3.78], [6.87, 4.38]])
TEMPLATE.setflags(write=False)
SPREAD.setflags(write=False)

_PLANE = [0, 1, 3, 4]  # eyes and corners of the mouth are roughly in a plane, the nose in front of it
_NOSE_LEAD = 0.3  # the head's centre moves against the nose by this part when it turns; fits the five crops best

DetectorName = Literal["mtcnn", "insightface"]


@dataclass(frozen=True)
class Aligned:
    """One photograph's face, cut out."""

    image: np.ndarray  # (512, 512, 3) uint8
    faces: int  # how many were found; the largest is taken
    outside: float  # share of the crop that is outside the photograph and therefore black, 0 to 1
    enlarged: float  # pixels of the crop per pixel of the photograph


def crop_transform(landmarks: np.ndarray) -> np.ndarray:
    """The scaling and shift that take a face into the frame of EG3D's crops: no rotation.

    landmarks: (5, 2) as (x, y) pixels in the order of `TEMPLATE`. Returns the 2 x 3 matrix of x ↦ s x + t from the
    photograph to the crop, float64. As for a weak perspective, the scale is the mean of the two rows' lengths of the
    affine map that takes the template's eyes and mouth best to the photograph's (the least squares are taken there),
    so a face that is tilted, or broad and short, keeps its size on average; the centre is corrected by where the nose
    points. Raises BadInput if the landmarks fix no scale.

    >>> crop_transform(2 * TEMPLATE).round(6)[:, :2].tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    points = np.asarray(landmarks, dtype=np.float64)
    corners = np.column_stack([TEMPLATE[_PLANE], np.ones(len(_PLANE))])
    affine = np.linalg.lstsq(corners, points[_PLANE], rcond=None)[0]  # (3, 2): [x y 1] @ affine is the photograph's
    rows = np.linalg.norm(affine[:2], axis=0)
    if not np.isfinite(rows).all() or rows.min() < 1e-6 * max(1.0, rows.max()):
        raise BadInput("the landmarks of this face coincide or are on one line; give another photograph")
    scale = 2 / rows.sum()
    centre = TEMPLATE[_PLANE].mean(axis=0)
    turned = points[2] - np.append(TEMPLATE[2], 1) @ affine
    shift = centre - scale * (np.append(centre, 1) @ affine - _NOSE_LEAD * turned)
    return np.column_stack([scale * np.eye(2), shift])


def crop(photo: Image.Image, transform: np.ndarray) -> tuple[np.ndarray, float]:
    """Cuts the crop of a transform out of an RGB photograph, resized with Pillow's bicubic filter, antialiased.

    Returns (512, 512, 3) uint8 and the share of it that is outside the photograph and therefore black, 0 to 1.
    """
    scale = transform[0, 0]
    # Landmarks count pixel centres from 0, boxes count pixel edges: a centre is half a pixel from its edge.
    left, top = (0.5 * (scale - 1) - transform[:, 2]) / scale
    side = CROP / scale
    width, height = photo.size
    inside = max(0.0, min(left + side, width) - max(left, 0)) * max(0.0, min(top + side, height) - max(top, 0))
    reach = int(np.ceil(2 * max(1.0, 1 / scale)))  # of the bicubic filter: pixels around the box that it looks at
    corner = int(np.floor(left)) - reach, int(np.floor(top)) - reach
    canvas = Image.new("RGB", 2 * (int(np.ceil(side)) + 1 + 2 * reach,))
    canvas.paste(photo, (-corner[0], -corner[1]))
    start = left - corner[0], top - corner[1]
    image = canvas.resize((CROP, CROP), Image.Resampling.BICUBIC, box=(*start, start[0] + side, start[1] + side))
    return np.asarray(image), 1 - inside / side**2


def align(path: Path, detector: FaceDetector) -> Aligned:
    """The largest face of a photograph file in the frame of EG3D's crops.

    Raises BadInput, naming the file, if it is not an image, is smaller than 128 pixels, or shows no face.
    """
    from guidebench import images

    photo = images.open_photo(path, least=LEAST_SIDE)
    found = detector.detect(np.asarray(photo))
    if len(found) == 0:
        raise BadInput(
            f"no face is found in {path}; give a photograph that shows it larger, upright and from the front"
        )
    sides = found.boxes[:, 2:4] - found.boxes[:, :2]
    try:
        transform = crop_transform(found.points(int(sides.prod(axis=1).argmax())))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    image, outside = crop(photo, transform)
    return Aligned(image, len(found), outside, float(transform[0, 0]))


def align_all(inputs: Sequence[Path], out: Path, detector: FaceDetector) -> Iterator[tuple[bool, str]]:
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
            found = align(path, detector)
        except BadInput as error:
            yield False, str(error)
            continue
        with files.written_aside(target, "wb") as stream:
            Image.fromarray(found.image).save(stream, format="PNG")
        yield True, _report(path, target, found)


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
    paths = sorted(given.rglob("*"))
    found = endings.photographs(paths, given)
    endings.tell_what_is_passed_over(paths, given)
    if given.resolve() in out.resolve().parents:
        found = [path for path in found if out.resolve() not in path.resolve().parents]
    if not found:
        raise BadInput(f"{given} holds no {', '.join(sorted(endings.READ))} files; give a folder of photographs")
    for path in found:
        yield path, path.relative_to(given)


def _report(path: Path, target: Path, found: Aligned) -> str:
    notes = [f"the largest of {found.faces} faces"] if found.faces > 1 else []
    if found.outside >= 0.005:
        notes.append(f"{100 * found.outside:.0f} % is outside the photograph and black")
    if found.enlarged > 2:
        notes.append(f"enlarged {found.enlarged:.1f} times")
    return f"{path} -> {target}" + (f" ({'; '.join(notes)})" if notes else "")
