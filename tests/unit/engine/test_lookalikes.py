"""Strangers who look like a forgotten person: chosen by a player, drawn by the salt, nobody in two roles."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.lookalikes import POOL, Pool
from guidebench.engine.plan import describe
from guidebench.errors import BadInput
from guidebench.testbeds.linear import LinearTestbed

MULTI = dataclasses.replace(protocols.load("celebahq-multi").resolve("linear"), lookalikes=3)
RANDOM = dataclasses.replace(protocols.load("random").resolve("linear"), lookalikes=2)


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed(), salt=5)


def of_role(cast, role):
    return [subject.identity for subject in cast.subjects if subject.role == role]


def test_the_nearest_are_those_whom_the_player_finds_most_alike():
    pool = Pool((7, 3, 9, 4), torch.nn.functional.normalize(torch.tensor([[1.0, 0], [1, 1], [0, 1], [-1, 0]])))
    assert pool.nearest(torch.tensor([0.0, 1.0]), 2, ()) == [9, 3]
    assert pool.nearest(torch.tensor([0.0, 1.0]), 2, {9}) == [3, 7]


@pytest.mark.parametrize("protocol", [MULTI, RANDOM], ids=["photographs", "sampled"])
def test_a_cast_has_as_many_as_the_protocol_asks_for_and_nobody_has_two_roles(bench, protocol):
    cast = bench.cast(protocol, 0)
    alike = of_role(cast, "lookalike")
    assert len(alike) == protocol.lookalikes and len(cast.latents) == len(cast.subjects)
    others = [subject.identity for subject in cast.subjects if subject.role != "lookalike"]
    assert len({*alike, *others}) == len(alike) + len(set(others))


def test_they_look_more_like_the_person_than_people_to_keep_do(bench):
    for index in range(MULTI.trials):
        cast = bench.cast(MULTI, index)
        seen = bench.players.recognizer(cast.photos)
        alike = {role: [] for role in ("lookalike", "retain")}
        for subject, cosine in zip(cast.subjects, (seen @ seen[0]).tolist(), strict=True):
            alike.setdefault(subject.role, []).append(cosine)
        assert min(alike["lookalike"]) > sum(alike["retain"]) / len(alike["retain"])


def test_another_salt_draws_other_strangers_and_the_same_salt_the_same(bench):
    first, again, other = (of_role(Bench(LinearTestbed(), salt=salt).cast(MULTI, 0), "lookalike") for salt in (5, 5, 6))
    assert first == again == of_role(bench.cast(MULTI, 0), "lookalike") != other


def test_a_protocol_without_them_has_the_key_and_the_cast_of_before():
    plain = protocols.load("celebahq-multi").resolve("linear")
    assert "lookalikes" not in plain.measurement() and plain.digest() != MULTI.digest()
    assert of_role(Bench(LinearTestbed()).cast(plain, 0), "lookalike") == []


def test_a_source_with_too_few_people_is_one_clear_line(bench, says):
    greedy = dataclasses.replace(MULTI, lookalikes=50, forget=3, identities=3, retain=400)
    assert POOL < 500
    with pytest.raises(BadInput, match=says("lookalikes", "lower")):
        describe(bench, [greedy])
