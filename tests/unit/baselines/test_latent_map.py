"""φ of SUGAR: the released network number by number, its initialisation, and sizes that do not halve."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from released_loop import drawn_map

from guidebench.baselines.latent_map import LatentMap
from guidebench.seeds import stream


@pytest.fixture(scope="module")
def arrays(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "sugar_phi_io.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def facts(reference: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((reference / "sugar_phi.json").read_text())
    return found


@pytest.mark.reference
def test_the_output_and_all_gradients_are_the_recorded_ones(arrays, facts, recipe: ModuleType) -> None:
    network, names = drawn_map(facts["keys"], recipe)
    x, v = (torch.from_numpy(recipe.base_draw(*facts[name]).astype(np.float32)) for name in ("input", "cotangent"))
    x.requires_grad_(True)
    output = network(x[:, 0])
    np.testing.assert_allclose(output.detach(), arrays["phi_output"], atol=1e-5, rtol=0)
    (output * v).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(
        x.grad[..., 3::8], arrays["phi_grad_input_sub"], atol=1e-4 * np.abs(arrays["phi_grad_input_sub"]).max()
    )
    for theirs, ours in names.items():
        gradient = network.get_parameter(ours).grad
        assert gradient is not None
        assert float(gradient.norm()) == pytest.approx(facts["grad_norms"][theirs], rel=2e-3), theirs


@pytest.mark.reference
def test_all_parameters_are_the_recorded_ones_but_those_that_nothing_reads(facts, recipe: ModuleType) -> None:
    network, names = drawn_map(facts["keys"], recipe)
    unused = {key: math.prod(shape) for key, shape in facts["keys"].items() if key not in names}
    assert all(key.startswith("classifier.") for key in unused) and sum(unused.values()) == 130
    assert sum(parameter.numel() for parameter in network.parameters()) == facts["n_params"] - 130


@pytest.mark.reference
def test_it_starts_as_the_released_network_does(facts, recipe: ModuleType) -> None:
    """Maximum and spread of one draw of theirs; ours has other numbers of the same distributions."""
    network = LatentMap.drawn(stream("test", "φ"))
    _, names = drawn_map(facts["keys"], recipe)
    for theirs, ours in names.items():
        values, recorded = network.get_parameter(ours).detach(), facts["real_init"][theirs]
        few = 0.35 if values.numel() < 200 else 0.05
        assert float(values.std()) == pytest.approx(recorded["std"], rel=few), theirs
        assert float(values.abs().max()) == pytest.approx(recorded["max"], rel=few), theirs


def test_its_first_weights_are_a_function_of_the_stream_and_nothing_global_is_drawn() -> None:
    before = torch.get_rng_state()
    first, again, other = (LatentMap.drawn(stream("test", name)) for name in ("a", "a", "b"))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (2, 12), (7, 5), (8, 96), (18, 4)])
def test_codes_of_any_size_pass(size: tuple[int, int]) -> None:
    network, codes = LatentMap.drawn(stream("test", "sizes")), torch.randn(3, *size, generator=stream("test", size[0]))
    found = network(codes)
    assert found.shape == codes.shape and bool(torch.isfinite(found).all())
    torch.testing.assert_close(network(codes[1:2]), found[1:2], atol=1e-5, rtol=1e-5)
