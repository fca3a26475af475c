"""SUGAR's formulas by hand, and that each of its options does what it says and nothing else."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
import torch
from analytic_stage import PEOPLE, Stage
from torch import Tensor

from guidebench.baselines.guide import Guide, extrapolated_target
from guidebench.baselines.latent_map import LatentMap
from guidebench.baselines.sugar import Sugar
from guidebench.chosen import choose
from guidebench.errors import BadInput
from guidebench.noise import Noise
from guidebench.seeds import stream
from guidebench.settings import with_settings
from guidebench.testbeds.linear import LinearGenerator

COUNT = 2  # of random codes and of adjacent ones for each person


@pytest.fixture
def stage() -> Stage:
    return Stage()


def sugar(**fields: Any) -> Sugar:
    return Sugar(**{"noise": "constant", "steps": 3, "map_epochs": 3, **fields})


def lengths(codes: Tensor) -> list[float]:
    return torch.linalg.vector_norm(codes, dim=(1, 2)).tolist()


def same(first: LinearGenerator, second: LinearGenerator) -> bool:
    other = second.state_dict()
    return all(torch.equal(value, other[name]) for name, value in first.state_dict().items())


def test_the_defaults_are_those_of_the_released_scripts() -> None:
    method = Sugar()
    assert (method.lr, method.target_distance, method.ewc_weight, method.map_epochs) == (2e-4, 20.0, 50.0, 50)
    assert (method.map_mse, method.map_perceptual, method.map_identity) == (1e-2, 1.0, 0.1)
    assert (method.map_lr, method.map_patience, method.map_min_delta) == (2e-4, 20, 1e-3)
    assert (method.fisher_samples, method.fisher_distance, method.global_loss) == (2, 40.0, False)
    kept = ("local_mse", "local_perceptual", "local_identity", "adjacency_samples", "alpha_min", "alpha_max", "steps")
    assert [getattr(method, name) for name in kept] == [getattr(Guide(), name) for name in kept]


def test_learned_targets_lie_at_the_distance_in_the_direction_of_the_map(stage: Stage) -> None:
    network, average = LatentMap.drawn(stream("test", "map")), stage.context.source.w_avg
    with torch.no_grad():
        targets = sugar(target_distance=7.0).learned_target_code(network, stage.latents, average)
        direction = network(stage.latents - average)
    assert lengths(targets - average) == pytest.approx([7.0] * PEOPLE, rel=1e-4)
    cosine = ((targets - average) * direction).sum(dim=(1, 2)) / torch.tensor(lengths(direction)) / 7.0
    assert cosine.tolist() == pytest.approx([-1.0] * PEOPLE, rel=1e-4)


def test_the_map_learns_targets_that_look_farther_away(stage: Stage) -> None:
    sugar(map_epochs=15, map_lr=1e-3).learned_map(stage.latents, stage.context)
    losses = [row["map_loss"] for row in stage.reports]
    assert [row["map_epoch"] for row in stage.reports] == list(range(1, 16))
    assert sum(losses[-5:]) < sum(losses[:5])


def test_the_map_stops_when_its_loss_does_not_fall_any_more(stage: Stage) -> None:
    """With a learning rate of 0 only the camera moves the loss, by less than it would have to fall."""
    sugar(map_epochs=50, map_lr=0.0, map_patience=4, map_min_delta=10.0).learned_map(stage.latents, stage.context)
    assert len(stage.reports) == 1 + 4


def test_the_loss_of_the_map_is_the_sum_of_its_terms(stage: Stage) -> None:
    """a · mse - b · a · mse · identity - c · perceptual."""
    method = sugar(map_mse=0.5, map_identity=0.2, map_perceptual=3.0)
    network = method.first_map(stage.context)
    found = method.map_losses(
        network, stage.latents, method.draw_map(stage.context, 1, PEOPLE), slice(0, 2), stage.context
    )
    mse, identity, perceptual = (float(value) for value in (found.mse, found.identity, found.perceptual))
    expected = 0.5 * mse - 0.2 * 0.5 * mse * identity - 3.0 * perceptual
    assert float(method.map_loss(found)) == pytest.approx(expected, rel=1e-5)


def test_gradients_of_the_map_are_those_of_its_loss(stage: Stage) -> None:
    """On the analytic testbed features are the 16 numbers, and the perceptual distance is their mean square, too."""
    method = sugar(map_mse=0.7, map_perceptual=0.2)
    network, source = method.first_map(stage.context), stage.context.source
    draws = method.draw_map(stage.context, 1, PEOPLE)
    places = draws.order[:2]
    method.map_losses(network, stage.latents, draws, slice(0, 2), stage.context)
    found = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    targets = method.learned_target_code(network, stage.latents[places], source.w_avg)
    rows = [source.synthesize(codes, noise=Noise.constant()) for codes in (targets, stage.latents[places])]
    (0.5 * (rows[0] - rows[1]).square().mean()).backward()
    for ours, parameter in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-6, rtol=1e-3)


def test_adjacent_codes_get_the_target_of_where_they_are(stage: Stage) -> None:
    """GUIDE moves the target of the forgotten code along with them."""
    method = sugar()
    draws = method.draw(stage.context, 1, PEOPLE)
    batch = method.aimed(stage.latents, lambda codes: 2 * codes, draws)
    assert (batch.first, batch.near, len(batch.codes)) == (PEOPLE, PEOPLE * (1 + COUNT), PEOPLE * (1 + COUNT))
    torch.testing.assert_close(batch.wanted, 2 * batch.codes)
    steps = batch.codes[PEOPLE:] - stage.latents.repeat_interleave(COUNT, dim=0)
    assert lengths(steps) == pytest.approx(draws.alpha.tolist(), rel=1e-4)


def test_lengths_of_a_batch_shrink_as_released(stage: Stage) -> None:
    """One norm over the people's steps towards random codes: their squares add up to α², and α is the same for all."""
    method = sugar(lengths="batch")
    draws = method.draw(stage.context, 1, PEOPLE)
    steps = method.shift(stage.latents, draws).unflatten(0, (PEOPLE, COUNT))
    together = steps.square().sum(dim=(0, 2, 3)).sqrt()
    assert together.tolist() == pytest.approx(draws.alpha[:COUNT].tolist(), rel=1e-4)
    alone = sugar(lengths="batch").shift(
        stage.latents[:1], dataclasses.replace(draws, towards=draws.towards[:COUNT], alpha=draws.alpha[:COUNT])
    )
    assert lengths(alone) == pytest.approx(draws.alpha[:COUNT].tolist(), rel=1e-4)


def test_random_codes_of_the_fisher_information_lie_at_the_distance(stage: Stage) -> None:
    average = stage.context.source.w_avg
    found = sugar(fisher_distance=9.0).fisher_codes(stage.latents, stage.context) - average
    assert lengths(found) == pytest.approx([9.0] * PEOPLE * COUNT, rel=1e-4)
    together = sugar(fisher_distance=9.0, lengths="batch").fisher_codes(stage.latents, stage.context) - average
    of_person = together.unflatten(0, (PEOPLE, COUNT)).square().sum(dim=(1, 2, 3)).sqrt()
    assert of_person.tolist() == pytest.approx([9.0] * PEOPLE, rel=1e-4)


def test_the_sampled_fisher_information_is_that_of_the_features(stage: Stage) -> None:
    """u = fine(coarse(x)): of a bias of `fine`, ∂u_k/∂b is 1 for its own of the K = 16 numbers, so F = 2 · weight/16.

    Of a weight of `fine` it is the squared input, of `coarse` a sum over K; both in the mean over signs and codes.
    """
    method = sugar(fisher_samples=400, fisher_mse=0.25)
    generator = LinearGenerator().eval().requires_grad_(False)
    found = method.fisher_information(generator, stage.latents, stage.context)
    assert found["fine.bias"].tolist() == pytest.approx([0.5 / 16] * 16, rel=1e-4)
    codes = (method.fisher_codes(stage.latents, stage.context).mean(dim=1) - generator.w_avg) / (
        30 / (generator.num_ws * generator.w_dim) ** 0.5
    )
    inner = generator.backbone.coarse(codes)
    expected = 0.5 / 16 * inner.square().mean(dim=0).expand(16, -1)
    torch.testing.assert_close(found["fine.weight"], expected, rtol=1e-3, atol=1e-6)
    steep = 0.5 / 16 * generator.backbone.fine.weight.square().sum(dim=0)
    torch.testing.assert_close(found["coarse.bias"], steep, rtol=0.15, atol=1e-6)


@pytest.mark.parametrize("fisher", ["anchored", "released"])
def test_released_estimates_are_zero_without_noise_and_that_is_said(
    stage: Stage, caplog: pytest.LogCaptureFixture, fisher: Any
) -> None:
    with caplog.at_level(logging.WARNING):
        found = sugar(fisher=fisher).fisher_information(LinearGenerator(), stage.latents, stage.context)
    assert not any(bool(value.any()) for value in found.values())
    assert f"fisher={fisher}" in caplog.text and "--set fisher=sampled" in caplog.text
    noisy = sugar(fisher=fisher, noise="random").fisher_information(LinearGenerator(), stage.latents, stage.context)
    assert any(bool(value.any()) for value in noisy.values())


def test_the_anchored_estimate_sees_what_an_earlier_request_changed(stage: Stage) -> None:
    before = stage.unlearn(sugar(lr=1e-2), people=1)
    found = sugar(fisher="anchored").fisher_information(before, stage.latents, stage.context)
    assert float(found["fine.bias"].sum()) > 0
    assert not any(parameter.requires_grad for parameter in before.parameters()), "a copy is differentiated"


def test_elastic_weights_start_at_zero_and_hold_the_generator_back(stage: Stage) -> None:
    loose, held = (stage.unlearn(sugar(lr=2e-2, steps=20, ewc_weight=weight)) for weight in (1.0, 1e4))
    rows = [row["ewc"] for row in stage.reports if row["step"] > 0]
    assert rows[0] == rows[20] == 0 and min(rows[1:20] + rows[21:]) > 0
    start = LinearGenerator()
    moved = [(one.backbone.fine.weight - start.backbone.fine.weight).norm().item() for one in (loose, held)]
    assert moved[1] < 0.5 * moved[0]


def test_the_loss_reported_is_the_sum_of_its_parts(stage: Stage) -> None:
    stage.unlearn(sugar(lr=1e-2, global_loss=True, noise="random"))
    rows = [row for row in stage.reports if row["step"] > 0]
    assert [row["step"] for row in rows] == [1, 2, 3]
    for row in rows:
        parts = row["local"] + row["adjacency"] + row["global"] + row["ewc"]
        assert row["loss"] == pytest.approx(parts, rel=1e-5) and row["global"] > 0


def test_without_learned_targets_nothing_learns_and_targets_are_those_of_guide(stage: Stage) -> None:
    method = sugar(learned_target=False)
    aim = method.targets_of(stage.latents, stage.context)
    average = stage.context.source.w_avg
    torch.testing.assert_close(aim(stage.latents), extrapolated_target(stage.latents, average, 20.0))
    assert stage.reports == []
    item = stage.request.forget[0]
    assert sugar().target(item, stage.context.source) is None
    torch.testing.assert_close(method.target(item, stage.context.source), aim(stage.latents)[0])


def test_a_further_request_is_anchored_at_the_generator_that_it_is_given(stage: Stage) -> None:
    method = sugar(lr=1e-2, ewc_weight=1e12, steps=5)
    before = stage.unlearn(sugar(lr=1e-2), people=1)
    state = {name: value.clone() for name, value in before.state_dict().items()}
    after = stage.unlearn(method, before)
    original = LinearGenerator().state_dict()
    for name, value in after.state_dict().items():
        if name.startswith("backbone."):
            assert float((value - state[name]).norm()) < float((value - original[name]).norm()), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learned_target", "false"),
        ("map_epochs", "1"),
        ("map_lr", "0.01"),
        ("map_mse", "30"),
        ("map_perceptual", "0.1"),
        ("fisher", "released"),
        ("fisher", "anchored"),
        ("fisher_samples", "3"),
        ("fisher_distance", "20"),
        ("fisher_mse", "1"),
        ("ewc_weight", "1000"),
        ("ewc_weight", "0"),
        ("lengths", "batch"),
        ("people_at_once", "1"),
        ("global_loss", "true"),
        ("noise", "constant"),
    ],
)
def test_every_setting_changes_the_result(stage: Stage, field: str, value: str) -> None:
    plain = sugar(lr=1e-2, noise="random", map_lr=1e-3)
    changed = with_settings(plain, {field: value})
    assert not same(stage.unlearn(plain), stage.unlearn(changed))


def test_the_pose_of_adjacent_codes_is_that_of_the_step_or_the_frontal_one(stage: Stage) -> None:
    """The analytic mapping ignores the condition, so that both must agree: the same z, mapped once more."""
    camera, frontal = (sugar(adjacency_pose=pose).draw(stage.context, 2, PEOPLE) for pose in ("camera", "frontal"))
    assert torch.equal(camera.towards, frontal.towards)
    conditions: list[Tensor | None] = []

    class Noting(LinearGenerator):
        def map(self, z: Tensor, *, condition: Tensor | None = None, **options: Any) -> Tensor:
            conditions.append(condition)
            return super().map(z, condition=condition, **options)

    context = dataclasses.replace(stage.context, source=Noting())
    drawn = sugar().draw(context, 2, PEOPLE)
    assert conditions[-1] is not None and drawn.camera is not None
    assert torch.equal(conditions[-1], drawn.camera.expand(PEOPLE * COUNT, -1))


def test_every_numeric_setting_has_bounds() -> None:
    hints = {field.name: field.type for field in dataclasses.fields(Sugar)}
    assert set(Sugar.bounds) == {name for name, kind in hints.items() if kind in ("int", "float")}
    with pytest.raises(BadInput):
        with_settings(Sugar(), {"map_epochs": "-1"})


def test_presets_set_steps_and_learning_rate_only() -> None:
    assert set(Sugar.presets) == {"mini", "linear"}
    for testbed, preset in Sugar.presets.items():
        assert set(preset) == {"steps", "lr"} and choose("sugar", testbed).chosen.preset
