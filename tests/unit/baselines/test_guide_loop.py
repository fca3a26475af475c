"""Five optimisation steps of GUIDE on the small tri-plane generator, against the recorded run of the released code.

The recorded draws are fed to our method; loss curves, their parts, gradients and weights must come out as recorded.
Tolerances are those that the README of the reference arrays recommends. tests/goldens/make_guide_loop.py says where the
committed arrays come from.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from released_loop import (
    Recorded,
    RecordedNoise,
    Watch,
    context_of,
    identity_network,
    perceptual_network,
    request_of,
    small_generator,
)
from torch import Tensor

from guidebench.baselines.guide import Draws, Guide, MeanLatent
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.irse import FixedCropRecognizer
from guidebench.networks.lpips import LPIPS
from guidebench.noise import Noise

pytestmark = pytest.mark.timeout(600)
STEPS, NEAR, AWAY = 5, 2, 2
NOISE_SIZES = [4] + [size for power in range(3, 9) for size in (2**power, 2**power)]  # of one pass of the backbone
RAYS, DEPTHS = 32 * 32, 12


@dataclass(frozen=True)
class RecordedMeanLatent(MeanLatent, Recorded):
    """The baseline with the same draws."""


def randn(rng: torch.Generator, sizes: Sequence[int]) -> list[Tensor]:
    return [torch.randn(1, 1, size, size, generator=rng) for size in sizes]


def assert_same_draw(found: Tensor, recorded: Tensor) -> None:
    """The logarithms and cosines behind normal draws differ in their last bits between instruction sets, which moves a
    draw by up to 2e-6; a stream that is one draw off gives numbers that differ by 1.
    """
    torch.testing.assert_close(found, recorded, rtol=0, atol=1e-5)


def rendered(rng: torch.Generator) -> list[Tensor]:
    """The draws of one render: noise maps, jitter of the stratified depths, positions on the inverse CDF."""
    draws = randn(rng, NOISE_SIZES)
    return [
        *draws,
        torch.rand(1, RAYS, DEPTHS, 1, generator=rng),
        torch.rand(RAYS, DEPTHS, generator=rng),
    ]


def noises(rng: torch.Generator, z: Tensor) -> tuple[tuple[Noise, Noise], tuple[Noise, Noise]]:
    """The noise of one step, drawn in the recorded order. z: (4, 512), to see that the stream is where it should be."""
    torch.randn(1, generator=rng), torch.randn(1, generator=rng)  # the camera helper's two, of spread 0
    planes: tuple[list[list[Tensor]], list[list[Tensor]]] = ([], [])
    renders: tuple[list[list[Tensor]], list[list[Tensor]]] = ([], [])
    for code in range(1 + NEAR + AWAY):
        if code:
            assert_same_draw(torch.randn(1, 512, generator=rng), z[code - 1 : code])
        if code <= NEAR:
            for side in (0, 1):
                planes[side].append(randn(rng, NOISE_SIZES))
        for side in (0, 1):
            renders[side].append(rendered(rng))
    return (
        (RecordedNoise(renders[0]), RecordedNoise(renders[1])),
        (RecordedNoise(planes[0]), RecordedNoise(planes[1])),
    )


def recorded_draws(io: dict[str, np.ndarray], source: TriPlaneGenerator, *, random: bool) -> list[Draws]:
    rng = torch.Generator()
    if random:
        rng.set_state(torch.from_numpy(io["torch_rng_state"]))
    steps = []
    for step in range(STEPS):
        z = torch.from_numpy(io["z"][step])
        constant = (Noise.constant(), Noise.constant())
        render, features = noises(rng, z) if random else (constant, constant)
        with torch.no_grad():
            codes = source.map(z, condition=torch.from_numpy(io["conditioning_params"]).expand(len(z), -1))
        draws = Draws(
            camera=torch.from_numpy(io["camera_params"][step]),
            towards=codes[:NEAR],
            alpha=torch.from_numpy(io["alpha"][step]).float(),
            others=codes[NEAR:],
            render_noise=render,
            feature_noise=features,
        )
        steps.append(draws)
    return steps


@pytest.fixture(scope="module")
def recognizer(recipe: ModuleType) -> FixedCropRecognizer:
    return identity_network(recipe)


@pytest.fixture(scope="module")
def perceptual(recipe: ModuleType) -> LPIPS:
    return perceptual_network(recipe)


def unlearned(
    method: Guide,
    source: TriPlaneGenerator,
    code: np.ndarray,
    recognizer: FixedCropRecognizer,
    perceptual: LPIPS,
) -> tuple[TriPlaneGenerator, Watch]:
    """What the method makes of a copy of the generator, and what it did in each step. code: (num_ws, w_dim)."""
    generator = copy.deepcopy(source)
    with pytest.MonkeyPatch.context() as monkeypatch:
        watch = Watch(monkeypatch)
        context = context_of(source, recognizer, perceptual, watch.progress(generator))
        method.unlearn(generator, request_of(torch.from_numpy(code)), context)
    return generator, watch


@dataclass(frozen=True)
class Run:
    """Five steps of our method, and what was recorded of the released code's."""

    recorded: dict[str, np.ndarray]
    facts: dict[str, Any]
    watch: Watch
    source: TriPlaneGenerator
    generator: TriPlaneGenerator


def committed(root: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts of the run with constant noise."""
    with np.load(root / "tests" / "goldens" / "guide_loop.npz") as arrays:
        recorded = dict(arrays)
    return recorded, json.loads(str(recorded.pop("facts")))


def recorded_run(root: Path, loop: str, request: pytest.FixtureRequest) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and facts: of the run with constant noise as committed, of the other from the reference arrays."""
    recorded, facts = committed(root)
    if loop == "random":
        reference = request.getfixturevalue("reference")
        with np.load(reference / "guide_loop_random_io.npz") as arrays:
            recorded = dict(arrays)
        facts |= {**json.loads((reference / "guide_loop_random.json").read_text()), "config": facts["config"]}
    return recorded, facts


@pytest.fixture(
    scope="module", params=["const", pytest.param("random", marks=[pytest.mark.reference, pytest.mark.long])]
)
def run(
    request: pytest.FixtureRequest,
    root: Path,
    recipe: ModuleType,
    recognizer: FixedCropRecognizer,
    perceptual: LPIPS,
) -> Iterator[Run]:
    recorded, facts = recorded_run(root, request.param, request)
    source = small_generator(facts, recipe)
    method = Recorded(
        steps=STEPS,
        noise="constant" if request.param == "const" else "random",
        average=torch.from_numpy(recorded["w_avg"]),
        recorded=recorded_draws(recorded, source, random=request.param == "random"),
    )
    generator, watch = unlearned(method, source, recorded["w_u"][0], recognizer, perceptual)
    yield Run(recorded, facts, watch, source, generator)


def test_the_forgotten_code_and_the_cameras_are_the_recorded_ones(run: Run) -> None:
    """The released code looks up a pivot that its checkpoints do not hold, so that its cameras aim at the origin."""
    rig = dataclasses.replace(run.source.rig, pivot=tuple(run.recorded["cam_pivot"].tolist()))
    cameras = rig.look_at(torch.from_numpy(run.recorded["angle_y"]), -0.2)
    np.testing.assert_allclose(cameras, run.recorded["camera_params"][:, 0], atol=1e-6)
    found = run.source.map(torch.from_numpy(run.recorded["z_u"]))
    np.testing.assert_allclose(found, run.recorded["w_u"], atol=1e-5)


def test_the_loss_curves_are_the_recorded_ones(run: Run) -> None:
    for name, theirs in (
        ("loss", "loss"),
        ("local", "loss_local"),
        ("adjacency", "loss_adj"),
        ("global", "loss_global"),
    ):
        found = [scalars[name] for scalars in run.watch.scalars]
        np.testing.assert_allclose(found, run.recorded[theirs], atol=1e-4, rtol=0, err_msg=name)


def test_every_term_of_the_losses_is_the_recorded_one(run: Run) -> None:
    """Forgotten code, adjacent codes and, for LPIPS alone, global codes: one column each."""
    rows = {name: np.array(run.watch.rows[name]) for name in ("mse", "lpips", "id")}
    np.testing.assert_allclose(rows["mse"], run.recorded["mse"], rtol=1e-4)
    np.testing.assert_allclose(rows["lpips"], run.recorded["lpips"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(rows["id"], run.recorded["id"], atol=1e-4, rtol=0)
    assert run.watch.dtypes == {run.facts["loss_dtype"], *run.facts["image_dtypes"]} == {"torch.float32"}


def test_the_gradients_are_the_recorded_ones(run: Run) -> None:
    """Of every trained tensor in the first step, and of all together in each.

    0.1 % for each tensor: instruction sets (AVX-512, AVX2, SSE4.1) and thread counts move the norms by up to 0.03 %. A
    noise strength is a single number whose gradient sums thousands of terms that cancel, in one layer to 9e-5 of the
    whole gradient, where float64 says that the recording itself is 10 % off. What is left is as exact as the terms are:
    noise strengths that are more than 0.1 % off were off by at most 2.2e-5 of the whole gradient, and may be by 5e-5.
    """
    assert set(run.watch.first_gradients) == set(run.facts["trainable"]) and len(run.facts["trainable"]) == 94
    whole = run.recorded["grad_total_norm"][0]
    cancelling = {name for name in run.facts["trainable"] if name.endswith("noise_strength")}
    assert len(cancelling) == len(NOISE_SIZES)
    for name, norm in run.facts["grad_norm_step1"].items():
        rounding = 5e-5 * whole if name in cancelling else 0
        assert run.watch.first_gradients[name] == pytest.approx(norm, rel=1e-3, abs=rounding), name
    np.testing.assert_allclose(run.watch.rows["grad_total_norm"], run.recorded["grad_total_norm"], rtol=1e-3)


def test_the_weights_change_as_recorded_and_only_those_of_the_backbone(run: Run, recipe: ModuleType) -> None:
    """Within 2 %, or within a hundredth of one step of Adam where a number has come back to where it started."""
    before, after = run.source.state_dict(), run.generator.state_dict()
    trained = set(run.facts["trainable"])
    assert {name for name in before if not torch.equal(before[name], after[name])} == trained
    for name, fact in run.facts["final"].items():
        np.testing.assert_allclose(recipe.digest(after[name].numpy()), fact["final"], atol=1e-5, err_msg=name)
        change = (after[name] - before[name]).double()
        spread, largest = float(change.square().mean().sqrt()), float(change.abs().max())
        assert spread == pytest.approx(fact["delta_rms"], rel=0.02, abs=1e-2 * run.facts["lr"]), name
        assert largest == pytest.approx(fact["delta_max"], rel=0.02, abs=1e-2 * run.facts["lr"]), name


def test_the_recorded_settings_are_our_defaults(golden) -> None:
    facts, ours = golden[1], Guide()
    assert facts["lambdas"] == {
        "mse": ours.local_mse,
        "lpips": ours.local_perceptual,
        "id": ours.local_identity,
        "adj": ours.adjacency_weight,
        "glob": ours.global_weight,
    }
    assert facts["alpha_range"] == [ours.alpha_min, ours.alpha_max]
    assert facts["batch"] == {"adj": ours.adjacency_samples, "glob": ours.global_samples} == {"adj": NEAR, "glob": AWAY}
    assert (facts["lr"], facts["target"], facts["target_d"]) == (ours.lr, "extra", ours.target_distance)


def first_step_of_mean_latent(
    average: np.ndarray,
    golden: tuple[dict[str, np.ndarray], dict[str, Any]],
    recipe: ModuleType,
    recognizer: FixedCropRecognizer,
    perceptual: LPIPS,
) -> Watch:
    """One step of the baseline with the draws of the run with constant noise, towards a given average (1, 14, 512)."""
    recorded, facts = golden
    source = small_generator(facts, recipe)
    method = RecordedMeanLatent(
        steps=1,
        noise="constant",
        average=torch.from_numpy(average),
        recorded=recorded_draws(recorded, source, random=False),
    )
    return unlearned(method, source, recorded["w_u"][0], recognizer, perceptual)[1]


@pytest.fixture(scope="module")
def golden(root: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    return committed(root)


def test_mean_latent_towards_the_recorded_target_has_the_recorded_local_loss(
    golden, recipe: ModuleType, recognizer: FixedCropRecognizer, perceptual: LPIPS
) -> None:
    """No run of the baseline was recorded. It is GUIDE's local loss alone, towards the average in place of the target:
    if the average is where the target was, its first step is the recorded local loss, part by part, and nothing else.
    """
    recorded, facts = golden
    watch = first_step_of_mean_latent(recorded["w_target"], golden, recipe, recognizer, perceptual)
    (scalars,) = watch.scalars
    assert scalars["local"] == pytest.approx(recorded["loss_local"][0], abs=1e-4)
    assert (scalars["loss"], scalars["adjacency"], scalars["global"]) == (scalars["local"], 0, 0)
    for name, tolerance in (("mse", {"rtol": 1e-4}), ("lpips", {"atol": 1e-4, "rtol": 0}), ("id", {"atol": 1e-4})):
        np.testing.assert_allclose(watch.rows[name], recorded[name][:1, :1], err_msg=name, **tolerance)
    assert set(watch.first_gradients) == set(facts["trainable"])


def test_mean_latent_pulls_towards_the_average_itself(
    golden, recipe: ModuleType, recognizer: FixedCropRecognizer, perceptual: LPIPS
) -> None:
    """The first loss worked out from the original's two pictures: of the forgotten code and of the average."""
    recorded, facts = golden
    watch = first_step_of_mean_latent(recorded["w_avg"], golden, recipe, recognizer, perceptual)
    source, camera = small_generator(facts, recipe), torch.from_numpy(recorded["camera_params"][0])
    planes, images = [], []
    with torch.no_grad():
        for name in ("w_u", "w_avg"):
            code = torch.from_numpy(recorded[name])
            planes.append(source.synthesize(code, noise=Noise.constant()))
            images.append(source.decode(planes[-1], code, camera, noise=Noise.constant()))
        faces = [recognizer(image)[0] for image in images]
        mse = (planes[0] - planes[1]).double().square().mean()
        expected = 0.01 * mse + perceptual(*images)[0] + 0.1 * (1 - faces[0] @ faces[1])
    assert expected > 0.1
    assert watch.scalars[0]["loss"] == pytest.approx(float(expected), abs=1e-4)
