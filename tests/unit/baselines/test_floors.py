"""The floor and the ceiling of every table."""

from __future__ import annotations

import pytest
import torch

from guidebench.baselines.nothing import Nothing
from guidebench.baselines.scramble import Scramble
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import make_context
from guidebench.protocol import Protocol
from guidebench.testbed import Generator
from guidebench.testbeds.linear import LinearGenerator, LinearTestbed
from guidebench.unlearner import ForgetRequest, Unlearner

PROTOCOL = Protocol(name="floors", version=1, title="", source="dev", identities=1, retain=0, views=1, samples=2)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LinearTestbed())


def run(bench: Bench, method: Unlearner, generator: Generator, *, person: int = 0, seed: int = 0) -> Generator:
    """Runs with the streams of person 0 and this seed, asking for ``person`` to be forgotten."""
    asked, named = (bench.cast(PROTOCOL, index).requests[0].forget[0] for index in (person, 0))
    context = make_context(
        bench.players, bench.testbed.device, PROTOCOL, ForgetRequest((named,)), seed, lambda step, **scalars: None
    )
    return method.unlearn(generator, ForgetRequest((asked,)), context)


def scrambled(bench: Bench, *, person: int = 0, seed: int = 0, strength: float = 3.0) -> dict[str, torch.Tensor]:
    return run(bench, Scramble(strength), LinearGenerator(), person=person, seed=seed).state_dict()


def test_nothing_hands_back_the_very_generator_unchanged(bench: Bench) -> None:
    generator, original = LinearGenerator(), LinearGenerator().state_dict()
    assert run(bench, Nothing(), generator) is generator
    assert all(torch.equal(value, original[name]) for name, value in generator.state_dict().items())


def test_scramble_replaces_every_backbone_tensor_and_no_other(bench: Bench) -> None:
    original = LinearGenerator().state_dict()
    for name, value in scrambled(bench).items():
        assert torch.equal(value, original[name]) != name.startswith("backbone."), name


def test_scramble_makes_noise_of_the_size_that_it_was_asked_for(bench: Bench) -> None:
    """Of 144 weights with root mean square r, noise of strength s has r·s within a few of its 6 %; zero counts as 1."""
    original = LinearGenerator().state_dict()
    for strength in (1.0, 5.0):
        state = scrambled(bench, strength=strength)
        size = float(original["backbone.coarse.weight"].square().mean().sqrt())
        assert float(state["backbone.coarse.weight"].std()) == pytest.approx(strength * size, rel=0.25)
        assert float(original["backbone.coarse.bias"].abs().max()) == 0
        assert 0.3 * strength < float(state["backbone.coarse.bias"].std()) < 2 * strength


def test_scramble_is_the_same_for_everyone_and_differs_by_seed(bench: Bench) -> None:
    first, again, other = scrambled(bench), scrambled(bench, person=1), scrambled(bench, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.fine.weight"], other["backbone.fine.weight"])
