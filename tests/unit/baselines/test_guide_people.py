"""GUIDE for several people in one request: targets, draws, mini-batches and parts of a step."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from analytic_stage import PEOPLE, Stage, fresh
from torch import Tensor

from guidebench.baselines.guide import Draws, Guide
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearGenerator


@pytest.fixture
def stage() -> Stage:
    return Stage()


def guide(**fields: Any) -> Guide:
    return Guide(**{"noise": "constant", "steps": 2, **fields})


def numbers(found: Any) -> dict[str, float]:
    return {name: value.item() for name, value in found.scalars().items()}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_losses_of_several_people_are_means_over_them_and_the_global_loss_is_there_once(
    stage: Stage, reduction: Any
) -> None:
    method, trained = guide(reduction=reduction), fresh()
    trained.backbone.fine.bias[0] += 0.5
    latents, targets = stage.latents, guide().target_code(stage.latents, stage.context.source.w_avg)
    draws = method.draw(stage.context, 1, PEOPLE)
    assert (len(draws.towards), len(draws.alpha), len(draws.others)) == (6, 6, 2)
    together = numbers(method.losses(trained, latents, targets, draws, stage.context))
    each = []
    for row in range(3):
        own = slice(2 * row, 2 * row + 2)
        alone = dataclasses.replace(draws, towards=draws.towards[own], alpha=draws.alpha[own])
        found = method.losses(trained, latents[row : row + 1], targets[row : row + 1], alone, stage.context)
        each.append(numbers(found))
    for name in ("local", "adjacency", "global"):
        assert together[name] == pytest.approx(sum(one[name] for one in each) / 3, rel=1e-5)


def test_the_draws_of_the_first_person_do_not_depend_on_how_many_there_are(stage: Stage) -> None:
    alone, among = (Guide().draw(stage.context, 5, people) for people in (1, 3))
    assert torch.equal(alone.alpha, among.alpha[:2]) and torch.equal(alone.others, among.others)
    assert alone.camera is not None and among.camera is not None and torch.equal(alone.camera, among.camera)
    drawn = {float(among.render_noise[0].rows(row, 1).normal((1,))) for row in range(11)}
    assert len(drawn) == 11, "3 forgotten, 6 adjacent and 2 global codes have noise of their own"


@pytest.mark.parametrize(("people_at_once", "expected"), [(1, [1, 1, 1]), (2, [2, 1]), (3, [3]), (4, [3])])
def test_people_pass_in_mini_batches_in_the_order_of_the_request(
    stage: Stage, people_at_once: int, expected: list[int]
) -> None:
    steps: list[tuple[int, Tensor]] = []

    class Noting(Guide):
        def batch(self, latents: Tensor, targets: Tensor, draws: Draws) -> Any:
            steps.append((len(draws.towards), latents))
            return super().batch(latents, targets, draws)

    method = Noting(steps=2, noise="constant", people_at_once=people_at_once)
    stage.unlearn(method)
    assert [len(given) for _, given in steps] == 2 * expected and all(near == 2 * len(given) for near, given in steps)
    assert torch.equal(torch.cat([given for _, given in steps]), torch.cat([stage.latents, stage.latents]))
    assert len(stage.reports) == 2, "one report for each pass"


def test_everybody_of_a_request_is_pulled_to_a_target_of_their_own(stage: Stage) -> None:
    """Faces of all three end nearer to their targets than they began, and not in one place."""
    latents, targets = stage.latents, guide().target_code(stage.latents, stage.context.source.w_avg)
    trained = stage.unlearn(guide(steps=60, lr=2e-2, adjacency_loss=False, global_loss=False))
    noise, source = Noise.constant(), stage.context.source
    with torch.no_grad():
        before, after, wanted = (
            generator.synthesize(codes, noise=noise)
            for generator, codes in ((source, latents), (trained, latents), (source, targets))
        )
    assert bool(((after - wanted).norm(dim=1) < 0.3 * (before - wanted).norm(dim=1)).all())


class Cramped(LinearGenerator):
    """Its memory holds some codes at a time and no more; notes how many it was given."""

    holds = 1

    def __init__(self) -> None:
        super().__init__()
        self.given: list[int] = []

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        self.given.append(len(ws))
        if len(ws) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().decode(features, ws, cameras, noise=noise)


@pytest.mark.parametrize(("holds", "expected"), [(5, [8, 4, 4, 4, 1, 4, 4, 4, 1]), (1, None)])
def test_a_step_for_several_people_may_be_done_in_parts_too(
    stage: Stage, holds: int, expected: list[int] | None
) -> None:
    """8 codes for the first two people of a pass, 5 for the third."""
    method = guide(lr=1e-2, noise="random", people_at_once=2)
    cramped = Cramped().eval().requires_grad_(False)
    cramped.holds = holds
    stage.unlearn(method, cramped)
    assert expected is None or cramped.given == expected
    whole = stage.unlearn(method).state_dict()
    for name, value in cramped.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-6)
