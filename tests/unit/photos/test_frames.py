"""The frames have known answers on the template's own face, turned, scaled and moved; photographs are shown there."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from guidebench.errors import BadInput
from guidebench.photos import frames

SCALE = 512 * 300 / 700  # px per unit in EG3D's crop: 219.43


def face(px_per_unit=SCALE, x=256.0, y=256.0, degrees=0.0):
    """The template's landmarks from the front, in pixels; its origin at (x, y); positive degrees: right eye lower."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return px_per_unit * (frames.TEMPLATE[:, :2] * [1, -1]) @ turn.T + [x, y - 1]


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def smooth(width, height):
    """Red grows to the right, green downwards, so that a pixel tells where it is from."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).round().astype(np.uint8))


def test_a_broad_face_keeps_its_size_on_average():
    broad = face() * [1.2, 1]
    assert frames.weak_perspective(broad, 512).px_per_unit == pytest.approx(1.1 * SCALE)


def test_a_turned_head_keeps_its_origin_and_its_size():
    """30° of yaw: the nose leads in x. Weak perspective in 3-D explains it exactly, in 2-D it would be a shift."""
    angle = np.radians(30)
    x = frames.TEMPLATE @ [np.cos(angle), 0, np.sin(angle)]
    points = SCALE * np.column_stack([x, -frames.TEMPLATE[:, 1]]) + [256, 255]
    pose = frames.weak_perspective(points, 512)
    assert pose.origin == pytest.approx([256, 256]) and pose.px_per_unit == pytest.approx(SCALE)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.outer(np.arange(5), [0, 1]), np.full((5, 2), np.nan)])
def test_landmarks_without_extent_are_refused(points):
    with pytest.raises(BadInput, match="landmarks"):
        frames.weak_perspective(points, 512)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.inf)])
def test_an_ffhq_square_of_nothing_is_refused(points):
    with np.errstate(invalid="ignore"), pytest.raises(BadInput, match="landmarks"):
        frames.ffhq_square(points)


def test_ffhqs_square_turns_with_the_head_and_a_frontal_one_is_wider_than_eg3ds_and_higher():
    """FIELD: 2.485 units wide, centred 0.22 units above EG3D's, whose frame has 2.333 units."""
    upright, turned = frames.ffhq_square(face()), frames.ffhq_square(face(degrees=25))
    across = upright[3] - upright[0]
    assert np.linalg.norm(across) / SCALE == pytest.approx(2.485, abs=1e-3)
    assert (256 - upright.mean(axis=0)[1]) / SCALE == pytest.approx(0.22, abs=0.01)
    more = turned[3] - turned[0]
    assert np.degrees(np.arctan2(more[1], more[0]) - np.arctan2(across[1], across[0])) == pytest.approx(25)


def test_eg3ds_crop_is_the_photograph_that_its_frame_shows():
    """Twice as large a face: the frame is 1024 px of the photograph, (188, 76) to (1212, 1100), to a pixel."""
    photo = smooth(1400, 1400)
    cut = frames.eg3d(photo, face(2 * SCALE, 700, 588), fill="edge")
    assert cut.corners == pytest.approx(np.array([[188, 76], [188, 1100], [1212, 1100], [1212, 76]]), abs=2)
    shown = np.asarray(photo.crop((188, 76, 1212, 1100)).resize((512, 512), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(cut.image - shown).max() <= 1


@pytest.mark.parametrize("degrees", [-25, 12])
def test_a_tilted_head_is_turned_upright(degrees):
    """The crop of a turned photograph is that of the upright one, up to two resamplings."""
    upright = smooth(900, 900)
    photo = upright.rotate(-degrees, resample=Image.Resampling.BICUBIC, center=(450.5, 450.5))  # counter-clockwise
    # The template's eyes differ by 0.0006 units in height: 0.06°.
    straight = frames.cut(upright, face(0.8 * SCALE, 450, 451), "eg3d", fill="edge")
    turned = frames.cut(photo, face(0.8 * SCALE, 450, 451, degrees=degrees), "eg3d", fill="edge")
    difference = np.abs(turned.image.astype(int) - straight.image)
    assert difference.mean() < 0.7 and difference.max() <= 3  # 1 px of 900 is 0.28 levels, corners are truncated
    across = turned.corners[3] - turned.corners[0]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(degrees, abs=0.1)


def ffhq_frame(degrees=0.0):
    """Landmarks in a 1024 px photograph that is FFHQ's frame of the face; then the head is tilted in it."""
    corners = frames.ffhq_square(face())
    scale = 1024 / np.linalg.norm(corners[3] - corners[0])
    x, y = 512 - scale * (corners.mean(axis=0) - 256)
    return face(scale * SCALE, x, y, degrees)


def test_an_ffhq_frame_is_cut_as_it_is_and_its_lower_border_is_filled():
    """FIELD: 6.3 % of EG3D's crop are below any FFHQ frame."""
    photo, landmarks = noise(1024, 1024), ffhq_frame(degrees=3)
    assert frames.is_framed("ffhq", photo.size, landmarks)
    cut = frames.cut(photo, landmarks, "eg3d", fill="edge")
    assert cut.corners[0, 1] == cut.corners[3, 1]  # not turned, though the head is tilted
    assert frames.outside(cut.corners, photo.size) == pytest.approx(0.063, abs=0.012)
    assert not np.array_equal(cut.image, frames.cut(photo, landmarks, "eg3d", fill="mirror").image)


def test_outside_the_photograph_the_border_is_repeated_or_mirrored():
    photo = smooth(600, 600)
    landmarks = face(1.2 * SCALE, 300, 400)  # 307 px to each side: 107 px below the photograph
    edge, mirror = (frames.eg3d(photo, landmarks, fill=fill).image[..., 1].astype(int) for fill in ("edge", "mirror"))
    border = round(512 * (600 - (400 - 307.2)) / 614.4)
    assert np.abs(edge[border + 8 :, 20:-20] - 255).max() <= 1
    below, above = mirror[border + 8 : border + 60, 20:-20], mirror[border - 60 : border - 8, 20:-20]
    assert np.abs(below - above[::-1]).max() <= 3 and below.max() < 252  # a row of the crop is 0.5 levels


def test_a_face_outside_its_photograph_is_refused():
    for cut in (frames.eg3d, frames.cut):
        with pytest.raises(BadInput, match="outside"):
            cut(noise(300, 300), face(60, 900, 900), **({"frame": "eg3d"} if cut is frames.cut else {}), fill="edge")
    with pytest.raises(BadInput, match="outside"):
        frames.ffhq(noise(300, 300), face(60, 900, 900))


@pytest.mark.parametrize("frame", ["eg3d", "ffhq"])
@pytest.mark.parametrize("side", [256, 1024])
def test_a_cut_is_known_again_and_is_not_taken_for_the_other_frame(frame, side):
    other = "ffhq" if frame == "eg3d" else "eg3d"
    landmarks = (face() if frame == "eg3d" else ffhq_frame() / 2) * (side / 512)
    assert frames.is_framed(frame, (side, side), landmarks)
    assert not frames.is_framed(other, (side, side), landmarks)
    assert not frames.is_framed(frame, (side, side + 1), landmarks)
    assert not frames.is_framed(frame, (side, side), landmarks + [0.06 * side, 0])
    assert not frames.is_framed(frame, (side, side), (landmarks - side / 2) * 0.85 + side / 2)


def test_a_cut_of_a_cut_is_recognised_with_a_detector_that_is_off(recwarn):
    """3 % and 5 px, as MTCNN is off on GUIDE's crops."""
    assert frames.is_framed("eg3d", (512, 512), face(1.03 * SCALE, 251, 260, degrees=2))
