"""Weights that are rounded, disturbed, or averaged with the original's: on their grid, and by as much as they say."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from guidebench.registry import load_attack


def weights(generator):
    return dict(generator.named_parameters())


@pytest.mark.parametrize("bits", [8, 6, 2])
def test_rounded_weights_lie_on_a_grid_of_so_many_bits(arena, bits):
    (rounded, *_) = arena.run("perturb", bits=bits)
    original = weights(arena.source)
    for name, values in weights(rounded.generator).items():
        scale = original[name].abs().max() / (2 ** (bits - 1) - 1)
        if not scale:
            assert not values.any(), "a tensor of zeros stays one"
            continue
        places = values / scale
        assert torch.allclose(places, places.round(), atol=1e-3)
        assert float(places.abs().max()) <= 2 ** (bits - 1) - 1 + 1e-3 and len(places.round().unique()) <= 2**bits - 1
        assert float((values - original[name]).abs().max()) <= scale / 2 + 1e-7


def test_sixteen_bits_change_nothing_that_shows(arena):
    fine, _, _ = arena.run("perturb", bits=16)
    images = [arena.render(one, arena.everything.code[None]) for one in (arena.source, fine.generator)]
    assert float((images[0] - images[1]).abs().max()) < 1 / 255 and fine.at < 1e-4


def test_what_it_took_is_the_relative_change_of_all_weights(arena):
    found = arena.run("perturb")
    assert len(found) == 3 and found[0].at < found[1].at
    before = torch.cat([values.flatten() for values in weights(arena.source).values()]).double()
    for one in found:
        after = torch.cat([values.flatten() for values in weights(one.generator).values()]).double()
        assert one.at == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-6)


def test_noise_is_drawn_anew_for_every_tensor_in_proportion_to_its_spread(arena):
    *_, noisy = arena.run("perturb", noise=0.1)
    moved = weights(noisy.generator)["decoder.patterns"] - weights(arena.source)["decoder.patterns"]
    assert float(moved.std() / weights(arena.source)["decoder.patterns"].std()) == pytest.approx(0.1, rel=0.05)
    assert not weights(noisy.generator)["backbone.coarse.bias"].any(), "a tensor without spread stays as it is"


def test_shares_are_exact_averages(arena, forgetful):
    old, new = weights(arena.source), weights(forgetful)
    found = arena.run("interpolate", forgetful)
    assert [one.at for one in found] == [0.25, 0.5, 0.75]
    for one in found:
        for name, values in weights(one.generator).items():
            assert torch.allclose(values, (1 - one.at) * new[name] + one.at * old[name], atol=1e-7), name


def test_the_person_is_back_before_the_original_is(arena, forgetful):
    likeness = arena.likeness(arena.run("interpolate", forgetful))
    assert arena.likeness([arena.run("wide-views")[0]], forgetful)[0] < 0 < likeness[2] and likeness[2] > 0.9


def test_the_weights_inside_a_wrapper_are_averaged_and_what_is_the_wrappers_own_stays(arena, redirected):
    (quarter, *_) = arena.run("interpolate", redirected)
    for name, values in weights(quarter.generator).items():
        assert torch.allclose(values, weights(arena.source)[name.removeprefix("inner.")])
    assert torch.equal(quarter.generator.forgotten, redirected.forgotten)


def test_bits_and_noise_have_bounds():
    attack = load_attack("perturb")
    assert attack.bounds.keys() == {field.name for field in dataclasses.fields(attack)}
