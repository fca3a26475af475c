"""GED's two gradients by hand, and that each of its options does what it says."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from analytic_stage import Stage
from torch import Tensor

from guidebench.baselines.ged import Ged, agreeing, aligned
from guidebench.baselines.guide import Guide, extrapolated_target
from guidebench.errors import BadInput
from guidebench.settings import field_names, with_settings
from guidebench.testbeds.linear import FACE, LinearGenerator


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ged(**fields: Any) -> Ged:
    return Ged(**{"noise": "constant", "steps": 3, "lr": 1e-2, **fields})


def moved() -> LinearGenerator:
    """A generator that is not the original any more."""
    generator = LinearGenerator().requires_grad_(False)
    generator.backbone.coarse.bias += 0.3
    return generator


def test_an_element_passes_where_the_gradients_agree_by_more_than_the_threshold() -> None:
    forget, retain = torch.tensor([1.0, -1.0, 2.0, 1.0]), torch.tensor([3.0, -0.5, -1.0, 0.1])
    assert agreeing(forget, retain, 0.2).tolist() == [1.0, -1.0, 0.0, 0.0]
    assert agreeing(forget, retain, 0.0).tolist() == [1.0, -1.0, 0.0, 1.0]


def test_a_tensor_passes_whole_or_not_at_all() -> None:
    """Of (1, 0) and (3, 4) the cosine is 0.6."""
    forget, retain = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert aligned(forget, retain, 0.59).tolist() == [[1.0, 0.0]]
    assert aligned(forget, retain, 0.61).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("kind", ["element", "layer", "none"])
def test_the_filter_is_on_for_a_share_of_the_steps_and_then_both_gradients_count(kind: Any) -> None:
    method = ged(filter=kind)
    forget, retain = [torch.tensor([1.0, 2.0])], [torch.tensor([-2.0, 3.0])]
    assert method.combined(forget, retain, False)[0].tolist() == [-1.0, 5.0]
    expected = {"element": [0.0, 2.0], "layer": [1.0, 2.0], "none": [0.0, 2.0]}[kind]
    assert method.combined(forget, retain, True)[0].tolist() == expected


def test_401_of_1000_steps_are_filtered_as_released(stage: Stage, monkeypatch) -> None:
    asked: list[bool] = []
    combined = Ged.combined
    monkeypatch.setattr(Ged, "combined", lambda self, *given: asked.append(given[2]) or combined(self, *given))
    stage.unlearn(ged(steps=10), people=1)
    assert asked == [True] * 4 + [False] * 6
    asked.clear()
    stage.unlearn(ged(filter="none"), people=1)
    assert asked == [False] * 3
    assert round(Ged().filter_share * Ged().steps) == 401


def test_what_forgets_is_guides_local_and_adjacency_loss(stage: Stage) -> None:
    method, generator = ged(local_perceptual=3.0, adjacency_identity=0.5), moved()
    parameters = list(generator.parts()["backbone"].requires_grad_(True).parameters())
    latent = stage.latents[:1]
    target = extrapolated_target(latent, generator.w_avg, 30.0)
    draws = method.draw(stage.context, 1)
    loss, gradients = method.forget_gradients(generator, latent, target, draws, stage.context, parameters)
    guide = Guide(
        **{"local_mse": 0.05, "local_perceptual": 3.0, "local_identity": 0.2, "adjacency_mse": 0.05},
        **{"adjacency_perceptual": 1.5, "adjacency_identity": 0.5, "adjacency_samples": 1, "noise": "constant"},
    )
    found = guide.losses(generator, latent, target, guide.draw(stage.context, 1), stage.context)
    (found.local + found.adjacency).backward()
    assert float(loss) == pytest.approx(float((found.local + found.adjacency).detach()), rel=1e-5)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_what_retains_is_the_weighted_sum_of_its_terms(stage: Stage) -> None:
    """By the testbed's definitions: the perceptual distance is the mean of (Δu)², and so is that of features."""
    method, generator = ged(retain_mse=0.5, retain_identity=2.0, separation=0.1), moved()
    draws, latent = method.draw(stage.context, 1), stage.latents[:1]
    terms = method.retained(generator, latent, draws, stage.context, 1)
    square = torch.full((2,), 12 * 0.3**2 / FACE)  # the rotation behind the bias keeps lengths
    torch.testing.assert_close(terms.mse, square, rtol=1e-4, atol=0)
    torch.testing.assert_close(terms.perceptual, square, rtol=1e-4, atol=0)
    camera = draws.camera.expand(3, -1)
    codes = torch.cat([latent, draws.others])
    images = generator.decode(
        generator.backbone((codes.mean(1) - generator.w_avg) / (30 / 48**0.5)), codes, camera, noise=None
    )
    apart = stage.context.perceptual(images[1:], images[:1].expand(2, -1, -1, -1))
    torch.testing.assert_close(terms.triplet, torch.relu(apart - square + 0.3), rtol=1e-4, atol=1e-6)
    colours = images.mean(dim=(2, 3))
    torch.testing.assert_close(terms.colour, (colours[1:] - colours[:1]).square().mean(1), rtol=1e-4, atol=1e-9)
    parameters = list(generator.parts()["backbone"].requires_grad_(True).parameters())
    loss, gradients = method.retain_gradients(generator, latent, draws, stage.context, 1, parameters)
    kept = terms.perceptual + 0.5 * terms.mse + 2.0 * terms.identity + 0.1 * (terms.triplet + terms.colour)
    assert float(loss) == pytest.approx(4.0 * float(kept.sum()), rel=1e-5)
    assert len(gradients) == len(parameters) and all(gradient.any() for gradient in gradients)


def test_the_original_is_retained_but_for_the_terms_that_look_at_the_forgotten_code(stage: Stage) -> None:
    terms = ged().retained(LinearGenerator(), stage.latents[:1], ged().draw(stage.context, 1), stage.context, 1)
    for one in (terms.perceptual, terms.mse, terms.identity):
        torch.testing.assert_close(one, torch.zeros(2), rtol=0, atol=1e-6)
    assert bool((terms.triplet >= 0.3).all())


def test_the_triplet_can_be_turned_round(stage: Stage) -> None:
    generator, latent = moved(), stage.latents[:1]
    draws = ged().draw(stage.context, 1)
    released, corrected = (
        ged(triplet=kind, margin=50.0).retained(generator, latent, draws, stage.context, 1).triplet
        for kind in ("released", "corrected")
    )
    torch.testing.assert_close(released + corrected, torch.full((2,), 100.0))
    assert bool((released > 50).all()), "far from the forgotten face, near what it was"


def gradient_at_the_forgotten_code(method: Ged, stage: Stage) -> Tensor:
    """Of the triplet term, with respect to the anatomy of the face that only the forgotten code's images show."""
    generator = LinearGenerator().requires_grad_(False)
    generator.backbone.fine.bias.requires_grad_(True)
    draws = method.draw(stage.context, 1)
    loss = method.retained(generator, stage.latents[:1], draws, stage.context, 1).triplet.sum()
    (found,) = torch.autograd.grad(loss, generator.backbone.fine.bias)
    return found


def test_the_triplets_gradient_passes_through_the_forgotten_code_as_released(stage: Stage) -> None:
    """A bias moves both faces of the distance alike: its gradient vanishes unless the forgotten one is detached."""
    through, detached = (gradient_at_the_forgotten_code(ged(triplet_moves_forgotten=on), stage) for on in (True, False))
    assert float(through.abs().max()) < 1e-5 < float(detached.abs().max())


def test_only_the_backbone_is_trained_and_losses_are_reported(stage: Stage) -> None:
    original, result = LinearGenerator().state_dict(), stage.unlearn(ged(), people=1)
    for name, value in result.state_dict().items():
        assert torch.equal(value, original[name]) != name.startswith("backbone."), name
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in result.parameters())
    assert all(row["loss"] == pytest.approx(row["forget"] + row["retain"]) for row in stage.reports)
    assert [row["step"] for row in stage.reports] == [1, 2, 3]


def test_training_noise_is_fresh_by_default(stage: Stage) -> None:
    """Noise moves the nuisances of both sides apart, in renders and in features of their own."""
    method = ged(noise="random")
    terms = method.retained(LinearGenerator(), stage.latents[:1], method.draw(stage.context, 1), stage.context, 1)
    assert terms.mse.min().item() > 1e-4 and terms.perceptual.min().item() > 1e-4
    assert not torch.allclose(terms.mse, terms.perceptual)


def test_the_target_is_guides(stage: Stage) -> None:
    item, source = stage.request.forget[0], stage.context.source
    assert torch.equal(Ged().target(item, source), Guide().target(item, source))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target_distance", "10"),
        ("local_mse", "1"),
        ("local_perceptual", "0.5"),
        ("local_identity", "1"),
        ("adjacency_mse", "1"),
        ("adjacency_perceptual", "0.5"),
        ("adjacency_identity", "1"),
        ("adjacency_samples", "3"),
        ("alpha_min", "10"),
        ("alpha_max", "30"),
        ("retain_weight", "1"),
        ("retain_samples", "3"),
        ("retain_mse", "1"),
        ("retain_perceptual", "3"),
        ("retain_identity", "3"),
        ("separation", "1"),
        ("triplet", "corrected"),
        ("triplet_moves_forgotten", "false"),
        ("filter", "layer"),
        ("filter", "none"),
        ("filter_share", "1"),
        ("filter_threshold", "0.01"),
        ("noise", "random"),
    ],
)
def test_every_setting_changes_the_result(stage: Stage, field: str, value: str) -> None:
    plain = ged()
    changed = with_settings(plain, {field: value})
    first, second = (stage.unlearn(method, people=1).backbone.fine.bias for method in (plain, changed))
    assert not torch.equal(first, second)


def test_bounds_are_of_every_number_and_enforced(says) -> None:
    numbers = {name for name in field_names(Ged()) if type(getattr(Ged(), name)) in (int, float)}
    assert set(Ged.bounds) == numbers
    with pytest.raises(BadInput, match=says("retain_weight=-1")):
        with_settings(Ged(), {"retain_weight": "-1"})
    with pytest.raises(BadInput, match=says("alpha_min", "alpha_max", "20")):
        with_settings(Ged(), {"alpha_min": "20"})
    assert dataclasses.replace(Ged(), alpha_min=3.0).guide.alpha_min == 3.0
