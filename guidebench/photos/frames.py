"""The frames in which generators were trained, from five landmarks of a face: where they are, and what they show.

- ``eg3d``: EG3D's crops of 512 px (arXiv 2112.07945, supplement), as deep 3-D face reconstruction cuts them (Deng et
  al., arXiv 1903.08527): the weak perspective of a 3-D template is fitted to the landmarks, and its origin comes to the
  middle, at 300 px per unit in a frame of 1024 px, of which the middle 700 px are kept and resized to 512.
- ``ffhq``: FFHQ's squares of 1024 px (Karras et al., arXiv 1812.04948, appendix A), which turn with the head.

Landmarks are (5, 2) points (x, y) in pixels, y down: left eye, right eye, nose, left and right corner of the mouth as
seen. Corners are (4, 2) points in the order top left, bottom left, bottom right, top right of a frame, where a
photograph of w x h pixels reaches from (0, 0) to (w, h).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from guidebench.errors import BadInput

Frame = Literal["eg3d", "ffhq"]
Fill = Literal["edge", "mirror"]  # what is shown outside the photograph: its last pixels repeated, or its mirror image

SIDES: dict[Frame, int] = {"eg3d": 512, "ffhq": 1024}  # pixels of a cut

# Five points of the mean of a face model, x right, y up, z to the viewer, in units of about half a face: the landmarks
# of Deep3DFaceRecon (Deng et al., arXiv 1903.08527), by which EG3D's training images were cut.
TEMPLATE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)
TEMPLATE.setflags(write=False)
_FIT = np.linalg.pinv(np.column_stack([TEMPLATE, np.ones(5)]))  # (4, 5): least squares over the five points

_UNIT, _WHOLE, _KEPT = 300, 1024, 700  # px per unit of the template, px of the frame, px in its middle that are kept
_MARGIN = 4  # px around a turned frame, for the filters
_FINEST = 4  # px of a photograph per px of the cut; a finer photograph is reduced before it is turned
_SUPERSAMPLED = 4  # FFHQ's square is sampled at so many times the side of the cut, then reduced
_DIRECTLY = 256  # px; a square of this side is sampled once, as the encoders of StyleGAN2 do

# How far a photograph's border may be from a frame that was cut by other landmarks, in sides of the photograph, and how
# far its eyes may be from level. GUIDE's five crops are up to 3.2 % and 0.016 sides off (docs/data.md). The two frames
# differ by 6 % in size and by 0.09 sides in height, so none is taken for the other.
_SAME_SIZE: dict[Frame, float] = {"eg3d": 0.06, "ffhq": 0.12}
_SAME_PLACE: dict[Frame, float] = {"eg3d": 0.035, "ffhq": 0.05}
_LEVEL = np.radians(10)


@dataclass(frozen=True)
class Cut:
    """What a frame shows of a photograph."""

    image: np.ndarray  # (side, side, 3) uint8
    corners: np.ndarray  # (4, 2) in the photograph


@dataclass(frozen=True)
class Pose:
    """A face's size and place in a photograph, as the weak perspective of `TEMPLATE`."""

    origin: np.ndarray  # of the template, (x, y) in the photograph, y down
    px_per_unit: np.float64


def weak_perspective(landmarks: np.ndarray, height: int) -> Pose:
    """The pose of a face in a photograph of ``height`` pixels.

    x = R₁·X + t₁ and y' = R₂·X + t₂ are fitted to the template's points X by least squares, y' = height - 1 - y, as
    EG3D does; the scale is (|R₁| + |R₂|) / 2. The origin is (t₁, height - t₂): one row lower than y' alone would put
    it, a habit of EG3D's that is kept. Raises BadInput if the landmarks fix no scale.

    >>> pose = weak_perspective(200 * TEMPLATE[:, :2] * [1, -1] + [256, 255], 512)
    >>> pose.px_per_unit.round(6), pose.origin.round(6)
    (np.float64(200.0), array([256., 256.]))
    """
    points = np.asarray(landmarks, dtype=np.float64)
    fitted = _FIT @ np.column_stack([points[:, 0], height - 1 - points[:, 1]])  # (4, 2): rows of R, then t
    rows = np.linalg.norm(fitted[:3], axis=0)
    if not np.isfinite(rows).all() or rows.min() < 1e-6 * max(1.0, rows.max()):
        raise BadInput("the landmarks of this face coincide or are on one line; give another photograph")
    return Pose(np.array([fitted[3, 0], height - fitted[3, 1]]), rows.mean())


def ffhq_square(landmarks: np.ndarray) -> np.ndarray:
    """FFHQ's square (Karras et al., arXiv 1812.04948, appendix A) as corners, from eyes and corners of the mouth.

    u joins the eyes, v goes from their middle to the mouth's. Half a side is the larger of 2|u| and 1.8|v| long, in the
    direction of u - Jv, where J turns by 90°, and the centre is 0.1 v below the eyes. FFHQ takes the eyes from twelve
    of 68 landmarks; five points give a slightly different frame.
    """
    points = np.asarray(landmarks, dtype=np.float64) @ np.array([1, 1j])
    eyes, mouth = points[:2].mean(), points[3:].mean()
    u, v = points[1] - points[0], mouth - eyes
    direction = u - 1j * v
    if not np.isfinite(direction) or abs(direction) < 1e-6 * max(1.0, abs(eyes)):
        raise BadInput("the landmarks of this face coincide or are on one line; give another photograph")
    x = direction / abs(direction) * max(2.0 * abs(u), 1.8 * abs(v))
    y = 1j * x
    centre = eyes + 0.1 * v + 0.5 * (1 + 1j)  # landmarks count centres of pixels, corners their edges
    corners = np.array([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return np.column_stack([corners.real, corners.imag])


def is_framed(frame: Frame, size: tuple[int, int], landmarks: np.ndarray) -> bool:
    """Whether a photograph of this size (width, height) is a cut of ``frame`` already, by whoever made it."""
    width, height = size
    if width != height:
        return False
    if frame == "ffhq":
        corners = ffhq_square(landmarks)
        side, centre = float(np.linalg.norm(corners[3] - corners[0])), corners.mean(axis=0)
    else:
        pose = weak_perspective(landmarks, height)
        side, centre = float(pose.px_per_unit) * _KEPT / _UNIT, pose.origin
    return bool(
        abs(side / width - 1) < _SAME_SIZE[frame]
        and np.abs(centre / width - 0.5).max() < _SAME_PLACE[frame]
        and abs(_eye_line(landmarks)) < _LEVEL
    )


def cut(photo: Image.Image, landmarks: np.ndarray, frame: Frame, *, fill: Fill) -> Cut:
    """What ``frame`` shows of an RGB photograph.

    A frame of EG3D's is turned until the eyes are level, as its training images were, unless the photograph is an
    FFHQ frame, which is upright by its own rule. fill: of an EG3D frame; an FFHQ frame has FFHQ's own.
    """
    if frame == "ffhq":
        return ffhq(photo, landmarks)
    if is_framed("ffhq", photo.size, landmarks):
        return eg3d(photo, landmarks, fill=fill)
    return _upright_eg3d(photo, landmarks, fill)


def eg3d(photo: Image.Image, landmarks: np.ndarray, *, fill: Fill) -> Cut:
    """EG3D's crop of 512 px; nothing is turned.

    As EG3D does it, the photograph is resized to 300 px per unit (bicubic) and 700 px of it to 512 (Lanczos); sides and
    corners are truncated to whole pixels, towards zero. Only what the frame shows is resized.
    """
    resized, box = _eg3d_box(photo.size, weak_perspective(landmarks, photo.height))
    shown = np.clip(box, 0, resized)
    if (shown[1] <= shown[0]).any():
        raise BadInput("the face is outside the photograph; give another photograph")
    source = shown * (np.array(photo.size) / resized)
    part = photo.resize(tuple(shown[1] - shown[0]), Image.Resampling.BICUBIC, box=tuple(source.ravel()))
    around = np.abs(shown - box)  # [[left, top], [right, bottom]] outside the photograph
    whole = _filled(np.asarray(part), around, fill)
    side = SIDES["eg3d"]
    image = np.asarray(Image.fromarray(whole).resize((side, side), Image.Resampling.LANCZOS))
    (left, top), (right, bottom) = box * (np.array(photo.size) / resized)
    return Cut(image, np.array([[left, top], [left, bottom], [right, bottom], [right, top]]))


def ffhq(photo: Image.Image, landmarks: np.ndarray, side: int = SIDES["ffhq"]) -> Cut:
    """FFHQ's square at ``side`` pixels, made as FFHQ's images were.

    A photograph much larger than the cut is first reduced by a whole number (Lanczos). Where the square comes near the
    border, the photograph is mirrored, and the mirror image blurred and faded to the median colour. The square is
    sampled bilinearly at four times ``side`` and reduced (Lanczos); 256 px are sampled at once, as e4e does.
    """
    corners = ffhq_square(landmarks)
    quad, width = corners, float(np.linalg.norm(corners[3] - corners[0]))
    if (factor := int(width / 2 / side)) >= 2:
        smaller = round(photo.width / factor), round(photo.height / factor)
        photo = photo.resize(smaller, Image.Resampling.LANCZOS)
        quad, width = (quad - 0.5) / factor + 0.5, width / factor
    points = quad - 0.5
    border = max(round(width * 0.1), 3)
    least, most = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    shown = np.clip([least - border, most + border], 0, photo.size)
    if (shown[1] <= shown[0]).any():
        raise BadInput("the face is outside the photograph; give another photograph")
    part = photo.crop(tuple(shown.ravel()))
    quad = quad - shown[0]
    around = np.maximum([border - least, most + border - np.array(photo.size)], 0)
    if around.max() > border - 4:
        around = np.maximum(around, round(width * 0.3))
        part = Image.fromarray(_faded(np.asarray(part), around, 0.02 * width))
        quad = quad + around[0]
    sampled = side if side <= _DIRECTLY else _SUPERSAMPLED * side
    image = part.transform(
        (sampled, sampled), Image.Transform.QUAD, tuple(quad.ravel()), resample=Image.Resampling.BILINEAR
    )
    return Cut(np.asarray(image.resize((side, side), Image.Resampling.LANCZOS)), corners)


def outside(corners: np.ndarray, size: tuple[int, int]) -> float:
    """The share of a frame that is outside a photograph of this size (width, height), 0 to 1, to about 0.001.

    >>> outside(np.array([[-5, 0], [-5, 10], [5, 10], [5, 0]]), (10, 10))
    0.5
    """
    steps = (np.arange(256) + 0.5) / 256
    across, down = corners[3] - corners[0], corners[1] - corners[0]
    points = corners[0] + steps[:, None, None] * across + steps[None, :, None] * down
    inside = ((points >= 0) & (points <= np.array(size))).all(axis=-1)
    return float(1 - inside.mean())


def _eye_line(landmarks: np.ndarray) -> float:
    """The angle of the line through the eyes, radians; positive if the right one is lower."""
    x, y = np.asarray(landmarks, dtype=np.float64)[1] - np.asarray(landmarks, dtype=np.float64)[0]
    return float(np.arctan2(y, x))


def _eg3d_box(size: tuple[int, int], pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """The size to which a photograph is resized, and the box that is then cut: [[left, top], [right, bottom]]."""
    scale = _UNIT / pose.px_per_unit
    resized = np.array([int(size[0] * scale), int(size[1] * scale)])
    if resized.min() < 1:
        raise BadInput("the face is larger than the photograph; give another photograph")
    corner = np.trunc(resized / 2 - _WHOLE / 2 + (pose.origin - np.array(size) / 2) * scale).astype(int)
    corner += (_WHOLE - _KEPT) // 2
    return resized, np.array([corner, corner + _KEPT])


def _upright_eg3d(photo: Image.Image, landmarks: np.ndarray, fill: Fill) -> Cut:
    """EG3D's crop of the photograph turned around the middle of the eyes until they are level."""
    wide = weak_perspective(landmarks, photo.height).px_per_unit * _KEPT / _UNIT
    if (factor := int(wide / SIDES["eg3d"] / _FINEST)) >= 2:
        smaller = photo.reduce(factor)
        cut = _upright_eg3d(smaller, (np.asarray(landmarks) + 0.5) / factor - 0.5, fill)
        return Cut(cut.image, cut.corners * factor)
    points = np.asarray(landmarks, dtype=np.float64) + 0.5
    pivot, angle = points[:2].mean(axis=0), _eye_line(landmarks)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # from upright to the photograph
    level = (points - pivot) @ back  # around the pivot, upright
    pose = weak_perspective(level, 1)
    half = int(np.ceil(pose.px_per_unit * _KEPT / _UNIT / 2)) + _MARGIN
    corner = np.floor(pose.origin).astype(int) - half
    start = pivot + back @ corner
    turned = _turned(photo, back, start, 2 * half, fill)
    cut = eg3d(turned, level - corner - 0.5, fill=fill)
    return Cut(cut.image, cut.corners @ back.T + start)


def _turned(photo: Image.Image, back: np.ndarray, start: np.ndarray, side: int, fill: Fill) -> Image.Image:
    """A square of ``side`` pixels whose pixel q shows the photograph at back @ q + start, bicubic."""
    corners = np.array([[0, 0], [0, side], [side, side], [side, 0]]) @ back.T + start
    least, most = (
        np.floor(corners.min(axis=0)).astype(int) - _MARGIN,
        np.ceil(corners.max(axis=0)).astype(int) + _MARGIN,
    )
    box = np.array([least, most])
    shown = np.clip(box, 0, photo.size)
    if (shown[1] <= shown[0]).any():
        raise BadInput("the face is outside the photograph; give another photograph")
    part = Image.fromarray(_filled(np.asarray(photo.crop(tuple(shown.ravel()))), np.abs(shown - box), fill))
    moved = start - box[0]
    data = (back[0, 0], back[0, 1], moved[0], back[1, 0], back[1, 1], moved[1])
    return part.transform((side, side), Image.Transform.AFFINE, data, resample=Image.Resampling.BICUBIC)


def _filled(pixels: np.ndarray, around: np.ndarray, fill: Fill) -> np.ndarray:
    """(h, w, 3) with ``around`` [[left, top], [right, bottom]] pixels more on each side."""
    (left, top), (right, bottom) = around
    mode: Literal["edge", "reflect"] = "edge" if fill == "edge" else "reflect"
    return np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode=mode)


def _faded(pixels: np.ndarray, around: np.ndarray, sigma: float) -> np.ndarray:
    """(h, w, 3) mirrored by ``around`` [[left, top], [right, bottom]] pixels: blurred, and faded to the median colour.

    d is the distance from the outer border in widths of the mirrored band, 1 where the photograph begins. The median
    colour counts 1 - d, the blurred picture (`sigma` pixels) 4 - 3d, both between 0 and 1.
    """
    from scipy import ndimage

    (left, top), (right, bottom) = around
    whole = np.pad(pixels.astype(np.float32), ((top, bottom), (left, right), (0, 0)), mode="reflect")
    rows, columns = (
        np.minimum(np.arange(count) / first, np.arange(count)[::-1] / last)
        for count, first, last in ((whole.shape[0], top, bottom), (whole.shape[1], left, right))
    )
    inner = np.minimum(rows[:, None], columns[None, :])[..., None]
    whole += (ndimage.gaussian_filter(whole, [sigma, sigma, 0]) - whole) * np.clip(4 - 3 * inner, 0, 1)
    whole += (np.median(whole, axis=(0, 1)) - whole) * np.clip(1 - inner, 0, 1)
    return np.clip(np.rint(whole), 0, 255).astype(np.uint8)
