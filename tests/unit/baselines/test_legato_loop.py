"""Recorded runs of LEGATO's released code: its adapter alone, and the loop from three starts, fed with recorded draws.

"init" starts from the released initialisation, "warm" from drawn adapters, "warmfix" from the same without the slip
that makes the total start from c_4. Tolerances are those that the README of the reference arrays recommends.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from released_loop import (
    Recorded,
    Watch,
    context_of,
    identity_network,
    norms,
    perceptual_network,
    request_of,
    small_generator,
)
from torch import Tensor

from guidebench.baselines import legato
from guidebench.baselines.guide import Draws
from guidebench.baselines.legato import Adapter, Legato, adapters_of
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise

pytestmark = [pytest.mark.reference, pytest.mark.timeout(600)]
WARM = "dev-eg3d-128-legato"
NEAR = 2
THEIRS = "ode_block.odefunc.unlearn.unlearn"
LAYERS = {"0": "rise", "2": "fall"}


@dataclass(frozen=True)
class RecordedLegato(Legato, Recorded):
    """LEGATO with the recorded draws."""


@pytest.fixture(scope="module")
def arrays(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "legato_loop_io.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def facts(reference: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((reference / "legato_loop.json").read_text())
    return found


def ours(key: str) -> str:
    """backbone.synthesis.b8.ode_block.odefunc.unlearn.unlearn.0.weight as we call it."""
    block, _, layer = key.partition(f".{THEIRS}.")
    number, _, kind = layer.partition(".")
    return f"{block}.conv1.legato.{LAYERS[number]}.{kind}"


def warm(key: str, facts: dict[str, Any], recipe: ModuleType) -> np.ndarray:
    """The drawn tensor of an adapter; the gain is of weights only."""
    gain = facts["warm_recipe"]["gain_first" if f"{THEIRS}.0" in key else "gain_second"]
    shape = tuple(facts["adapter_keys"][key])
    found: np.ndarray = recipe.recipe_tensor(key, shape, WARM, "cnn", gain=gain)
    return found


def load(generator: TriPlaneGenerator, tensors: dict[str, np.ndarray]) -> None:
    """Puts recorded tensors of adapters, by their names, into ours: 1x1 convolutions into linear layers."""
    state = generator.state_dict()
    named = {ours(key): torch.from_numpy(np.asarray(value)) for key, value in tensors.items()}
    generator.load_state_dict({**state, **{key: value.view(state[key].shape) for key, value in named.items()}})


def active(facts: dict[str, Any]) -> list[str]:
    return [key for key in facts["adapter_keys"] if key not in facts["never_called"]]


@pytest.fixture(scope="module")
def warm_adapter(facts: dict[str, Any], recipe: ModuleType) -> Adapter:
    """That of the block at 128 x 128, drawn."""
    adapter = Adapter(16, 256, slope=0.2, end=1.6, step=0.4)
    state = {}
    for key in active(facts):
        if ".b128." in key:
            name = ours(key).rpartition("legato.")[2]
            state[name] = torch.from_numpy(warm(key, facts, recipe)).view(adapter.state_dict()[name].shape)
    adapter.load_state_dict(state)
    return adapter


def test_an_adapter_moves_its_input_along_the_recorded_states(arrays, facts, recipe, warm_adapter) -> None:
    x, v = (
        torch.from_numpy(recipe.base_draw(*facts["adapter_alone"][name]).astype(np.float32))
        for name in ("input", "cotangent")
    )
    x.requires_grad_(True)
    states = warm_adapter.trajectory(x)
    np.testing.assert_allclose(torch.stack(states).detach(), arrays["adapter_states"], atol=1e-5, rtol=0)
    torch.testing.assert_close(warm_adapter(x), states[-1])
    (states[-1] * v).sum().backward()
    np.testing.assert_allclose(x.grad, arrays["adapter_grad_x"], atol=1e-4 * np.abs(arrays["adapter_grad_x"]).max())
    for key, norm in facts["adapter_alone"]["grad_norms"].items():
        name = ours(f"b128.{key.replace('odefunc', 'ode_block.odefunc', 1)}").rpartition("legato.")[2]
        assert float(warm_adapter.get_parameter(name).grad.norm()) == pytest.approx(norm, rel=2e-3)


def test_the_released_initialisation_is_ours(arrays, facts) -> None:
    """Uniform within ±√(6/C), zero elsewhere: no number is compared, the draws were torch's."""
    for key in facts["adapter_keys"]:
        mean, spread, largest, _ = facts["adapter_init"]["real_init"][key]
        if not key.endswith("0.weight"):
            assert (mean, spread, largest) == (0, 0, 0)
            continue
        adapter = Adapter(facts["adapter_keys"][key][1], 256, slope=0.2, end=1.6, step=0.4)
        adapter.draw(torch.rand(256, adapter.rise.in_features, generator=torch.Generator().manual_seed(0)))
        weight = adapter.rise.weight.detach()
        assert float(weight.abs().max()) == pytest.approx(largest, rel=0.01)
        assert float(weight.std()) == pytest.approx(spread, rel=0.05)
        assert not adapter.fall.weight.any() and not adapter.rise.bias.any()


@dataclass(frozen=True)
class Run:
    """Some steps of our method, and the name of the recorded run."""

    name: str
    watch: Watch
    source: TriPlaneGenerator
    started: TriPlaneGenerator
    generator: TriPlaneGenerator
    states: list[list[Tensor]]  # per step, of the forgotten code's features at 128 x 128


def recorded_draws(arrays: dict[str, np.ndarray], name: str, source: TriPlaneGenerator) -> list[Draws]:
    constant = (Noise.constant(), Noise.constant())
    condition = torch.from_numpy(arrays["conditioning_params"])
    found = []
    for z, alpha, camera in zip(*(arrays[f"{name}_{part}"] for part in ("z", "alpha", "camera_params")), strict=True):
        with torch.no_grad():
            codes = source.map(torch.from_numpy(z), condition=condition.expand(len(z), -1))
        found.append(
            Draws(
                camera=torch.from_numpy(camera),
                towards=codes[:NEAR],
                alpha=torch.from_numpy(alpha).float(),
                others=codes[NEAR:],
                render_noise=constant,
                feature_noise=constant,
            )
        )
    return found


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.long) for name in ("init", "warm", "warmfix")],
)
def run(request: pytest.FixtureRequest, arrays, facts, recipe: ModuleType) -> Iterator[Run]:
    name = request.param
    source = small_generator(facts, recipe).requires_grad_(False)
    draws = recorded_draws(arrays, name, source)
    method = RecordedLegato(
        steps=len(draws),
        noise="constant",
        average=torch.from_numpy(arrays["w_avg"]),
        recorded=draws,
        starts_at_last_change=name != "warmfix",
    )
    started = copy.deepcopy(source)
    method.adapt(started)
    if name == "init":
        load(started, {key: arrays[f"init.{key}"] for key in active(facts) if f"init.{key}" in arrays})
    else:
        load(started, {key: warm(key, facts, recipe) for key in active(facts)})
    generator = copy.deepcopy(started)
    states: list[list[Tensor]] = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        changes = legato.changes
        monkeypatch.setattr(
            legato,
            "changes",
            lambda given: states.append([state.detach().clone() for state in given]) or changes(given),
        )
        watch = Watch(monkeypatch)
        context = context_of(source, identity_network(recipe), perceptual_network(recipe), watch.progress(generator))
        method.unlearn(generator, request_of(torch.from_numpy(arrays["w_u"][0])), context)
    yield Run(name, watch, source, started, generator, states)


def test_the_losses_are_the_recorded_ones(run: Run, arrays) -> None:
    """Our local loss holds the released slip, too."""
    found = {name: np.array([row[name] for row in run.watch.scalars]) for name in run.watch.scalars[0]}
    slip = 0 if run.name == "warmfix" else arrays[f"{run.name}_consistency"][:, -1]
    for name, theirs in (("loss", "loss"), ("adjacency", "loss_adj"), ("global", "loss_global")):
        np.testing.assert_allclose(found[name], arrays[f"{run.name}_{theirs}"], atol=1e-4, rtol=0, err_msg=name)
    np.testing.assert_allclose(found["local"] - slip, arrays[f"{run.name}_loss_local"], atol=1e-4, rtol=0)


def test_every_term_of_the_losses_is_the_recorded_one(run: Run, arrays) -> None:
    rows = {name: np.array(run.watch.rows[name]) for name in ("mse", "lpips", "id")}
    np.testing.assert_allclose(rows["mse"], arrays[f"{run.name}_mse"], rtol=1e-4)
    np.testing.assert_allclose(rows["lpips"], arrays[f"{run.name}_lpips"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(rows["id"], arrays[f"{run.name}_id"], atol=1e-4, rtol=0)


def test_the_trajectory_of_the_forgotten_code_is_the_recorded_one(run: Run, arrays, facts, recipe) -> None:
    found = np.array([legato.changes(states)[:, 0].double().numpy() for states in run.states])
    np.testing.assert_allclose(found, arrays[f"{run.name}_consistency"], rtol=1e-3)
    for states, digests in zip(run.states, facts["runs"][run.name]["states_digest_b128"], strict=True):
        for state, digest in zip(states, digests, strict=True):
            assert state.shape == (1, 16, 128, 128)
            np.testing.assert_allclose(recipe.digest(state.contiguous().numpy()), digest, atol=1e-4)


def test_the_gradients_are_the_recorded_ones(run: Run, arrays, facts) -> None:
    """Of the adapters that are called, per tensor within 2 %, or within a thousandth of the whole gradient."""
    totals = arrays[f"{run.name}_grad_total_norm"]
    np.testing.assert_allclose(run.watch.rows["grad_total_norm"], totals, rtol=2e-3)
    for step, (gradients, recorded) in enumerate(
        zip(run.watch.gradients, facts["runs"][run.name]["grad_norms"], strict=True)
    ):
        found = norms(gradients)
        assert set(found) == {ours(key) for key in active(facts)}
        for key, norm in recorded.items():
            if key in facts["never_called"]:
                continue
            assert found[ours(key)] == pytest.approx(norm, rel=2e-2, abs=1e-3 * totals[step]), (step, key)
            if norm == 0:
                assert found[ours(key)] == 0
    for place, step in ((1, 0), (len(totals), -1)):
        prefix = f"{run.name}_grad{place}."
        stored = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
        assert len(stored) == 2
        for key, value in stored.items():
            difference = run.watch.gradients[step][ours(key)].numpy().ravel() - value.ravel()
            assert np.linalg.norm(difference) <= max(2e-2 * np.linalg.norm(value), 1e-3 * totals[step]), key


def test_the_adapters_change_as_recorded_and_nothing_else_does(run: Run, arrays, facts, recipe) -> None:
    assert facts["runs"][run.name]["frozen_changed"] == []
    source, before, after = (one.state_dict() for one in (run.source, run.started, run.generator))
    assert all(torch.equal(after[name], source[name]) for name in source)
    assert set(after) - set(source) == {ours(key) for key in active(facts)}
    assert sum(after[ours(key)].numel() for key in active(facts)) == 55144 - 256 * 16 * 2 - 256 - 16
    for key in active(facts):
        fact, name = facts["runs"][run.name]["final"][key], ours(key)
        np.testing.assert_allclose(recipe.digest(after[name].numpy())[:3], fact["final"][:3], atol=1e-5, err_msg=name)
        change = (after[name] - before[name]).double()
        rounding = 1e-2 * facts["lr"]
        assert float(change.square().mean().sqrt()) == pytest.approx(fact["delta_rms"], rel=0.02, abs=rounding), name
        assert float(change.abs().max()) == pytest.approx(fact["delta_max"], rel=0.02, abs=rounding), name


def test_the_forgotten_code_looks_as_recorded_afterwards(run: Run, arrays) -> None:
    code, camera = (torch.from_numpy(arrays[name]) for name in ("w_u", "camera_params_front"))
    with torch.no_grad():
        image = run.generator.render(code, camera, noise=Noise.constant())
    np.testing.assert_allclose(image[:, :, 1::4, 2::4], arrays[f"{run.name}_image_after_sub"], atol=1e-3, rtol=0)


def test_the_recorded_settings_are_our_defaults(facts) -> None:
    method, weights, ode = Legato(), facts["lambdas"], facts["ode"]
    assert weights == {
        "mse": method.local_mse,
        "lpips": method.local_perceptual,
        "id": method.local_identity,
        "adj": method.adjacency_weight,
        "glob": method.global_weight,
        "consistency": method.consistency,
    }
    assert (ode["step"], ode["end"], ode["hidden"], ode["negative_slope"]) == (
        method.ode_step,
        method.ode_end,
        method.hidden,
        method.slope,
    )
    adapter = Adapter(2, method.hidden, slope=method.slope, end=method.ode_end, step=method.ode_step)
    assert len(adapter.steps()) == ode["evaluations"]
    assert (facts["lr"], facts["target_d"]) == (method.lr, method.target_distance)
    assert facts["batch"] == {"adj": method.adjacency_samples, "glob": method.global_samples}


def test_the_watched_adapter_is_the_recorded_one(facts, recipe) -> None:
    generator = small_generator(facts, recipe)
    Legato().adapt(generator)
    (watched,) = adapters_of(generator)[-2:][:1]
    assert watched is generator.backbone.synthesis.b128.conv1.legato
    assert facts["ode"]["consistency_at"] == "b128"
