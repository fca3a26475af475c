"""Stored tensors get into a network whole, or the user reads one line that names the file and the keys."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from guidebench.errors import BadInput
from guidebench.networks.loading import load_strictly


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def stored() -> dict[str, Tensor]:
    return {key: torch.full_like(value, 7) for key, value in network().state_dict().items()}


def test_every_tensor_gets_its_stored_value() -> None:
    loaded = load_strictly(network(), stored(), "net.pth")
    assert all(bool((value == 7).all()) for value in loaded.state_dict().values())


def test_half_precision_values_become_the_dtype_of_the_network() -> None:
    tensors = {key: value.half() for key, value in stored().items()}
    assert load_strictly(network(), tensors, "net.pth").state_dict()["0.weight"].dtype == torch.float32


def test_batch_norm_counters_may_be_absent() -> None:
    tensors = stored()
    del tensors["1.num_batches_tracked"]
    assert load_strictly(network(), tensors, "net.pth").state_dict()["1.num_batches_tracked"] == 0


def test_wrong_keys_and_shapes_are_named_in_one_line_and_nothing_is_loaded() -> None:
    tensors = stored()
    tensors["0.bias"] = torch.zeros(4)
    tensors["head.weight"] = tensors.pop("1.weight")
    target = network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(BadInput) as caught:
        load_strictly(target, tensors, "other.pth")
    pattern = r"other\.pth .*\bSequential\b.* lacks 1\.weight\b.* unknown head\.weight\b.* 0\.bias \(4,\) .*\(3,\)"
    assert re.match(pattern, str(caught.value)) and "\n" not in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_of_many_wrong_keys_the_first_are_named_and_the_rest_counted() -> None:
    with pytest.raises(BadInput, match=r"empty\.pth .* lacks 0\.weight, 0\.bias, 1\.weight .*\b3 more\b"):
        load_strictly(network(), {}, "empty.pth")
