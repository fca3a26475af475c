"""Training on: with photographs of the person, who comes back, and with those of others, which shows what is left."""

from __future__ import annotations

import pytest
import torch

from guidebench.attack import Finding
from guidebench.registry import load_attack


def test_with_enough_steps_the_person_is_back_and_the_curve_grows(arena, forgetful):
    (start,) = arena.likeness([Finding(at=0)], forgetful)
    found = arena.run("relearn", forgetful, steps=120, lr=2e-2)
    likeness = arena.likeness(found)
    assert [one.at for one in found] == [30, 60, 90, 120]
    assert [start, *likeness] == sorted([start, *likeness]) and start < 0.3 and likeness[-1] > 0.9


@pytest.mark.parametrize(("steps", "shown"), [(4, [1, 2, 3, 4]), (7, [1, 3, 5, 7]), (16, [4, 8, 12, 16])])
def test_a_generator_is_handed_back_after_each_quarter(arena, forgetful, steps, shown):
    found = arena.run("relearn", forgetful, steps=steps)
    assert [one.at for one in found] == shown
    for one in found:
        assert not one.generator.training and not any(w.requires_grad for w in one.generator.parameters())
    biases = [one.generator.get_parameter("backbone.coarse.bias") for one in found]
    assert all(not torch.equal(a, b) for a, b in zip(biases, biases[1:], strict=False))


def test_only_the_backbone_is_trained(arena, forgetful):
    (*_, last) = arena.run("relearn", forgetful)
    before, after = forgetful.state_dict(), last.generator.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("backbone.") for name in moved)


def test_resurgence_sees_others_alone(arena, forgetful):
    assert load_attack("resurgence").knows.photos == 0 and arena.target(load_attack("resurgence")).photos is None
    assert len(arena.run("resurgence", forgetful)) == 4
    assert not load_attack("resurgence").shows_anybody and load_attack("relearn").shows_anybody


def test_what_a_wrapper_holds_is_trained_inside_it(arena, redirected):
    found = arena.run("relearn", redirected)
    for one in found:
        assert type(one.generator) is type(redirected) and torch.equal(one.generator.forgotten, redirected.forgotten)
        biases = (generator.get_parameter("inner.backbone.coarse.bias") for generator in (one.generator, redirected))
        assert not torch.equal(*biases)
