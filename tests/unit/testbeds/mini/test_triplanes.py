"""Look-ups in tri-planes, against torch's own `grid_sample`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from guidebench.testbeds.mini import triplanes

CODES, POINTS, CHANNELS, SIDE = 2, 300, 5, 7


def by_grid_sample(features: Tensor, coordinates: Tensor) -> Tensor:
    """The sum of the xy, zy and xz plane: (n, 3 c, side, side), (3, n, m) -> (n x m, c)."""
    x, y, z = coordinates
    found = [
        functional.grid_sample(plane, torch.stack(at, dim=-1)[:, :, None], padding_mode="border", align_corners=False)
        for plane, at in zip(features.chunk(3, dim=1), [(x, y), (z, y), (x, z)], strict=True)
    ]
    return sum(found)[..., 0].transpose(1, 2).flatten(0, 1)


def by_table(features: Tensor, coordinates: Tensor) -> Tensor:
    return triplanes.look_up(triplanes.table(features), triplanes.locate(coordinates, SIDE))


def drawn(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Planes, points of which some are outside, at the border or in the middle of a pixel, and a gradient."""
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(CODES, 3 * CHANNELS, SIDE, SIDE, generator=rng)
    coordinates = torch.rand(3, CODES, POINTS, generator=rng) * 3 - 1.5
    coordinates[:, :, :3] = torch.tensor([-1.0, 1.0, 0.0])
    gradient = torch.randn(CODES * POINTS, CHANNELS, generator=rng)
    return features.to(dtype), coordinates.to(dtype), gradient.to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_grid_sample(dtype, tolerance):
    """float32: sums of some dozen numbers of order 1, in another order."""
    features, coordinates, gradient = drawn(dtype)
    features.requires_grad_(True)
    values, gradients = [], []
    for look_up in (by_grid_sample, by_table):
        found = look_up(features, coordinates)
        values.append(found)
        gradients += torch.autograd.grad(found, features, gradient)
    assert torch.allclose(values[0], values[1], atol=tolerance)
    assert torch.allclose(gradients[0], gradients[1], atol=10 * tolerance)


def test_a_gradient_that_is_shared_by_all_points_reaches_the_planes():
    """The gradient of a sum has a single number in memory."""
    features, coordinates, _ = drawn(torch.float64)
    features.requires_grad_(True)
    (expected,) = torch.autograd.grad(by_grid_sample(features, coordinates).sum(), features)
    (found,) = torch.autograd.grad(by_table(features, coordinates).sum(), features)
    assert torch.allclose(found, expected, atol=1e-12)


def test_many_views_of_one_code_share_its_table():
    features, coordinates, _ = drawn(torch.float64)
    places = triplanes.locate(coordinates, SIDE, shared=True)
    found = triplanes.look_up(triplanes.table(features[:1]), places)
    assert torch.equal(found, by_table(features[:1].expand(CODES, -1, -1, -1), coordinates))


def test_a_linear_layer_may_be_applied_to_the_table():
    features, coordinates, _ = drawn(torch.float64)
    matrix = torch.randn(CHANNELS, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    places = triplanes.locate(coordinates, SIDE)
    found = triplanes.look_up(triplanes.table(features) @ matrix, places)
    assert torch.allclose(found, by_table(features, coordinates) @ matrix, atol=1e-12)
