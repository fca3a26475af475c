"""The gradient where there is one, an estimate of it where there is none or where it is zero."""

from __future__ import annotations

import pytest
import torch

from guidebench.attacks import uphill as module
from guidebench.attacks.uphill import uphill
from guidebench.noise import Noise

CENTRE = torch.arange(6.0).view(1, 2, 3)
NOISE = Noise.random(7)


def hill(at):
    return -(at - CENTRE).square().sum(dim=(1, 2))


def test_the_gradient_is_taken_where_there_is_one():
    at = torch.randn(3, 2, 3)
    assert torch.allclose(uphill(hill, at, reach=1.0, noise=NOISE), -2 * (at - CENTRE))


def test_each_row_climbs_its_own_hill():
    at = torch.randn(3, 2, 3)
    together = uphill(hill, at, reach=1.0, noise=NOISE)
    apart = torch.cat([uphill(hill, at[row : row + 1], reach=1.0, noise=NOISE) for row in range(3)])
    assert torch.allclose(together, apart)


@pytest.mark.parametrize("hidden", ["no graph", "cut off"])
def test_a_hidden_gradient_is_estimated(monkeypatch, hidden):
    monkeypatch.setattr(module, "DIRECTIONS", 4000)
    at = torch.zeros(2, 2, 3)

    def silent(at):
        values = hill(at.detach())
        return values if hidden == "no graph" else values + 0.0 * at.sum(dim=(1, 2))

    found = uphill(silent, at, reach=0.1, noise=NOISE)
    assert torch.allclose(found, (2 * CENTRE).expand_as(at), atol=1.0)


def test_only_flat_rows_are_estimated():
    def half(at):
        values = hill(at)
        return torch.stack([values[0], values[1].detach()])

    at = torch.randn(2, 2, 3)
    found = uphill(half, at, reach=0.1, noise=NOISE)
    assert torch.allclose(found[0], -2 * (at[0] - CENTRE[0])) and found[1].any()
    assert not torch.allclose(found[1], -2 * (at[1] - CENTRE[0]), atol=1e-3)


def test_the_estimate_is_the_same_again():
    at = torch.randn(2, 2, 3)
    first, second = (uphill(lambda at: hill(at.detach()), at, reach=0.1, noise=Noise.random(3)) for _ in range(2))
    assert torch.equal(first, second)
