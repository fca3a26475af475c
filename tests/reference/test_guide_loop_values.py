"""What the recorded runs of GUIDE were set up with: codes, cameras and streams; their losses are in test_guide_loop."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from guidebench.cameras import CameraRig
from guidebench.networks.eg3d import FOV_DEGREES, focal_length

pytestmark = pytest.mark.reference

PITCH = -0.2  # radians, of every training camera
STEPS = 5


@pytest.fixture(scope="module", params=["const", "random"])
def loop(request: pytest.FixtureRequest, reference: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with np.load(reference / f"guide_loop_{request.param}_io.npz") as arrays:
        return dict(arrays), json.loads((reference / f"guide_loop_{request.param}.json").read_text())


def test_the_cameras_are_those_of_a_rig_at_the_recorded_radius_that_aims_at_the_recorded_pivot(loop):
    arrays, _ = loop
    x, y, z = arrays["cam_pivot"].tolist()
    rig = CameraRig(radius=float(arrays["cam_radius"]), pivot=(x, y, z), focal=focal_length(FOV_DEGREES))
    for name, label in (
        ("camera_params", rig.look_at(torch.from_numpy(arrays["angle_y"]), PITCH)[:, None]),
        ("camera_params_front", rig.look_at(0.0, PITCH)),
        ("conditioning_params", rig.look_at(0.0, 0.0)),
        ("intrinsics", rig.look_at(0.0, 0.0)[0, 16:].view(3, 3)),
    ):
        np.testing.assert_allclose(label.numpy(), arrays[name], atol=1e-6, rtol=0, err_msg=name)


def test_the_average_code_is_drawn_as_told(loop, recipe: ModuleType):
    arrays, facts = loop
    salt, name, rule = facts["salts"]["w_avg"]
    assert rule == "0.3*n, shape (14,512)"
    np.testing.assert_array_equal(
        (0.3 * recipe.base_draw(salt, name, (1, 14, 512))).astype(np.float32), arrays["w_avg"]
    )


def test_yaws_and_distances_come_from_the_numpy_stream_in_the_recorded_order(loop):
    """One yaw a step, then a distance for each adjacent code."""
    arrays, facts = loop
    position, has_gauss, gauss = arrays["numpy_mt19937_pos_gauss"].tolist()
    rng = np.random.RandomState()
    rng.set_state(("MT19937", arrays["numpy_mt19937_keys"], int(position), int(has_gauss), gauss))
    for yaw, alpha in zip(arrays["angle_y"], arrays["alpha"], strict=True):
        assert yaw == rng.uniform(-math.pi / 12, math.pi / 12)
        assert alpha.tolist() == [rng.uniform(*facts["alpha_range"]) for _ in range(facts["batch"]["adj"])]


def test_random_codes_come_from_the_torch_stream_in_the_recorded_order(loop):
    """Every step draws what the first one is said to draw; what has the shape (1, 512) is a code.

    Under "centre" the jitter and the positions were asked for and answered without a draw. Instruction sets differ in
    the last bits of the logarithms and cosines behind normal draws, by up to 2e-6; a stream in another place gives
    numbers that differ by 1.
    """
    arrays, facts = loop
    draws = [
        (kind, shape) for kind, shape in facts["torch_draws_step1"] if kind == "randn" or facts["jitter"] == "seeded"
    ]
    rng = torch.Generator()
    rng.set_state(torch.from_numpy(arrays["torch_rng_state"]))
    draw = {"randn": torch.randn, "rand": torch.rand, "rand_like": torch.rand}
    for codes in arrays["z"]:
        drawn = [draw[kind](shape, generator=rng) for kind, shape in draws]
        found = torch.cat([value for value in drawn if value.shape == (1, 512)])
        np.testing.assert_allclose(found.numpy(), codes, rtol=0, atol=1e-5)
    assert len(arrays["z"]) == len(arrays["camera_params"]) == STEPS
