"""The judges' first step: pictures are moved to where a localiser says the face is."""

from __future__ import annotations

import math

import pytest
import torch

from guidebench.testbeds.mini import alignment
from guidebench.testbeds.mini.alignment import Localiser, grey, resample

SIZE = 28


def frames(right: float = 0.0, down: float = 0.0, scale: float = 1.0, count: int = 2) -> torch.Tensor:
    return torch.tensor([[right, down, math.log(scale)]]).expand(count, -1)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def test_a_frame_of_nothing_changes_nothing(images):
    assert torch.allclose(resample(images, frames()), images, atol=1e-5)


def test_what_is_at_the_shift_comes_to_the_middle_and_the_border_is_repeated(images):
    found = resample(images, frames(right=2 * 3 / SIZE, down=-2 * 5 / SIZE))
    assert torch.allclose(found[:, :, 5:, :-3], images[:, :, :-5, 3:], atol=1e-5)
    assert torch.allclose(found[:, :, :5, :-3], images[:, :, :1, 3:].expand(-1, -1, 5, -1), atol=1e-5)
    assert torch.allclose(found[:, :, 5:, -3:], images[:, :, :-5, -1:].expand(-1, -1, -1, 3), atol=1e-5)


def test_a_scale_of_two_shows_twice_as_much():
    """A ramp along the line: position p of the result is 2 p of the original, up to its border."""
    ramp = torch.linspace(-1, 1, SIZE).expand(1, 1, SIZE, SIZE)
    found = resample(ramp, frames(scale=2.0, count=1))[0, 0, 0]
    assert torch.allclose(found, (2 * ramp[0, 0, 0]).clamp(-1, 1), atol=1e-5)


def test_a_traced_network_computes_the_same_by_matrix_products(images, monkeypatch):
    moved = torch.cat([frames(0.3, -0.2, 0.8, count=1), frames(-0.1, 0.25, 1.3, count=1)])
    sampled = resample(images, moved)
    monkeypatch.setattr(alignment.torch.jit, "is_tracing", lambda: True)
    assert torch.allclose(resample(images, moved), sampled, atol=1e-5)


def test_the_localiser_overlooks_brightness_and_contrast_and_names_no_more_than_it_may():
    localiser = Localiser().eval()
    images = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0)) - 0.5
    found = localiser(images)
    assert found.shape == (3, 3) and (found.abs() <= localiser.largest).all()
    assert torch.allclose(localiser(0.5 * images + 0.3), found, atol=1e-2)


def test_grey_is_the_luminance():
    assert grey(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).item() == pytest.approx(0.299)
    assert grey(torch.ones(1, 3, 2, 2)).flatten().tolist() == pytest.approx([1.0] * 4)
