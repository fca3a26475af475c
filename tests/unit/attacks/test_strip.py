"""What is built around weights, or into them, is left out: the weights alone show whom they hold."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from guidebench.baselines.redirect import Redirected


def wrapped(arena, forgotten_by=1e9):
    """A generator that answers every code within a radius with the average one."""
    code = arena.everything.code
    return Redirected(arena.source, code, arena.source.w_avg.expand_as(code), forgotten_by).eval()


@pytest.mark.parametrize("radius", [1e-3, 20.0, 1e9])
def test_a_rule_around_the_generator_falls_off(arena, radius):
    hidden = wrapped(arena, radius)
    found = arena.run("strip", hidden)
    assert arena.likeness([copy.copy(found[0])], hidden)[0] == pytest.approx(1.0, abs=1e-5)
    assert [one.at for one in found] == [2], "the two codes that the wrapper holds"
    assert arena.likeness(arena.run("wide-views", hidden)[:1], hidden)[0] < 0.6


def test_forgotten_weights_stay_forgotten(arena, forgetful):
    hidden = Redirected(forgetful, arena.everything.code, arena.source.w_avg.expand(arena.source.num_ws, -1), 1e9)
    (found,) = arena.run("strip", hidden.eval())
    assert arena.likeness([found], hidden) == pytest.approx(arena.likeness([found], forgetful))
    for name, tensor in found.generator.state_dict().items():
        assert torch.equal(tensor, forgetful.state_dict()[name])


def test_a_plain_generator_is_rendered_as_it_is(arena, forgetful):
    (found,) = arena.run("strip", forgetful)
    assert found.generator is None and found.code is None and found.at == 0


def test_a_second_copy_inside_is_found_too(arena, forgetful):
    class Both(Redirected):
        def __init__(self, inner, spare):
            code = arena.everything.code
            super().__init__(inner, code, code, 1e-3)
            self.spare = spare

    found = arena.run("strip", Both(forgetful, arena.source).eval())
    assert len(found) == 2 and max(arena.likeness(found)) == pytest.approx(1.0, abs=1e-5)


def test_tensors_of_another_shape_are_not_taken(arena):
    other = copy.deepcopy(arena.source)
    other.backbone.coarse = nn.Linear(3, 3)
    other.register_buffer("more", torch.zeros(1))
    (found,) = arena.run("strip", other)
    assert found.generator is None
