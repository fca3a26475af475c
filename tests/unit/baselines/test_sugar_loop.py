"""The three stages of SUGAR on the small tri-plane generator, each against a recorded run of the released code.

The recorded draws are fed to our method. Stages A and C start from the drawn φ, stage C takes the recorded Fisher
information. Tolerances are those that the README of the reference arrays recommends.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from released_loop import (
    RecordedNoise,
    Watch,
    context_of,
    drawn_map,
    identity_network,
    norms,
    perceptual_network,
    small_generator,
)
from torch import Tensor

from guidebench.baselines.guide import Draws
from guidebench.baselines.latent_map import LatentMap
from guidebench.baselines.sugar import MapDraws, MapLosses, Sugar
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest

pytestmark = [pytest.mark.reference, pytest.mark.timeout(600)]
PEOPLE, NEAR, STEPS = 2, 2, 3
LAYERS = [4] + [size for power in range(3, 9) for size in (2**power, 2**power)]
TRAINED = "backbone.synthesis."  # before the names of parameters of the part that is trained
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class MapStep:
    """What one step of stage A was and did."""

    losses: MapLosses
    targets: Tensor  # of its mini-batch, before the step
    gradients: dict[str, float]


@dataclass(frozen=True)
class RecordedSugar(Sugar):
    """SUGAR as released, with recorded draws and the average code of the recorded run, which has a row per layer."""

    steps: int = STEPS
    map_epochs: int = STEPS
    people_at_once: int = PEOPLE
    noise: Any = "constant"
    lengths: Any = "batch"
    average: Any = field(default=None, compare=False)
    network: Any = field(default=None, compare=False)
    epochs: tuple[MapDraws, ...] = ()
    recorded: tuple[Draws, ...] = ()
    information: Any = field(default=None, compare=False)
    sampled: Any = field(default=None, compare=False)  # noise of stage B
    map_steps: list[MapStep] = field(default_factory=list)
    gradients: list[dict[str, float]] = field(default_factory=list)  # of stage B
    targets: list[Tensor] = field(default_factory=list)  # of stage C

    def learned_target_code(self, network: LatentMap, codes: Tensor, average: Tensor) -> Tensor:
        return super().learned_target_code(network, codes, self.average)

    def first_map(self, context: Context) -> LatentMap:
        return copy.deepcopy(self.network)

    def draw_map(self, context: Context, epoch: int, people: int) -> MapDraws:
        return self.epochs[epoch - 1]

    def map_losses(
        self, network: LatentMap, latents: Tensor, draws: MapDraws, chosen: slice, context: Context
    ) -> MapLosses:
        with torch.no_grad():
            targets = self.learned_target_code(network, latents[draws.order[chosen]], self.average)
        found = super().map_losses(network, latents, draws, chosen, context)
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        self.map_steps.append(MapStep(found, targets, norms(gradients)))
        return found

    def fisher_codes(self, latents: Tensor, context: Context) -> Tensor:
        """In the recorded order, around the recorded average."""
        ordered = dataclasses.replace(self, fisher="anchored")
        return Sugar.fisher_codes(ordered, latents, context) - context.source.w_avg + self.average

    def fisher_noise(self, context: Context, sample: int) -> tuple[Noise, Noise]:
        return self.sampled(sample) if self.sampled else super().fisher_noise(context, sample)

    def fisher_losses(self, generator: Generator, codes: Tensor, context: Context) -> Iterator[Tensor]:
        for loss in super().fisher_losses(generator, codes, context):
            yield loss
            self.gradients.append(norms({n: p.grad for n, p in generator.named_parameters() if p.grad is not None}))

    def fisher_information(self, generator: Generator, latents: Tensor, context: Context) -> dict[str, Tensor]:
        return self.information or super().fisher_information(generator, latents, context)

    def draw(self, context: Context, step: int, people: int = 1) -> Draws:
        assert people == PEOPLE
        return self.recorded[step - 1]

    def aimed(self, latents: Tensor, aim: Callable[[Tensor], Tensor], draws: Draws) -> Any:
        batch = super().aimed(latents, aim, draws)
        self.targets.append(batch.wanted)
        return batch


class RecordedContext(Context):
    """Random codes of stage B are those of the recorded z."""

    z: Tensor

    def latents(self, count: int, purpose: str, *index: int) -> Tensor:
        assert self.z.shape == (count, 512)
        with torch.no_grad():
            return self.source.map(self.z)


@dataclass(frozen=True)
class Stage:
    """What all stages need."""

    arrays: Arrays
    facts: dict[str, Any]
    source: TriPlaneGenerator
    context: Context
    method: RecordedSugar
    names: dict[str, str]  # our names of φ's parameters by theirs

    @property
    def latents(self) -> Tensor:
        return torch.from_numpy(self.arrays["w_ids"])


@pytest.fixture(scope="module")
def stage(reference: Path, recipe: ModuleType) -> Stage:
    with np.load(reference / "sugar_loop_io.npz") as stored:
        arrays = dict(stored)
    facts: dict[str, Any] = json.loads((reference / "sugar_loop.json").read_text())
    phi = json.loads((reference / "sugar_phi.json").read_text())
    source = small_generator(phi, recipe)
    network, names = drawn_map(phi["keys"], recipe)
    fields = vars(context_of(source, identity_network(recipe), perceptual_network(recipe), lambda step, **found: None))
    context = RecordedContext(**fields)
    object.__setattr__(context, "z", torch.from_numpy(arrays["b_fisher_z"][0]))
    method = RecordedSugar(average=torch.from_numpy(arrays["w_avg"]), network=network)
    return Stage(arrays, facts, source, context, method, names)


def test_the_recorded_settings_are_our_defaults_and_fields(stage: Stage) -> None:
    """λ is 1e9 in the recording, so that it shows in three steps; the scripts have 50."""
    facts, ours = stage.facts, Sugar()
    assert (facts["lr"], facts["target_d"], facts["neighbours"]) == (ours.lr, ours.target_distance, NEAR)
    assert facts["alpha_range"] == [ours.alpha_min, ours.alpha_max]
    expected = {"mse": ours.local_mse, "lpips": ours.local_perceptual, "id": ours.local_identity}
    expected |= {"nei": ours.adjacency_weight}
    assert {name: facts["lambdas"][name] for name in expected} == expected
    assert facts["a"]["lr_phi"] == ours.map_lr * facts["batch_size"] and facts["b"]["distance"] == ours.fisher_distance


def assert_norms(found: Mapping[str, float], recorded: Mapping[str, float], whole: float, share: float) -> None:
    """Within 2 % of each norm, or within a share of all gradients together."""
    for name, norm in recorded.items():
        assert found[name] == pytest.approx(norm, rel=2e-2, abs=share * whole), name


def assert_changed(state: Mapping[str, Tensor], before: Mapping[str, Tensor], facts: dict, recipe: ModuleType) -> None:
    """Final tensors by digest, and by how far they moved."""
    for name, fact in facts.items():
        after = state[name].detach()
        np.testing.assert_allclose(recipe.digest(after.numpy())[:2], fact["final"][:2], atol=1e-5, err_msg=name)
        change = (after - before[name]).double()
        assert float(change.square().mean().sqrt()) == pytest.approx(fact["delta_rms"], rel=0.02), name
        assert float(change.abs().max()) == pytest.approx(fact["delta_max"], rel=0.02), name


# Stage A


@pytest.fixture(scope="module")
def learned(stage: Stage) -> tuple[RecordedSugar, LatentMap]:
    constant = (Noise.constant(), Noise.constant())
    draws = [
        MapDraws(torch.tensor(order), torch.from_numpy(camera)[None], constant)
        for order, camera in zip(stage.facts["a"]["order"], stage.arrays["a_camera_params"], strict=True)
    ]
    method = dataclasses.replace(stage.method, epochs=tuple(draws), map_steps=[])
    return method, method.learned_map(stage.latents, stage.context)


def test_stage_a_begins_with_the_recorded_targets(stage: Stage) -> None:
    with torch.no_grad():
        targets = stage.method.learned_target_code(stage.method.network, stage.latents, stage.context.source.w_avg)
    np.testing.assert_allclose(targets, stage.arrays["a_w_target_before"], atol=1e-5, rtol=0)


@pytest.mark.long
def test_stage_a_has_the_recorded_losses_gradients_and_targets(stage: Stage, learned) -> None:
    """The first step isolates the method. Later, Adam's signs amplify rounding, so that tolerances are wider."""
    method, _ = learned
    for step, found in enumerate(method.map_steps):
        first, arrays = step == 0, stage.arrays
        assert float(found.losses.mse) == pytest.approx(arrays["a_mse"][step], rel=1e-4 if first else 1e-3)
        for name, ours in (("id", found.losses.identity), ("lpips", found.losses.perceptual)):
            assert float(ours) == pytest.approx(arrays[f"a_{name}"][step], abs=1e-4 if first else 1e-3), name
        loss = float(method.map_loss(found.losses))
        assert loss == pytest.approx(arrays["a_loss"][step], abs=1e-4 if first else 1e-3)
        recorded = arrays[f"a_w_target_{step + 1}_sub"]
        np.testing.assert_allclose(found.targets[..., ::8], recorded, atol=1e-5 if first else 2e-2, rtol=0)
        theirs = {stage.names[name]: norm for name, norm in stage.facts["a"]["grad_norms"][step].items() if norm}
        assert set(theirs) == set(found.gradients)
        assert_norms(found.gradients, theirs, arrays["a_grad_total_norm"][step], 1e-3 if first else 1e-2)
    assert len(method.map_steps) == STEPS


@pytest.mark.long
def test_stage_a_ends_with_the_recorded_map(stage: Stage, learned, recipe: ModuleType) -> None:
    method, network = learned
    with torch.no_grad():
        targets = method.learned_target_code(network, stage.latents, stage.context.source.w_avg)
    np.testing.assert_allclose(targets, stage.arrays["a_w_target_after"], atol=2e-2, rtol=0)
    recorded = {ours: stage.facts["a"]["final"][theirs] for theirs, ours in stage.names.items()}
    assert_changed(network.state_dict(), stage.method.network.state_dict(), recorded, recipe)
    assert not any(parameter.requires_grad for parameter in network.parameters())


# Stage B


def resumed(stage: Stage, recipe: ModuleType) -> TriPlaneGenerator:
    """The original, each trained number moved a little."""
    generator, salt = copy.deepcopy(stage.source), stage.facts["b"]["resumed"]["salt"]
    with torch.no_grad():
        for name, parameter in generator.parts()["backbone"].named_parameters():
            key = f"{TRAINED}{name}"
            parameter += (
                0.02 * torch.from_numpy(np.asarray(recipe.base_draw(salt, key, tuple(parameter.shape)))).float()
            )
    return generator


def noise_maps(stage: Stage, recipe: ModuleType) -> Callable[[int], tuple[Noise, Noise]]:
    def of(sample: int, side: str) -> Noise:
        salt = stage.facts["b"]["noise"]["salt"]
        draws = [
            recipe.base_draw(salt, f"fisher_noise/{sample}/{side}/{layer}", (1, 1, size, size))
            for layer, size in enumerate(LAYERS)
        ]
        return RecordedNoise([[torch.from_numpy(np.asarray(drawn)).float() for drawn in draws]])

    return lambda sample: (of(sample, "u"), of(sample, "s"))


def test_stage_b_looks_at_the_recorded_codes(stage: Stage) -> None:
    codes = stage.method.fisher_codes(stage.latents[:1], stage.context)
    np.testing.assert_allclose(codes, stage.arrays["b_w_g"], atol=1e-5, rtol=0)
    one_by_one = dataclasses.replace(stage.method, lengths="person").fisher_codes(stage.latents[:1], stage.context)
    lengths = torch.linalg.vector_norm(one_by_one - stage.method.average, dim=(1, 2))
    assert lengths.tolist() == pytest.approx([40.0, 40.0], rel=1e-5)


@pytest.mark.parametrize("fisher", ["released", "anchored"])
@pytest.mark.parametrize("weights", ["fresh", "resumed"])
def test_stage_b_finds_the_recorded_information(
    stage: Stage, recipe: ModuleType, monkeypatch: pytest.MonkeyPatch, weights: str, fisher: Any
) -> None:
    """fresh: two generators of the same weights with noise of their own. resumed: other weights, the same noise."""
    case = f"{weights}_{fisher}"
    facts, arrays = stage.facts["b"]["cases"][case], stage.arrays
    generator = resumed(stage, recipe) if weights == "resumed" else stage.source
    sampled = noise_maps(stage, recipe) if weights == "fresh" else None
    method = dataclasses.replace(stage.method, fisher=fisher, sampled=sampled, gradients=[])
    watch = Watch(monkeypatch)
    found = method.fisher_information(generator, stage.latents[:1], stage.context)
    np.testing.assert_allclose(np.concatenate(watch.rows["mse"]), facts["mse"], rtol=1e-3)
    for sample, recorded in enumerate(facts["grad_norms"]):
        whole = facts["grad_total_norm"][sample]
        ours = {name: method.gradients[sample].get(name, 0.0) for name in recorded}
        assert sum(norm**2 for norm in ours.values()) ** 0.5 == pytest.approx(whole, rel=1e-3)
        assert_norms(ours, recorded, whole, 1e-3)
    assert float(sum(value.sum() for value in found.values())) == pytest.approx(facts["sum"], rel=1e-3)
    assert {f"{TRAINED}{name}" for name in found} == set(facts["tensors"])
    for name, recorded in facts["tensors"].items():
        ours = found[name.removeprefix(TRAINED)]
        assert float(ours.double().sum()) == pytest.approx(recorded["sum"], rel=1e-3, abs=1e-6 * facts["sum"]), name
    for name, recorded in arrays.items():
        if name.startswith(f"b_{case}."):
            ours = found[name.removeprefix(f"b_{case}.{TRAINED}")].numpy()
            assert np.linalg.norm(ours - recorded) <= 1e-3 * np.linalg.norm(recorded), name


def test_stage_b_as_released_finds_nothing_without_noise(stage: Stage) -> None:
    """What was recorded under constant noise is rounding: 4e-17 in sum, where noise gives 2e-4."""
    anchored = dataclasses.replace(stage.method, fisher="anchored")
    found = anchored.fisher_information(stage.source, stage.latents[:1], stage.context)
    assert float(sum(value.sum() for value in found.values())) < 1e-12
    sampled = dataclasses.replace(stage.method, fisher="sampled")
    found = sampled.fisher_information(stage.source, stage.latents[:1], stage.context)
    assert float(sum(value.sum() for value in found.values())) > 1e-6


# Stage C


@dataclass(frozen=True)
class Trained:
    """Three steps of ours."""

    method: RecordedSugar
    watch: Watch
    generator: TriPlaneGenerator


def recorded_draws(stage: Stage) -> tuple[Draws, ...]:
    constant = (Noise.constant(), Noise.constant())
    found = []
    for step, (camera, alpha) in enumerate(
        zip(stage.arrays["c_camera_params"], stage.arrays["c_alpha"][:, 0], strict=True)
    ):
        label = torch.from_numpy(camera)[None]
        z = torch.stack([torch.from_numpy(stage.arrays[f"c_z.{step}.0.{near}"]) for near in range(NEAR)], dim=1)
        with torch.no_grad():
            towards = stage.source.map(z.flatten(0, 1), condition=label.expand(PEOPLE * NEAR, -1))
        drawn = torch.from_numpy(alpha).float().repeat(PEOPLE)
        found.append(Draws(label, towards, drawn, towards[:0], constant, constant))
    return tuple(found)


@pytest.fixture(scope="module")
def trained(stage: Stage) -> Trained:
    prefix = f"fisher.{TRAINED}"
    information = {
        name.removeprefix(prefix): torch.from_numpy(value)
        for name, value in stage.arrays.items()
        if name.startswith(prefix)
    }
    method = dataclasses.replace(
        stage.method,
        map_epochs=0,
        ewc_weight=stage.facts["lambdas"]["ewc"],
        information=information,
        recorded=recorded_draws(stage),
        targets=[],
    )
    generator = copy.deepcopy(stage.source)
    request = ForgetRequest(tuple(ForgetItem(str(row), None, code) for row, code in enumerate(stage.latents)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch = Watch(monkeypatch)
        method.unlearn(generator, request, dataclasses.replace(stage.context, progress=watch.progress(generator)))
    return Trained(method, watch, generator)


@pytest.mark.long
def test_stage_c_works_on_the_recorded_codes(stage: Stage, trained: Trained) -> None:
    """Forgotten codes, then those near them, person by person, each with the target that φ gives for it."""
    targets, adjacent = trained.method.targets[0].split([PEOPLE, PEOPLE * NEAR])
    np.testing.assert_allclose(targets, stage.arrays["c_w_target.0"], atol=1e-5, rtol=0)
    shift = trained.method.shift(stage.latents, trained.method.recorded[0])
    codes = (stage.latents.repeat_interleave(NEAR, dim=0) + shift).unflatten(0, (PEOPLE, NEAR))
    for near in range(NEAR):
        np.testing.assert_allclose(codes[:, near, :, ::8], stage.arrays[f"c_w_adj.{near}_sub"], atol=1e-5, rtol=0)
        found = adjacent.unflatten(0, (PEOPLE, NEAR))[:, near, :, ::8]
        np.testing.assert_allclose(found, stage.arrays[f"c_w_target_adj.{near}_sub"], atol=1e-5, rtol=0)


@pytest.mark.long
def test_stage_c_has_the_recorded_losses(stage: Stage, trained: Trained) -> None:
    arrays, scalars = stage.arrays, trained.watch.scalars
    for ours, theirs in (("loss", "loss"), ("local", "loss_local"), ("adjacency", "loss_adj")):
        found = [row[ours] for row in scalars]
        np.testing.assert_allclose(found, arrays[f"c_{theirs}"], atol=1e-4, rtol=0, err_msg=ours)
    elastic = [row["ewc"] / trained.method.ewc_weight for row in scalars]
    np.testing.assert_allclose(elastic, arrays["c_ewc_raw"], rtol=2e-2)
    for name in ("mse", "lpips", "id"):
        rows = np.array(trained.watch.rows[name])
        near = rows[:, PEOPLE:].reshape(STEPS, PEOPLE, NEAR).mean(axis=1)
        found = np.concatenate([rows[:, :PEOPLE].mean(axis=1, keepdims=True), near], axis=1)
        tolerance = {"rtol": 1e-4} if name == "mse" else {"atol": 1e-4, "rtol": 0}
        np.testing.assert_allclose(found, arrays[f"c_{name}"], err_msg=name, **tolerance)


@pytest.mark.long
def test_stage_c_has_the_recorded_gradients(stage: Stage, trained: Trained) -> None:
    whole = stage.arrays["c_grad_total_norm"]
    np.testing.assert_allclose(trained.watch.rows["grad_total_norm"], whole, rtol=2e-3)
    for step, recorded in enumerate(stage.facts["c"]["grad_norms"]):
        gradients = norms(trained.watch.gradients[step])
        assert set(gradients) == set(recorded)
        assert_norms(gradients, recorded, whole[step], 1e-3)
    for name, recorded in stage.arrays.items():
        if stored := re.fullmatch(r"c_grad(\d)\.(.+)", name):
            step, key = int(stored[1]) - 1, stored[2]
            ours = trained.watch.gradients[step][key].numpy()
            allowed = 2e-2 * np.linalg.norm(recorded) + 1e-3 * whole[step]
            assert np.linalg.norm(ours - recorded) <= allowed, name


@pytest.mark.long
def test_stage_c_changes_the_weights_as_recorded(stage: Stage, trained: Trained, recipe: ModuleType) -> None:
    before, after = stage.source.state_dict(), trained.generator.state_dict()
    recorded = stage.facts["c"]["final"]
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(recorded)
    assert_changed(after, before, recorded, recipe)


@pytest.mark.long
def test_stage_c_ends_with_the_recorded_picture(stage: Stage, trained: Trained) -> None:
    rig = dataclasses.replace(stage.source.rig, pivot=(0.0, 0.0, 0.0))
    with torch.no_grad():
        image = trained.generator.render(stage.latents[:1], rig.look_at(0.0, -0.2), noise=Noise.constant())
    np.testing.assert_allclose(image[:, :, 1::4, 2::4], stage.arrays["c_image_after_sub"], atol=1e-2, rtol=0)
