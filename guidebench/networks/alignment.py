"""Turns and scales a face so that its eyes, nose and mouth corners are where face recognisers expect them."""

from __future__ import annotations

from typing import Literal

import numpy as np

CROP_SIZE = 112  # pixels per side of an aligned face

# Left eye, right eye, nose, left and right corner of the mouth, left and right as seen, (x, y) in a crop of 112 x 112:
# ArcFace's template (arXiv 1801.07698), with the digits that GUIDE's evaluation holds.
TEMPLATE = np.array(
    [
        [38.29459953, 51.69630051],
        [73.53179932, 51.50139999],
        [56.02519989, 71.73660278],
        [41.54930115, 92.3655014],
        [70.72990036, 92.20410156],
    ]
)
TEMPLATE.setflags(write=False)


class DegenerateLandmarks(ValueError):
    """Landmarks that no similarity maps to the template, such as five equal points."""


def similarity_transform(
    points: np.ndarray, template: np.ndarray = TEMPLATE, *, residual_in: Literal["image", "template"] = "image"
) -> np.ndarray:
    """The rotation, scaling and shift, with or without a reflection, that takes ``points`` best to ``template``.

    points, template: (k, 2) as (x, y), k ≥ 2. Returns the 2 x 3 matrix [A | t] of x ↦ A x + t from image to template
    coordinates, float64. ``residual_in`` says where squared distances are summed: "template" is the least-squares fit
    of Umeyama (PAMI 13(4), 1991, eq. 40-42) and what insightface does; "image" fits the way back and inverts it, as
    GUIDE's evaluation does. On imperfect landmarks the second scale is larger, by up to 5 % on the recorded faces. Of
    the best proper and the best reflected map, the one that lands closer to the template counts. Raises
    `DegenerateLandmarks` if the fit has no scale.
    """
    image, target = _complex(points), _complex(template)
    fits = []
    for mirrored in (False, True):
        # z ↦ a z + b is every proper similarity of the plane, z ↦ a z̄ + b every reflected one
        moved = image.conj() if mirrored else image
        if residual_in == "template":
            scale, shift = _linear_fit(moved, target)
        else:
            back, origin = _linear_fit(target, moved)
            scale, shift = 1 / back, -origin / back
        distance = float((np.abs(scale * moved + shift - target) ** 2).sum())
        fits.append((distance, mirrored, scale, shift))
    _, mirrored, scale, shift = min(fits, key=lambda fit: fit[0])
    sign = -1 if mirrored else 1
    return np.array(
        [[scale.real, -sign * scale.imag, shift.real], [scale.imag, sign * scale.real, shift.imag]], dtype=np.float64
    )


def _complex(points: np.ndarray) -> np.ndarray:
    """(k, 2) -> (k,) complex numbers x + iy."""
    numbers: np.ndarray = np.asarray(points, dtype=np.float64) @ np.array([1, 1j])
    return numbers


def _linear_fit(from_: np.ndarray, to: np.ndarray) -> tuple[complex, complex]:
    """a ≠ 0 and b that minimise Σ |a z + b - w|² over complex numbers."""
    z, w = from_ - from_.mean(), to - to.mean()
    spread, overlap = float((np.abs(z) ** 2).sum()), complex(np.vdot(z, w))
    if not spread or not overlap:
        raise DegenerateLandmarks("no rotation and scale takes these landmarks to the template: they coincide")
    scale = overlap / spread
    return scale, complex(to.mean() - scale * from_.mean())


def crop_face(
    image: np.ndarray,
    landmarks: np.ndarray,
    size: int = CROP_SIZE,
    *,
    residual_in: Literal["image", "template"] = "image",
) -> np.ndarray:
    """The aligned face: (h, w, 3) uint8 and landmarks (5, 2) as (x, y) pixels -> (size, size, 3) uint8.

    OpenCV's bilinear warp, black outside the image; a ``size`` other than 112 scales the template. Raises
    `DegenerateLandmarks` if the landmarks fix no similarity.
    """
    import cv2

    transform = similarity_transform(landmarks, TEMPLATE * (size / CROP_SIZE), residual_in=residual_in)
    crop: np.ndarray = cv2.warpAffine(image, transform, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
    return crop
