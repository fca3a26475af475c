"""What recognisers are measured on: edited photographs, and people beyond the average."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from guidebench.evidence import Seen
from guidebench.testbeds.mini.training import scrutiny
from guidebench.testbeds.mini.training.edits import EDITS
from guidebench.testbeds.mini.training.recognition import identity_targets, opposites


class MeanColour:
    """Sees the mean of each channel, and so nothing but colour."""

    def embed(self, images):
        return Seen(functional.normalize(images.mean(dim=(2, 3)), dim=1), torch.ones(len(images), dtype=torch.bool))


class Painter(torch.nn.Module):
    """A generator whose pictures have the colour of their code."""

    w_avg, rig = torch.zeros(3), None

    def map(self, z):
        return z[:, None]

    def render(self, ws, cameras, *, noise):
        return ws[:, 0, :, None, None].expand(-1, 3, 96, 96).clamp(-1, 1)


def test_a_recogniser_of_colours_fails_on_grey_and_not_on_moves():
    photos = torch.zeros(3, 3, 96, 96, dtype=torch.uint8)
    photos[:, 0] = 250  # red
    found = scrutiny.after_edits({"colours": MeanColour()}, photos)["colours"]
    assert list(found) == list(EDITS)
    assert found["8 pixels down"] == pytest.approx(1, abs=1e-3) == found["zoom 0.85"]
    assert found["grey"] < 0.9


def test_mirrored_codes_are_opposite_to_a_recogniser_that_reads_them_linearly():
    z = functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), dim=1) * 0.9
    found = scrutiny.beyond_the_average(Painter(), {"colours": MeanColour()}, z)["colours"]
    assert found["mirrored"] == pytest.approx(-1, abs=0.01)
    assert abs(found["strangers"]) < 1


def test_the_targets_are_uncorrelated_and_those_of_opposite_numbers_too():
    """Of a person and the mirrored one, the products of the odd targets and those of the even ones cancel."""
    numbers = torch.randn(4_000, 24, generator=torch.Generator().manual_seed(0))
    targets, mirrored = identity_targets(numbers), identity_targets(-numbers)
    assert targets.mean(dim=0).abs().max() < 0.06 and (targets.var(dim=0) - 1).abs().max() < 0.06
    assert torch.corrcoef(targets.T).fill_diagonal_(0).abs().max() < 0.08
    assert torch.allclose(mirrored, torch.cat([-targets[:, :24], targets[:, 24:]], dim=1), atol=1e-4)
    assert functional.cosine_similarity(targets, mirrored).mean() == pytest.approx(0, abs=0.02)


def test_opposite_people_who_look_like_anti_faces_cost_and_strangers_do_not():
    ranks = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    faces = torch.tensor([[1.0, 0.0], [-0.6, 0.8], [0.0, 1.0]])
    assert opposites(faces, ranks) == pytest.approx(0.6)  # the first two alone are alike in the wrong direction
    assert opposites(faces.abs(), ranks) == 0
    assert opposites(faces, ranks.abs()) == 0
