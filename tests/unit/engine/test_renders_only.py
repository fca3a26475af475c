"""What maps and renders, and offers nothing else."""

from __future__ import annotations

import pytest
import torch

from guidebench.engine.attacks_apart import QueryOnly
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearGenerator


def test_it_has_the_sizes_and_renders_of_the_original_and_none_of_its_parts():
    inner = LinearGenerator().eval()
    outer, noise = QueryOnly(inner), Noise.constant()
    z = torch.randn(2, inner.z_dim, generator=torch.Generator().manual_seed(0))
    codes = outer.map(z)
    cameras = inner.rig.look_at(torch.zeros(2), 0.0)
    assert torch.equal(outer.render(codes, cameras, noise=noise), inner.render(inner.map(z), cameras, noise=noise))
    assert (outer.num_ws, outer.w_dim, outer.resolution) == (inner.num_ws, inner.w_dim, inner.resolution)
    assert outer.parts() == {} and outer.blocks() == {} and set(outer.state_dict()) == {"w_avg"}


def test_whoever_asks_for_features_hears_what_to_do():
    outer = QueryOnly(LinearGenerator().eval())
    codes = outer.w_avg.expand(1, outer.num_ws, -1)
    with pytest.raises(TypeError, match='access="weights"'):
        outer.synthesize(codes, noise=Noise.constant())
    with pytest.raises(TypeError, match='access="weights"'):
        outer.decode(codes, codes, noise=Noise.constant())
