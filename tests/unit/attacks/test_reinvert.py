"""Inversion by optimisation: it finds whom a generator holds, and whom it only hides."""

from __future__ import annotations

import pytest
import torch

from guidebench.attack import Target
from guidebench.attacks.reinvert import _spread
from guidebench.registry import load_attack
from guidebench.testbeds.linear import CODE_SCALE, LinearGenerator


@pytest.mark.parametrize("name", ["reinvert", "reinvert-w", "reinvert-z"])
def test_from_the_average_code_the_person_of_an_untouched_generator_is_found(arena, name):
    found = arena.run(name, from_average=True)
    assert len(found) == 3 and arena.likeness(found)[0] > 0.9 and {one.at for one in found} == {15.0}
    start = arena.run(name, from_average=True, lr=1e-6)[0].code
    assert torch.allclose(start, arena.source.w_avg.expand_as(start), atol=1e-3), "it starts at the average code"


@pytest.mark.parametrize("name", ["reinvert-w", "reinvert-z"])
def test_without_the_average_code_there_is_one_start_for_each_photograph(arena, name):
    found = arena.run(name)
    assert len(found) == 2 and max(arena.likeness(found)) > 0.9


@pytest.mark.parametrize("name", ["reinvert", "reinvert-w", "reinvert-z"])
def test_a_person_whose_code_alone_is_hidden_is_found(arena, redirected, name):
    assert max(arena.likeness(arena.run(name, redirected), redirected)) > 0.9


def test_more_steps_fit_better(arena, forgetful):
    likeness = [arena.likeness(arena.run("reinvert", forgetful, steps=n), forgetful)[0] for n in (1, 5, 20)]
    assert likeness == sorted(likeness)


class FirstRow(LinearGenerator):
    """Looks at the first row of a code alone."""

    def synthesize(self, ws, *, noise):
        return super().synthesize(ws[:, :1].expand(-1, self.num_ws, -1), noise=noise)


def test_in_w_plus_rows_move_by_themselves_in_w_together_and_in_z_as_the_mapping_says(arena):
    generator = FirstRow().eval().requires_grad_(False)
    moved = {
        space: (arena.run("reinvert", generator, space=space)[0].code - generator.w_avg).abs().sum(dim=1) > 1e-3
        for space in ("w+", "w", "z")
    }
    assert {space: rows.tolist() for space, rows in moved.items()} == {
        "w+": [True, False, False, False],
        "w": [True] * 4,
        "z": [True] * 4,
    }
    for space, name in (("w", "reinvert-w"), ("z", "reinvert-z")):
        assert load_attack(name).space == space


def test_a_person_of_one_photograph_is_searched_for_by_that_alone(arena, monkeypatch):
    whole = arena.everything
    alone = Target(whole.identity, whole.photos[:1], whole.code, whole.others)
    monkeypatch.setitem(arena.__dict__, "everything", alone)
    found = arena.run("reinvert")
    assert len(found) == 3 and torch.allclose(found[1].code, found[2].code, atol=1e-4)


def test_the_spread_of_codes_is_measured_not_assumed(arena):
    spread = _spread(arena.source, arena.context())
    assert spread.shape == (arena.source.w_dim,)
    assert float(spread.mean()) == pytest.approx(CODE_SCALE, rel=0.1)
