"""The neighbourhood of a forgotten code: searched within a radius, and not a step beyond."""

from __future__ import annotations

import pytest
import torch

from guidebench.baselines.redirect import Redirected


@pytest.mark.parametrize(("radius", "steps", "starts"), [(15.0, 12, 2), (0.5, 3, 3), (1e-3, 1, 1), (100.0, 6, 2)])
def test_no_finding_leaves_the_radius(arena, radius, steps, starts):
    found = arena.run("neighbourhood", radius=radius, steps=steps, starts=starts)
    away = [float(torch.linalg.vector_norm(one.code - arena.everything.code)) for one in found]
    assert len(found) == starts and max(away) <= radius * (1 + 1e-4) and {one.at for one in found} == {steps}


def test_a_code_that_is_hidden_alone_is_found_beside_it(arena, redirected):
    hidden = arena.likeness(arena.run("wide-views", redirected)[:1], redirected)
    found = arena.likeness(arena.run("neighbourhood", redirected), redirected)
    assert hidden[0] < 0.3 and max(found) > 0.9


def test_the_way_leads_to_the_photograph(arena, forgetful):
    """Codes within the radius come closer to the person, those of more steps closer still."""
    likeness = [max(arena.likeness(arena.run("neighbourhood", forgetful, steps=n), forgetful)) for n in (1, 12)]
    start = arena.likeness([arena.run("wide-views", forgetful)[0]], forgetful)[0]
    assert start < likeness[0] < likeness[1]


def test_starts_are_different_and_the_first_is_the_code_itself(arena):
    found = arena.run("neighbourhood", starts=3, steps=1, radius=1e-6)
    assert torch.allclose(found[0].code, arena.everything.code, atol=1e-5)
    first, second, third = (one.code for one in arena.run("neighbourhood", starts=3, steps=1))
    assert not torch.equal(first, second) and not torch.equal(second, third)


def test_a_generator_without_gradients_is_searched_all_the_same(arena, forgetful):
    """A rule that answers every code as before, but lets no gradient through."""

    class Silent(Redirected):
        @torch.no_grad()
        def decode(self, features, ws, cameras=None, *, noise):
            return super().decode(features, ws, cameras, noise=noise)

    code = arena.everything.code
    silent = Silent(forgetful, code, code, 1e-3).eval()
    start, found = (
        [max(arena.likeness(arena.run("neighbourhood", silent, steps=n, starts=1), silent))] for n in (1, 12)
    )
    assert start < found
