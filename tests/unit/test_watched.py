"""Functions and switches that judging rests on: what differs is named and put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guidebench import images
from guidebench.errors import MethodError
from guidebench.metrics import frechet
from guidebench.testbeds.linear import LinearFeatures
from guidebench.watched import Watch, unchanged

PATCHES = {
    "torch.nn.functional.normalize": (torch.nn.functional, "normalize"),
    "torch.einsum": (torch, "einsum"),
    "torch.Tensor.clamp": (torch.Tensor, "clamp"),
    "torch.nn.modules.module.Module.__call__": (torch.nn.Module, "__call__"),
    "numpy.cov": (np, "cov"),
    "guidebench.images.quantise": (images, "quantise"),
    "guidebench.metrics.frechet.frechet_distance": (frechet, "frechet_distance"),
    "guidebench.testbeds.linear.LinearFeatures.forward": (LinearFeatures, "forward"),
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_patched_function_is_named_and_put_back(name):
    owner, attribute = PATCHES[name]
    original = getattr(owner, attribute)
    with pytest.raises(MethodError, match=name.replace(".", r"\.")), unchanged("somebody"):
        setattr(owner, attribute, lambda *given, **options: original(*given, **options))
    assert getattr(owner, attribute) is original


SWITCHES = {
    "torch.backends.mkldnn.enabled": lambda: torch._C._set_mkldnn_enabled(False),
    "torch.set_flush_denormal": lambda: torch.set_flush_denormal(True),
    "torch.autocast": lambda: torch.autocast("cpu").__enter__(),
    "torch.set_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.set_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.backends.cudnn.benchmark": lambda: setattr(
        torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_named_and_put_back(name):
    watch = Watch()
    SWITCHES[name]()
    assert name in watch.changed()
    watch.restore()
    assert watch.changed() == []


def test_what_leaves_everything_alone_passes():
    with unchanged("somebody"):
        torch.randn(3).sum()
    Watch().check()
