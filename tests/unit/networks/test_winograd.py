"""Winograd's convolution against the direct one, where it is used, and what it keeps."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.networks import winograd
from guidebench.networks.winograd import FEWEST_CHANNELS, Convolution

ENOUGH = FEWEST_CHANNELS


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape)))


def error(found: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference by that of what is expected."""
    return float((found - expected).double().norm() / expected.double().norm())


@pytest.mark.parametrize("size", [(16, 16), (14, 9), (3, 70), (1, 1), (40, 36)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_convolution_and_its_gradient_in_float64(size, bias):
    """Sizes that tiles of 4 divide or not, and more tiles than are worked on at once."""
    maps, weight, shift = draw(4, 5, *size).requires_grad_(), draw(7, 5, 3, 3), draw(7) if bias else None
    found = winograd.convolve(maps, winograd.transformed(weight), shift)
    expected = functional.conv2d(maps, weight, shift, padding=1)
    assert found.shape == expected.shape and error(found.detach(), expected.detach()) < 1e-13
    slope = draw(*expected.shape)
    gradients = [torch.autograd.grad(result, maps, slope)[0] for result in (found, expected)]
    assert error(*gradients) < 1e-13


def test_it_rounds_no_worse_than_sums_of_so_many_terms_do():
    """256 channels that are not negative, as behind a ReLU: 1e-6 in float32, about what a direct convolution has."""
    maps, weight = draw(1, 256, 16, 16).relu(), draw(256, 256, 3, 3)
    found = winograd.convolve(maps.float(), winograd.transformed(weight.float()))
    assert error(found, functional.conv2d(maps, weight, padding=1)) < 2e-6


def frozen(inputs: int, outputs: int) -> Convolution:
    return Convolution(inputs, outputs).requires_grad_(False)


def test_many_channels_of_frozen_weights_on_a_cpu_take_it(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(winograd, "convolve", lambda maps, kernels, bias: asked.append(len(maps)) or maps)
    frozen(ENOUGH, ENOUGH)(torch.zeros(1, ENOUGH, 16, 16))
    assert asked == [1]
    for layer, maps in (
        (frozen(ENOUGH - 1, ENOUGH), torch.zeros(1, ENOUGH - 1, 16, 16)),
        (frozen(ENOUGH, ENOUGH), torch.zeros(1, ENOUGH, 8, 8)),
        (Convolution(ENOUGH, ENOUGH), torch.zeros(1, ENOUGH, 16, 16)),
        (frozen(ENOUGH, ENOUGH).bfloat16(), torch.zeros(1, ENOUGH, 16, 16, dtype=torch.bfloat16)),
        (frozen(ENOUGH, ENOUGH).to("meta"), torch.zeros(1, ENOUGH, 16, 16, device="meta")),
    ):
        assert layer(maps).shape == (1, ENOUGH, *maps.shape[2:])
    assert asked == [1]


def test_the_layer_has_the_keys_and_numbers_of_a_plain_one():
    layer, plain = frozen(ENOUGH, ENOUGH), nn.Conv2d(ENOUGH, ENOUGH, 3, padding=1)
    plain.load_state_dict(layer.state_dict())
    maps = draw(2, ENOUGH, 12, 12, dtype=torch.float32)
    assert error(layer(maps), plain(maps).detach()) < 1e-5


def test_weights_that_change_are_transformed_again():
    layer = frozen(ENOUGH, ENOUGH)
    maps = draw(1, ENOUGH, 16, 16, dtype=torch.float32)
    before = layer(maps)
    layer.weight.mul_(2)
    assert torch.allclose(layer(maps) - layer.bias[:, None, None], 2 * (before - layer.bias[:, None, None]), atol=1e-4)
    layer.load_state_dict({"weight": torch.zeros_like(layer.weight), "bias": torch.ones(ENOUGH)})
    assert (layer(maps) == 1).all()


def test_what_is_kept_is_not_copied_with_a_network():
    layer, maps = frozen(ENOUGH, ENOUGH), draw(1, ENOUGH, 16, 16, dtype=torch.float32)
    size = len(pickle.dumps(layer))
    found = layer(maps)
    assert len(pickle.dumps(layer)) == size
    assert torch.equal(copy.deepcopy(layer)(maps), found)
