"""GUIDE's formulas by hand, and that each of its options does what it says and nothing else."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.baselines.guide import (
    Draws,
    Extrapolated,
    ExtrapolatedAdjacency,
    Guide,
    Losses,
    MeanLatent,
    adjacent_shift,
    extrapolated_target,
)
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import make_context
from guidebench.errors import BadInput
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.seeds import stream
from guidebench.settings import with_settings
from guidebench.testbed import Players
from guidebench.testbeds.linear import (
    ANATOMY,
    ANATOMY_VALUE,
    CODE_SCALE,
    FACE,
    IDENTITY,
    LinearGenerator,
    LinearTestbed,
)
from guidebench.unlearner import Context, ForgetItem, ForgetRequest

PROTOCOL = Protocol(name="guide", version=1, title="", source="dev", identities=1, retain=0, views=1, samples=2)
LADDER = (MeanLatent, Extrapolated, ExtrapolatedAdjacency, Guide)


def as_numbers(scalars: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in scalars.items()}


def numbers(found: Losses) -> dict[str, float]:
    return as_numbers(found.scalars())


class Stage:
    """A context on the analytic testbed, with a request and a list of progress reports."""

    def __init__(self) -> None:
        self.bench = Bench(LinearTestbed())
        self.players: Players = self.bench.players
        (self.request,) = self.bench.cast(PROTOCOL, 0).requests
        self.item: ForgetItem = self.request.forget[0]
        self.reports: list[dict[str, float]] = []
        self.context: Context = make_context(
            self.bench.players,
            self.bench.testbed.device,
            PROTOCOL,
            self.request,
            0,
            lambda step, **scalars: self.reports.append(as_numbers(scalars)),
        )
        self.latent = self.item.latent[None]

    def unlearn(self, method: Guide) -> LinearGenerator:
        generator = LinearGenerator().eval().requires_grad_(False)
        result = method.unlearn(generator, ForgetRequest((self.item,)), self.context)
        assert isinstance(result, LinearGenerator)
        return result

    def losses(self, method: Guide, draws: Draws) -> dict[str, float]:
        """The scalars of a step of a generator that is still the original."""
        target = method.target_code(self.latent, self.context.source.w_avg)
        return numbers(method.losses(LinearGenerator(), self.latent, target, draws, self.context))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def guide(**fields: Any) -> Guide:
    return Guide(**{"noise": "constant", "steps": 3, **fields})


def face(code: Tensor, generator: LinearGenerator) -> Tensor:
    """The 16 numbers that the original shows for a code (num_ws, w_dim), by the testbed's definition."""
    normals = (code.mean(dim=0) - generator.w_avg) / CODE_SCALE
    return torch.cat([torch.full((ANATOMY,), ANATOMY_VALUE), normals])


def test_the_extrapolated_target_lies_opposite_the_face_at_the_distance() -> None:
    """Two rows of two: w̄ = 1 everywhere, w - w̄ = (3, 0 | 0, 4) with norm 5 over all four, so w_t = 1 - 10/5 · that."""
    average = torch.ones(2)
    latent = torch.tensor([[[4.0, 1.0], [1.0, 5.0]]])
    expected = torch.tensor([[[-5.0, 1.0], [1.0, -7.0]]])
    torch.testing.assert_close(extrapolated_target(latent, average, 10.0), expected)


@pytest.mark.reference
@pytest.mark.parametrize("loop", ["const", "random"])
def test_the_extrapolated_target_is_the_one_that_the_released_code_computed(reference: Path, loop: str) -> None:
    """Codes of 14 × 512 numbers and an average that differs by row, both recorded from a run of the released code."""
    with np.load(reference / f"guide_loop_{loop}_io.npz") as recorded:
        latent, average, target = (torch.from_numpy(recorded[name]) for name in ("w_u", "w_avg", "w_target"))
    torch.testing.assert_close(extrapolated_target(latent, average, 30.0), target, atol=1e-5, rtol=1e-5)


def test_the_norms_are_of_each_code_and_not_of_the_batch() -> None:
    latent = torch.randn(3, 2, 4, generator=stream("test", "batch"))
    together = extrapolated_target(latent, torch.zeros(4), 30.0)
    assert torch.linalg.vector_norm(together, dim=(1, 2)).tolist() == pytest.approx([30.0] * 3, rel=1e-5)


def test_an_adjacent_code_lies_alpha_towards_the_random_code() -> None:
    """From 0 towards (3, 0 | 0, 4) of norm 5 by α = 10: (6, 0 | 0, 8); towards (0, 2 | 0, 0) by 1: (0, 1 | 0, 0)."""
    latent = torch.zeros(1, 2, 2)
    towards = torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[0.0, 2.0], [0.0, 0.0]]])
    expected = torch.tensor([[[6.0, 0.0], [0.0, 8.0]], [[0.0, 1.0], [0.0, 0.0]]])
    torch.testing.assert_close(adjacent_shift(latent, towards, torch.tensor([10.0, 1.0])), expected)


def test_a_code_that_is_the_average_itself_has_no_opposite_and_gives_no_nan() -> None:
    average = torch.ones(4)
    assert torch.equal(extrapolated_target(average.expand(1, 2, 4), average, 30.0), average.expand(1, 2, 4))


def test_the_mean_target_is_the_average_and_the_extrapolated_one_is_d_beyond_it(stage: Stage) -> None:
    average = stage.context.source.w_avg
    assert torch.equal(MeanLatent().target(stage.item, stage.context.source), average.expand_as(stage.item.latent))
    beyond = Guide(target_distance=20.0).target(stage.item, stage.context.source) - average
    own = stage.item.latent - average
    assert float(torch.linalg.vector_norm(beyond)) == pytest.approx(20.0, rel=1e-5)
    assert float((beyond * own).sum() / beyond.norm() / own.norm()) == pytest.approx(-1.0, rel=1e-5)


def test_the_local_loss_is_the_weighted_sum_of_three_distances(stage: Stage) -> None:
    """On the analytic testbed the features are u and the perceptual distance is the mean of (Δu)² as well.

    So L = (mse + perceptual) · |Δu|²/16 + identity · (1 - cos). The training recogniser: c = 0.7 · anatomy, scalings
    from 0.8 to 1.2.
    """
    method = guide(adjacency_loss=False, global_loss=False, local_mse=0.5, local_perceptual=2.0, local_identity=3.0)
    generator = LinearGenerator()
    target = method.target_code(stage.latent, generator.w_avg)[0]
    mine, wanted = face(stage.item.latent, generator), face(target, generator)
    square = float((mine - wanted).square().sum()) / FACE
    scalings = torch.linspace(0.8, 1.2, IDENTITY)
    a, b = (scalings * u[ANATOMY : ANATOMY + IDENTITY] for u in (mine, wanted))
    c2 = (0.7 * ANATOMY_VALUE) ** 2
    cosine = (c2 + float(a @ b)) / math.sqrt((c2 + float(a @ a)) * (c2 + float(b @ b)))
    found = stage.losses(method, method.draw(stage.context, 1))
    assert found["local"] == pytest.approx(2.5 * square + 3.0 * (1 - cosine), rel=1e-4)
    assert found["loss"] == found["local"]


def test_the_defaults_are_the_published_settings() -> None:
    """The defaults of the released command line, as its README uses it for GUIDE."""
    method = Guide()
    assert (method.steps, method.lr, method.target_kind, method.target_distance) == (1000, 1e-4, "extrapolated", 30.0)
    assert (method.local_mse, method.local_perceptual, method.local_identity) == (1e-2, 1.0, 0.1)
    assert (method.adjacency_mse, method.adjacency_perceptual, method.adjacency_identity) == (1e-2, 1.0, 0.1)
    assert (method.adjacency_samples, method.adjacency_weight, method.alpha_min, method.alpha_max) == (
        2,
        1.0,
        0.0,
        15.0,
    )
    assert (method.global_samples, method.global_weight) == (2, 1.0)
    assert (method.reduction, method.noise) == ("sum", "random")


def test_the_adjacency_loss_is_the_local_loss_at_the_shifted_codes(stage: Stage) -> None:
    """Eq. 7: both the forgotten code and its target move by the same Δ, so a local loss there must give the term."""
    method = guide(reduction="sum")
    draws = method.draw(stage.context, 1)
    shift = adjacent_shift(stage.latent, draws.towards, draws.alpha)
    target = method.target_code(stage.latent, stage.context.source.w_avg)
    alone = dataclasses.replace(draws, towards=draws.towards[:0], alpha=draws.alpha[:0], others=draws.others[:0])
    expected = sum(
        method.losses(LinearGenerator(), stage.latent + delta, target + delta, alone, stage.context).local.item()
        for delta in shift
    )
    assert stage.losses(method, draws)["adjacency"] == pytest.approx(expected, rel=1e-5)


def test_the_global_loss_compares_random_faces_with_what_they_were(stage: Stage) -> None:
    """Zero for the original itself; for an anatomy number moved by 0.5 each perceptual distance is 0.25/16 (Eq. 8)."""
    method = guide()
    draws = method.draw(stage.context, 1)
    assert stage.losses(method, draws)["global"] == pytest.approx(0, abs=1e-9)
    moved = LinearGenerator().requires_grad_(False)
    moved.backbone.fine.bias[0] += 0.5
    target = method.target_code(stage.latent, moved.w_avg)
    found = numbers(method.losses(moved, stage.latent, target, draws, stage.context))
    assert found["global"] == pytest.approx(2 * 0.25 / FACE, rel=1e-4)


def test_reduction_mean_takes_the_papers_mean_over_the_samples(stage: Stage) -> None:
    """With N_a = 2 and N_g = 4 samples the sums are twice and four times the means."""
    summed = guide(adjacency_samples=2, global_samples=4)
    draws = summed.draw(stage.context, 1)
    moved = LinearGenerator().requires_grad_(False)
    moved.backbone.coarse.bias += 0.3
    target = summed.target_code(stage.latent, moved.w_avg)
    averaged = dataclasses.replace(summed, reduction="mean")
    sums, means = (
        numbers(method.losses(moved, stage.latent, target, draws, stage.context)) for method in (summed, averaged)
    )
    assert means["global"] > 0
    assert sums["adjacency"] == pytest.approx(2 * means["adjacency"], rel=1e-5)
    assert sums["global"] == pytest.approx(4 * means["global"], rel=1e-5)
    assert sums["local"] == means["local"]


@pytest.mark.parametrize("field", ["adjacency_weight", "global_weight"])
def test_the_outer_weights_scale_their_term_alone(stage: Stage, field: str) -> None:
    moved = LinearGenerator().requires_grad_(False)
    moved.backbone.coarse.bias += 0.3
    single, threefold = guide(), guide(**{field: 3.0})
    draws = single.draw(stage.context, 1)
    target = single.target_code(stage.latent, moved.w_avg)
    ones, threes = (numbers(m.losses(moved, stage.latent, target, draws, stage.context)) for m in (single, threefold))
    term = field.removesuffix("_weight")
    for name in ("local", "adjacency", "global"):
        assert threes[name] == pytest.approx(ones[name] * (3 if name == term else 1), rel=1e-5)


def streams_of(method: Guide, context: Context, step: int) -> dict[str, Tensor]:
    """What a method draws in a step, the noise by the rows of the terms that it has."""
    draws = method.draw(context, step)
    near, away = len(draws.towards), len(draws.others)
    found = {"towards": draws.towards, "alpha": draws.alpha, "others": draws.others}
    assert draws.camera is not None
    found["camera"] = draws.camera
    for side in (0, 1):
        rows = draws.render_noise[side].normal((1 + near + away, 5))
        found[f"local noise {side}"] = rows[:1]
        found[f"adjacency noise {side}"] = rows[1 : 1 + near]
        found[f"global noise {side}"] = rows[1 + near :]
        found[f"feature noise {side}"] = draws.feature_noise[side].normal((1 + near, 5))[:1]
    return found


def test_switching_a_loss_on_or_off_shifts_no_other_draw(stage: Stage) -> None:
    """Every row of the ladder draws what the full method draws, less what its missing losses would have drawn."""
    full = streams_of(Guide(), stage.context, 7)
    for method in (MeanLatent(), Extrapolated(), ExtrapolatedAdjacency(), Guide(adjacency_loss=False)):
        drawn = streams_of(method, stage.context, 7)
        for name, values in drawn.items():
            assert len(values) == 0 or torch.equal(values, full[name]), name


def test_every_draw_differs_from_step_to_step_and_from_stream_to_stream(stage: Stage) -> None:
    first, second = (streams_of(Guide(), stage.context, step) for step in (1, 2))
    assert all(not torch.equal(first[name], second[name]) for name in first)
    noises = [tuple(values[0].tolist()) for name, values in first.items() if "noise" in name]
    assert len(set(noises)) == len(noises)
    assert not torch.equal(first["towards"], first["others"])


def test_the_distance_of_adjacent_codes_covers_its_range_and_no_more(stage: Stage) -> None:
    method = Guide(alpha_min=5.0, alpha_max=7.0, adjacency_samples=200, global_loss=False)
    alpha = method.draw(stage.context, 1).alpha
    assert 5.0 <= float(alpha.min()) < 5.2 and 6.8 < float(alpha.max()) < 7.0


def test_an_empty_range_of_distances_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"alpha_min\b.*\b20\b.*alpha_max\b.*\b15\b"):
        Guide(alpha_min=20.0)
    with pytest.raises(BadInput, match="alpha_max"):
        with_settings(Guide(), {"alpha_min": "20"})


class Counting(LinearGenerator):
    """Notes the batch sizes that it synthesises and decodes, and whether noise was constant."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int, bool]] = []

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        self.calls.append(("synthesize", len(ws), noise.is_constant))
        return super().synthesize(ws, noise=noise)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        self.calls.append(("decode", len(ws), noise.is_constant))
        if self.rig is not None:
            assert cameras is not None and bool((cameras == cameras[0]).all()), "one camera for all codes of a step"
        return super().decode(features, ws, cameras, noise=noise)


@pytest.mark.parametrize(
    ("noise", "deterministic", "expected"),
    [
        ("constant", False, [("synthesize", 5, True), ("decode", 5, True)]),
        ("random", True, [("synthesize", 5, False), ("decode", 5, False)]),
        ("random", False, [("synthesize", 5, False), ("decode", 5, False), ("synthesize", 3, False)]),
    ],
)
def test_all_codes_of_a_step_pass_each_generator_in_one_batch(
    stage: Stage, noise: Any, deterministic: bool, expected: list[tuple[str, int, bool]]
) -> None:
    """1 forgotten, 2 adjacent and 2 global codes; fresh features only where noise would make them differ."""
    trained, source = Counting(), Counting()
    trained.features_are_deterministic = source.features_are_deterministic = deterministic
    context = dataclasses.replace(stage.context, source=source)
    method = Guide(noise=noise)
    target = method.target_code(stage.latent, source.w_avg)
    draws = method.draw(stage.context, 1)
    method.losses(trained, stage.latent, target, draws, context)
    assert trained.calls == expected
    assert source.calls == expected


class Cramped(LinearGenerator):
    """Its memory holds some codes at a time and no more; notes how many it was given."""

    holds = 5

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        self.given.append(len(ws))
        if len(ws) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().decode(features, ws, cameras, noise=noise)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("noise", ["constant", "random"])
@pytest.mark.parametrize(("holds", "expected"), [(3, [5, 3, 2, 3, 2]), (2, [5, 3, 2, 2, 1, 2, 2, 1]), (1, None)])
def test_a_step_that_the_memory_does_not_hold_is_done_in_parts_and_comes_to_the_same(
    stage: Stage, holds: int, expected: list[int] | None, noise: Any, reduction: Any
) -> None:
    method = guide(steps=2, lr=1e-2, noise=noise, reduction=reduction)
    whole, reported = stage.unlearn(method), list(stage.reports)
    stage.reports.clear()
    cramped = Cramped().eval().requires_grad_(False)
    cramped.holds = holds
    method.unlearn(cramped, ForgetRequest((stage.item,)), stage.context)
    assert expected is None or cramped.given == expected
    for name, value in cramped.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=0, atol=1e-6)
    assert [row["loss"] for row in stage.reports] == pytest.approx([row["loss"] for row in reported], rel=1e-5)


def test_a_memory_that_does_not_hold_one_code_is_an_error(stage: Stage) -> None:
    cramped = Cramped().eval().requires_grad_(False)
    cramped.holds = 0
    with pytest.raises(torch.OutOfMemoryError):
        guide().unlearn(cramped, ForgetRequest((stage.item,)), stage.context)


def test_training_noise_is_fresh_by_default_and_can_be_switched_off(stage: Stage) -> None:
    """Noise moves the nuisances of both sides apart, so even the original has a global loss above zero."""
    assert stage.losses(guide(), guide().draw(stage.context, 1))["global"] == pytest.approx(0, abs=1e-9)
    noisy = guide(noise="random")
    assert stage.losses(noisy, noisy.draw(stage.context, 1))["global"] > 1e-4


@pytest.mark.parametrize("kind", LADDER, ids=lambda kind: kind.name)
def test_only_the_backbone_is_trained(stage: Stage, kind: type[Guide]) -> None:
    original = LinearGenerator()
    result = stage.unlearn(kind(steps=3, lr=1e-2))
    for name, value in result.state_dict().items():
        assert torch.equal(value, original.state_dict()[name]) != name.startswith("backbone."), name
    assert not any(parameter.requires_grad for parameter in result.parameters())
    assert all(parameter.grad is None for parameter in stage.context.source.parameters())


def test_each_step_reports_its_losses_and_they_add_up(stage: Stage) -> None:
    stage.unlearn(guide(steps=4, lr=1e-2))
    assert len(stage.reports) == 4
    for row in stage.reports:
        assert row["loss"] == pytest.approx(row["local"] + row["adjacency"] + row["global"], rel=1e-5)
    assert stage.reports[-1]["loss"] < stage.reports[0]["loss"]


def test_no_steps_change_nothing(stage: Stage) -> None:
    result, original = stage.unlearn(guide(steps=0)), LinearGenerator()
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in result.state_dict().items())
    assert stage.reports == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lr", "0.003"),
        ("target_kind", "mean"),
        ("target_distance", "10"),
        ("local_mse", "1"),
        ("local_perceptual", "0.5"),
        ("local_identity", "1"),
        ("adjacency_loss", "false"),
        ("adjacency_mse", "1"),
        ("adjacency_perceptual", "0.5"),
        ("adjacency_identity", "1"),
        ("adjacency_weight", "2"),
        ("adjacency_samples", "3"),
        ("alpha_min", "10"),
        ("alpha_max", "30"),
        ("global_loss", "false"),
        ("global_weight", "2"),
        ("global_samples", "3"),
        ("reduction", "mean"),
        ("noise", "random"),
    ],
)
def test_every_setting_changes_the_result(stage: Stage, field: str, value: str) -> None:
    plain = guide(lr=1e-2)
    changed = with_settings(plain, {field: value})
    first, second = (stage.unlearn(method).backbone.fine.bias for method in (plain, changed))
    assert not torch.equal(first, second)


def test_every_numeric_setting_has_bounds_and_they_are_enforced(says) -> None:
    hints = {field.name: field.type for field in dataclasses.fields(Guide)}
    assert set(Guide.bounds) == {name for name, kind in hints.items() if kind in ("int", "float")}
    for name, (low, high) in Guide.bounds.items():
        with pytest.raises(BadInput, match=says(f"{name}=-1000000000", f"{low:g}", f"{high:g}")):
            with_settings(Guide(), {name: "-1000000000"})
    with pytest.raises(BadInput):
        with_settings(Guide(), {"lr": "nan"})


@pytest.mark.parametrize("kind", LADDER, ids=lambda kind: kind.name)
def test_presets_set_steps_and_learning_rate_only(kind: type[Guide]) -> None:
    assert set(kind.presets) == {"mini", "linear"}
    assert all(set(preset) == {"steps", "lr"} for preset in kind.presets.values())


def test_a_two_dimensional_generator_needs_no_camera(stage: Stage) -> None:
    flat = Counting().requires_grad_(False)
    flat.rig = None
    cameras = dataclasses.replace(stage.context.cameras, generator=flat)
    context = dataclasses.replace(stage.context, source=flat, cameras=cameras)
    trained = Counting().requires_grad_(False)
    trained.rig = None
    result = guide(lr=1e-2).unlearn(trained, ForgetRequest((stage.item,)), context)
    assert not torch.equal(result.get_parameter("backbone.fine.bias"), flat.backbone.fine.bias)
