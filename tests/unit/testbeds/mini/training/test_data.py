"""Photographs for training and measuring: the real images are seen as protocols see a generator's."""

from __future__ import annotations

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.testbeds.mini.generator import RIG
from guidebench.testbeds.mini.people import SEEDS, gather, photograph
from guidebench.testbeds.mini.renderer import camera_labels
from guidebench.testbeds.mini.training import data
from guidebench.testbeds.mini.training.loop import Settings


@pytest.mark.parametrize("name", protocols.names())
def test_every_protocol_looks_from_these_cameras(name):
    protocol = protocols.load(name).resolve("mini")
    assert protocol.yaw == pytest.approx(data.PROTOCOL_YAW)
    wanted = RIG.look_at(torch.tensor([-0.2, 0.1]), protocol.pitch)
    elevation = torch.full((2,), data.PROTOCOL_ELEVATION)
    assert torch.allclose(camera_labels(torch.tensor([-0.2, 0.1]), elevation), wanted, atol=1e-5)


def test_yaw_is_uniform_within_the_protocols_range():
    yaw, elevation = data.protocol_angles(4_000, torch.Generator().manual_seed(0))
    assert yaw.abs().max() <= data.PROTOCOL_YAW < 1.01 * yaw.abs().max()
    assert yaw.std() == pytest.approx(data.PROTOCOL_YAW / 3**0.5, rel=0.03)
    assert (elevation == data.PROTOCOL_ELEVATION).all()


def test_real_images_show_their_people_from_these_cameras_and_other_sets_from_their_own(tmp_path):
    settings = Settings(out=tmp_path, steps=2)
    for name in ("reals", "validation"):
        data.render_held_out_set(settings, name)
    reals, others = (data.load_held_out(settings, name) for name in ("reals", "validation"))
    drawn = gather([photograph(person, 0, "in_domain") for person in SEEDS["reals"][:6]])
    assert torch.equal(reals["nuisance"], drawn.nuisance) and torch.equal(reals["identity"], drawn.identity)
    assert (reals["elevation"] == data.PROTOCOL_ELEVATION).all() and (reals["yaw"] != drawn.yaw).all()
    assert torch.equal(reals["cameras"], camera_labels(reals["yaw"], reals["elevation"]))
    assert others["elevation"].std() > 0
