"""Camera labels against numbers worked out by hand (FFHQ's EG3D rig: radius 2.7, pivot 0.2 in front of the origin)."""

import math

import pytest
import torch

from guidebench.cameras import LABEL_WIDTH, CameraRig, view_yaws

RIG = CameraRig(radius=2.7, pivot=(0.0, 0.0, 0.2), focal=4.26339)


def matrix(label: torch.Tensor) -> torch.Tensor:
    return label[:16].view(4, 4)


def test_the_frontal_camera_sits_on_the_axis_and_has_opencv_axes():
    label = RIG.look_at(0.0, 0.0)[0]
    assert label.shape == (LABEL_WIDTH,)
    assert torch.allclose(matrix(label)[:3, :3], torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=1e-6)
    assert torch.allclose(matrix(label)[:3, 3], torch.tensor([0.0, 0.0, 2.7]), atol=1e-6)


def test_the_papers_pitch_is_an_elevation_of_seven_degrees():
    """phi = arccos(1 - 2 v / pi) with v = pi/2 - 0.2: the origin is (0, 0.34377, 2.67803) for radius 2.7."""
    origin = matrix(RIG.look_at(0.0, -0.2)[0])[:3, 3]
    assert torch.allclose(origin, torch.tensor([0.0, 0.34377, 2.67803]), atol=1e-4)
    assert math.degrees(math.asin(float(origin[1]) / 2.7)) == pytest.approx(7.315, abs=1e-3)


def test_yaw_is_the_azimuth_and_the_origin_does_not_move_with_the_pivot():
    shifted = CameraRig(2.7, (0.0, 0.0, 0.0), 4.26339)
    for rig in (RIG, shifted):
        origin = matrix(rig.look_at(math.radians(15), -0.2)[0])[:3, 3]
        assert math.degrees(math.atan2(float(origin[0]), float(origin[2]))) == pytest.approx(15, abs=1e-4)
        assert float(origin.norm()) == pytest.approx(2.7, abs=1e-5)


def test_the_pivot_turns_the_view_by_half_a_degree():
    """Looking at (0, 0, 0.2) instead of the origin turns the frontal view at pitch -0.2 by 0.583 degrees."""
    other = CameraRig(2.7, (0.0, 0.0, 0.0), 4.26339)
    forward = [matrix(rig.look_at(0.0, -0.2)[0])[:3, 2] for rig in (RIG, other)]
    angle = math.degrees(math.acos(min(1.0, float(forward[0] @ forward[1]))))
    assert angle == pytest.approx(0.583, abs=5e-3)


def test_rotations_are_orthonormal_and_right_handed():
    labels = RIG.look_at(torch.linspace(-0.7, 0.7, 9), torch.linspace(-0.4, 0.4, 9))
    rotation = labels[:, :16].view(-1, 4, 4)[:, :3, :3]
    assert torch.allclose(rotation.transpose(1, 2) @ rotation, torch.eye(3).expand(9, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(9), atol=1e-5)


def test_intrinsics_carry_focal_length_and_principal_point():
    rig = CameraRig(6.0, (0.0, 0.0, 0.0), 3.75, (0.5, 0.45))
    assert rig.look_at(0.0, 0.0)[0, 16:].tolist() == pytest.approx([3.75, 0, 0.5, 0, 3.75, 0.45, 0, 0, 1])


@pytest.mark.parametrize("yaw, pitch", [(torch.zeros(3, device="meta"), -0.2), (0.1, torch.zeros(3, device="meta"))])
def test_labels_are_made_where_the_angles_are(yaw, pitch):
    """The other angle is a number; the meta device stands for a GPU."""
    labels = CameraRig(2.7, (0.0, 0.0, 0.2), 4.2647).look_at(yaw, pitch)
    assert labels.device.type == "meta" and labels.shape == (3, LABEL_WIDTH)


def test_views_are_symmetric_and_one_view_is_frontal():
    assert torch.allclose(torch.rad2deg(view_yaws(11, math.radians(15))), torch.arange(-15.0, 15.1, 3.0), atol=1e-4)
    assert view_yaws(1, 0.3).tolist() == [0.0]
