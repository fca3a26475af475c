"""What judges must overlook: edits in colour, and moves that invent nothing."""

from __future__ import annotations

import pytest
import torch

from guidebench.testbeds.mini.alignment import grey, resample
from guidebench.testbeds.mini.renderer import RESOLUTION
from guidebench.testbeds.mini.training import edits


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(0)) - 0.5


def test_edits_in_colour_do_what_they_are_called(images):
    without = edits.EDITS["grey"](images)
    assert torch.allclose(without, grey(images).expand_as(images), atol=1e-6)
    half = edits.EDITS["saturation 0.5"](images)
    assert torch.allclose(half, (images + without) / 2, atol=1e-6)
    flatter = edits.EDITS["contrast 0.75"](images)
    assert torch.allclose(grey(flatter).mean(dim=(1, 2, 3)), grey(images).mean(dim=(1, 2, 3)), atol=1e-6)
    assert grey(flatter).std() == pytest.approx(0.75 * grey(images).std().item(), rel=0.01)


def test_moving_down_repeats_the_first_row(images):
    moved = edits.EDITS["8 pixels down"](images)
    assert torch.allclose(moved[:, :, 8:], images[:, :, :-8], atol=1e-5)
    assert torch.allclose(moved[:, :, :8], images[:, :, :1].expand(-1, -1, 8, -1), atol=1e-5)


def test_aligning_by_the_frame_of_a_move_undoes_it():
    """On a smooth picture, and where nothing was lost beyond the border."""
    line = torch.linspace(-1, 1, RESOLUTION)
    picture = (0.5 * torch.sin(3 * line)[:, None] * torch.cos(2 * line)).expand(5, 3, -1, -1)
    frames = edits.random_frames(5, torch.Generator().manual_seed(1))
    assert (frames[[1, 2, 4]] == 0).all() and (frames[[0, 3]] != 0).all()
    back = resample(edits.moved(picture, frames), frames)
    inside = slice(RESOLUTION // 4, -RESOLUTION // 4)
    assert (back - picture)[..., inside, inside].abs().max() < 0.01


def test_three_of_four_images_keep_their_colours_and_all_stay_in_range(images):
    changed = edits.random_colours(images, torch.Generator().manual_seed(0))
    assert torch.equal(changed[1:], images[1:]) and not torch.equal(changed[0], images[0])
    assert changed.abs().max() <= 1
