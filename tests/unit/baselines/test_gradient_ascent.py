"""Gradient ascent: its loss by hand, whom it moves, and what holds it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from analytic_stage import PEOPLE, Stage, fresh

from guidebench.baselines.gradient_ascent import GradientAscent
from guidebench.noise import Noise
from guidebench.settings import with_settings
from guidebench.testbeds.linear import LinearGenerator


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ascent(**fields: Any) -> GradientAscent:
    return GradientAscent(**{"noise": "constant", "steps": 10, "lr": 2e-2, **fields})


def likeness(generator: LinearGenerator, stage: Stage) -> list[float]:
    """The cosine of every person's face and the original's."""
    with torch.no_grad():
        faces = [
            stage.context.recognizer(one.render(stage.latents, noise=Noise.constant()))
            for one in (generator, stage.context.source)
        ]
        return (faces[0] * faces[1]).sum(dim=1).tolist()


def length(generator: LinearGenerator) -> float:
    """How far the backbone is from the start, as a share of its length."""
    pairs = list(zip(generator.backbone.parameters(), fresh().backbone.parameters(), strict=True))
    moved, size = (
        sum(float(value.square().sum()) for value in values)
        for values in (
            [now - then for now, then in pairs],
            [then for _, then in pairs],
        )
    )
    return moved / size


def test_the_person_stops_looking_like_before(stage: Stage) -> None:
    first, *others = likeness(stage.unlearn(ascent(), people=1), stage)
    assert first < 0.3
    assert stage.reports[0]["likeness"] == pytest.approx(1, abs=1e-5) and stage.reports[0]["distance"] == 0
    assert stage.reports[-1]["likeness"] < 0.4
    for row in stage.reports:
        assert row["loss"] == pytest.approx(row["likeness"] + 10 * row["distance"], abs=1e-5)


def test_several_people_are_forgotten_at_once_and_in_mini_batches(stage: Stage) -> None:
    for people_at_once in (PEOPLE, 2):
        found = likeness(stage.unlearn(ascent(people_at_once=people_at_once, l2=1.0)), stage)
        assert max(found) < 0.9 and sum(found) < 0.5 * PEOPLE
        assert [row["step"] for row in stage.reports] == list(range(1, 11)), "one report per pass"
        stage.reports.clear()


def test_l2_holds_the_weights_near_the_start_of_the_request(stage: Stage) -> None:
    loose, tight = (stage.unlearn(ascent(l2=l2), people=1) for l2 in (0.0, 100.0))
    assert length(tight) < length(loose) / 2
    stage.reports.clear()
    stage.unlearn(ascent(l2=100.0), generator=loose, people=1)
    assert stage.reports[0]["distance"] == 0, "a further request starts anew"


def test_only_the_backbone_is_trained(stage: Stage) -> None:
    original, result = LinearGenerator().state_dict(), stage.unlearn(ascent(), people=1)
    for name, value in result.state_dict().items():
        assert torch.equal(value, original[name]) != name.startswith("backbone."), name
    assert not any(parameter.requires_grad for parameter in result.parameters())


def test_training_noise_is_fresh_by_default_and_drawn_apart(stage: Stage) -> None:
    """Noise moves nuisances only, which the recogniser does not see."""
    assert GradientAscent().noise == "random"
    own = ascent()._noise("trained", 2, stage.context, 1)
    assert own.is_constant
    drawn = [
        GradientAscent()._noise(side, 2, stage.context, step).normal((2, 3))
        for side in ("trained", "source")
        for step in (1, 2)
    ]
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn}) == 4
    assert drawn[0].shape == (2, 3) and not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize(("field", "value"), [("lr", "0.001"), ("steps", "3"), ("l2", "1"), ("people_at_once", "1")])
def test_every_setting_changes_the_result(stage: Stage, field: str, value: str) -> None:
    plain = ascent()
    changed = with_settings(plain, {field: value})
    first, second = (stage.unlearn(method).backbone.fine.bias for method in (plain, changed))
    assert not torch.equal(first, second)
