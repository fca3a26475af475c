"""The five-point similarity by hand and against a solver, and the crop that follows from it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from guidebench.networks.alignment import TEMPLATE, DegenerateLandmarks, crop_face, similarity_transform

# Landmarks as a detector finds them: no similarity takes them exactly to the template.
FACE = np.array([[177.1, 175.1], [309.1, 201.2], [225.0, 278.4], [175.1, 336.0], [309.1, 341.4]])


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:, :2].T + transform[:, 2]


def solved(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The proper similarity of least squares as four unknowns a, b, s, t of x' = a x - b y + s, y' = b x + a y + t."""
    x, y = source.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = np.vstack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])
    a, b, s, t = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, s], [b, a, t]])


@pytest.mark.parametrize("residual_in", ["image", "template"])
def test_a_turned_scaled_and_shifted_template_is_brought_back_exactly(
    residual_in: Literal["image", "template"],
) -> None:
    """A quarter turn (x, y) ↦ (-y, x), twice the size, 300 to the right: the way back is (x, y) ↦ (y, 300 - x) / 2."""
    points = np.column_stack([300 - 2 * TEMPLATE[:, 1], 2 * TEMPLATE[:, 0]])
    transform = similarity_transform(points, residual_in=residual_in)
    np.testing.assert_allclose(transform, [[0, 0.5, 0], [-0.5, 0, 150]], atol=1e-12)  # rounding of ~300


def test_the_residual_in_the_template_is_the_least_squares_fit() -> None:
    np.testing.assert_allclose(similarity_transform(FACE, residual_in="template"), solved(FACE, TEMPLATE), atol=1e-10)


def test_the_residual_in_the_image_is_the_inverse_of_the_fit_from_template_to_image() -> None:
    back = np.vstack([solved(TEMPLATE, FACE), [0, 0, 1]])
    np.testing.assert_allclose(similarity_transform(FACE, residual_in="image"), np.linalg.inv(back)[:2], atol=1e-10)


def test_on_imperfect_landmarks_the_two_fits_turn_alike_and_the_first_is_smaller() -> None:
    """Scales are |s_xy| / s_xx and s_yy / |s_xy|: their ratio is the squared correlation of the points, below 1."""
    fit, inverse = (similarity_transform(FACE, residual_in=where)[:, :2] for where in ("template", "image"))
    z, w = ((points - points.mean(axis=0)) @ [1, 1j] for points in (FACE, TEMPLATE))
    correlation = np.abs(np.vdot(z, w)) ** 2 / (np.vdot(z, z) * np.vdot(w, w)).real
    np.testing.assert_allclose(fit, correlation * inverse, atol=1e-12)
    assert 0.9 < correlation < 0.999


@pytest.mark.parametrize("residual_in", ["image", "template"])
def test_a_mirrored_face_is_reflected_back(residual_in: Literal["image", "template"]) -> None:
    points = np.column_stack([200 - TEMPLATE[:, 0], TEMPLATE[:, 1]])
    transform = similarity_transform(points, residual_in=residual_in)
    np.testing.assert_allclose(transform, [[-1, 0, 200], [0, 1, 0]], atol=1e-12)


def test_an_upright_face_is_not_reflected() -> None:
    assert np.linalg.det(similarity_transform(FACE)[:, :2]) > 0


def test_a_mirrored_face_with_imperfect_landmarks_gets_the_mirrored_transform() -> None:
    """Mirroring the image (x ↦ 512 - x) must undo itself: both transforms take a landmark to the same place."""
    mirrored = np.column_stack([512 - FACE[:, 0], FACE[:, 1]])
    there = apply(similarity_transform(mirrored), mirrored)
    np.testing.assert_allclose(there, apply(similarity_transform(FACE), FACE), atol=1e-9)


def test_equal_points_have_no_similarity() -> None:
    with pytest.raises(DegenerateLandmarks, match="coincide"):
        similarity_transform(np.full((5, 2), 7.0))


@pytest.mark.filterwarnings("ignore:.*estimate.* is deprecated:FutureWarning")  # scikit-image's, through insightface
def test_the_fit_is_the_one_of_insightface() -> None:
    """Umeyama's fit to insightface's digits of the template (four decimals, so 1e-4 px in the shift)."""
    from insightface.utils import face_align

    theirs = face_align.estimate_norm(FACE.astype(np.float32), 112)
    np.testing.assert_allclose(similarity_transform(FACE, residual_in="template"), theirs, atol=2e-4)


def test_the_fit_of_the_released_evaluation_is_the_default() -> None:
    np.testing.assert_array_equal(similarity_transform(FACE), similarity_transform(FACE, residual_in="image"))
    image = noise(512, 512)
    np.testing.assert_array_equal(crop_face(image, FACE), crop_face(image, FACE, residual_in="image"))
    assert (crop_face(image, FACE) != crop_face(image, FACE, residual_in="template")).any()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_face_that_already_fits_the_template_is_cut_out_as_it_is() -> None:
    image = noise(150, 160)
    np.testing.assert_array_equal(crop_face(image, TEMPLATE + [20, 30]), image[30:142, 20:132])


def test_the_template_grows_with_the_size_of_the_crop() -> None:
    image = noise(80, 90)
    np.testing.assert_array_equal(crop_face(image, TEMPLATE / 2, 56), image[:56, :56])


def test_outside_the_image_the_crop_is_black() -> None:
    image = noise(112, 112)
    crop = crop_face(image, TEMPLATE + [10, 0])
    assert (crop[:, 102:] == 0).all()
    np.testing.assert_array_equal(crop[:, :102], image[:, 10:])


def test_halves_of_a_pixel_are_interpolated() -> None:
    """Shifted by half a pixel, columns of 0 and 200 mix to 100."""
    image = np.zeros((112, 112, 3), dtype=np.uint8)
    image[:, ::2] = 200
    crop = crop_face(image, TEMPLATE + [0.5, 0])
    assert (crop[:, 1:-1] == 100).all()
