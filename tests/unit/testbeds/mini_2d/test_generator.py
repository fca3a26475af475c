"""A generator whose pose is part of z, and that is mini's otherwise."""

from __future__ import annotations

import pytest
import torch

from guidebench.noise import Noise
from guidebench.testbeds.mini.parameters import MIXING
from guidebench.testbeds.mini.training.data import protocol_angles
from guidebench.testbeds.mini_2d.generator import (
    ELEVATION,
    ELEVATION_MEAN,
    YAW,
    YAW_STD,
    Mini2DGenerator,
    Shape,
    latent_with_pose,
)


@pytest.fixture(scope="module")
def generator() -> Mini2DGenerator:
    """Untrained, with codes that are scaled."""
    torch.manual_seed(0)
    generator = Mini2DGenerator(Shape(channels=(16, 12, 8, 6, 4)))
    generator.latent_scale.fill_(3.0)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def z() -> torch.Tensor:
    return torch.randn(3, 64, generator=torch.Generator().manual_seed(1))


def test_shapes(generator, z):
    ws = generator.map(z)
    features = generator.synthesize(ws, noise=Noise.constant())
    assert ws.shape == (3, 10, 96) and features.shape == (3, 9, 48, 48)
    assert generator.decode(features, ws, noise=Noise.constant()).shape == (3, 3, 96, 96)
    assert list(generator.blocks()) == ["b6", "b12", "b24", "b48", "b96"]


def test_the_shipped_shape_has_the_features_that_its_docstrings_say():
    generator = Mini2DGenerator()
    assert generator.synthesize(generator.map(torch.zeros(1, 64)), noise=Noise.constant()).shape == (1, 51, 48, 48)


def test_a_camera_is_refused(generator, z):
    ws = generator.map(z)
    with pytest.raises(ValueError, match="no cameras"):
        generator.render(ws, torch.zeros(3, 25), noise=Noise.constant())


def test_codes_reach_the_convolutions_without_their_scale(generator, z):
    """A scale that multiplies codes and is divided out again changes no picture."""
    other = Mini2DGenerator(generator.config)
    other.load_state_dict(generator.state_dict())
    other.latent_scale.fill_(0.5)
    pictures = [one.render(one.map(z), noise=Noise.constant()) for one in (generator, other)]
    assert torch.allclose(*pictures, atol=1e-5)


def test_rows_steer_what_lies_behind_them_only(generator, z):
    """The last row is that of the last output; row 6 ends the feature level, so row 8 leaves the features alone."""
    ws = generator.map(z)
    changed = ws.clone()
    changed[:, 8:] += 1
    features, same = (generator.synthesize(some, noise=Noise.constant()) for some in (ws, changed))
    assert torch.equal(features, same)
    pictures = [generator.decode(features, some, noise=Noise.constant()) for some in (ws, changed)]
    assert (pictures[0] - pictures[1]).abs().mean() > 1e-3


def test_mapping_and_backbone_are_all_that_can_be_trained(generator):
    parts = [parameter for part in generator.parts().values() for parameter in part.parameters()]
    assert {id(one) for one in parts} == {id(one) for one in generator.parameters()}


def test_the_pose_is_two_numbers_of_z(z):
    yaw, elevation = torch.tensor([0.4, -0.1, 0.0]), torch.tensor([0.2, 0.0, ELEVATION_MEAN])
    posed = latent_with_pose(z, yaw, elevation) @ MIXING
    kept = [place for place in range(64) if place not in (YAW, ELEVATION)]
    assert torch.allclose(posed[:, kept], (z @ MIXING)[:, kept], atol=1e-5)
    assert torch.allclose(posed[:, YAW] * YAW_STD, yaw, atol=1e-5)
    assert posed[2, [YAW, ELEVATION]].abs().max() < 1e-5


def test_a_fresh_mapping_shows_the_pose_in_units_of_photographs(z):
    """0.28 and 0.10 rad are one standard deviation among photographs."""
    mapping = Mini2DGenerator(Shape(channels=(4, 4, 4, 4, 4))).mapping
    turned = mapping(latent_with_pose(z, torch.full((3,), 0.28), torch.full((3,), 0.10)))
    straight = mapping(latent_with_pose(z, torch.zeros(3), torch.zeros(3)))
    assert torch.allclose((turned - straight)[:, [YAW, ELEVATION]], torch.ones(3, 2), atol=1e-4)


def test_random_faces_are_turned_like_the_protocols_cameras():
    yaw, elevation = protocol_angles(100_000, torch.Generator().manual_seed(0))
    assert float(yaw.std()) == pytest.approx(YAW_STD, rel=0.01)
    assert float(elevation.mean()) == pytest.approx(ELEVATION_MEAN)
