"""Who appears in a trial: forgotten people in a fixed order, people to keep from its end, codes nearby."""

import dataclasses
from collections import Counter

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.cast import NEIGHBOURHOOD, neighbours_of
from guidebench.engine.isolation import same_request
from guidebench.errors import BadInput
from guidebench.testbeds.linear import LinearTestbed

SMOKE = protocols.load("smoke").resolve("linear")
GROUPS = dataclasses.replace(SMOKE, identities=8, forget=2, requests=2, retain=2, retain_named=1, probe_photos=1)


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def retained(bench, protocol, index):
    return [subject.identity for subject in bench.cast(protocol, index).subjects if subject.role == "retain"]


def test_retained_people_change_from_trial_to_trial_and_are_never_the_forgotten_ones(bench):
    """40 people, 3 kept in each of 12 trials: hardly anybody has a second turn before everybody had the first."""
    wide = dataclasses.replace(SMOKE, identities=12, retain=3)
    kept = [retained(bench, wide, index) for index in range(12)]
    for index, names in enumerate(kept):
        assert len(set(names)) == 3 and f"celebahq-{index:04d}" not in names
    turns = Counter(name for names in kept for name in names)
    assert len(turns) >= 33 and max(turns.values()) <= 2  # a forgotten person's turn goes to the next one


def test_the_salt_decides_who_is_kept_and_the_neighbours_and_nothing_that_the_method_is_told():
    wide = dataclasses.replace(SMOKE, retain=3, retain_named=1)
    first, again, other = (Bench(LinearTestbed(), salt=salt) for salt in (1, 1, 2))
    assert retained(first, wide, 0) == retained(again, wide, 0) != retained(other, wide, 0)
    here, same, there = (found.cast(wide, 0) for found in (first, again, other))
    assert torch.equal(here.neighbours, same.neighbours) and not torch.equal(here.neighbours, there.neighbours)
    for told, also in zip(here.requests, there.requests, strict=True):
        assert same_request(told, also)


def test_sampled_people_to_keep_are_never_the_same_in_two_trials(bench):
    random = protocols.load("random").resolve("linear", identities=4, samples=40)
    kept = [name for index in range(4) for name in retained(bench, random, index)]
    assert len(set(kept)) == 4 * random.retain
    told = dataclasses.replace(random, retain_named=2)
    salted = Bench(LinearTestbed(), salt=5)
    assert same_request(bench.cast(told, 1).requests[0], salted.cast(told, 1).requests[0])
    assert not torch.equal(bench.cast(random, 1).latents[1:], salted.cast(random, 1).latents[1:])


def test_too_few_people_to_retain_is_said(bench, says):
    with pytest.raises(BadInput, match=says("smoke", "'celebahq'", "40")):
        bench.cast(dataclasses.replace(SMOKE, retain=40), 0)


def test_neighbours_lie_at_growing_distances_in_directions_of_their_own(bench):
    """α_i = 15 i/k, so the last of them is as far as GUIDE's adjacency loss reaches."""
    cast = bench.cast(SMOKE, 0)
    (neighbours,) = cast.neighbours
    away = torch.linalg.vector_norm(neighbours - cast.latents[0], dim=(1, 2))
    expected = torch.arange(1, 9) * 15 / 8
    assert torch.allclose(away, expected, rtol=1e-4)  # float32 sums over 48 numbers
    assert not torch.equal(neighbours, bench.cast(SMOKE, 1).neighbours[0])
    none = bench.cast(dataclasses.replace(SMOKE, neighbours=0), 0)
    assert none.neighbours.shape == (1, 0, *cast.latents[0].shape)


def test_groups_are_disjoint_parts_of_the_fixed_order_and_nobody_of_them_is_kept(bench):
    """Two requests of two people each: the first trial forgets the first four people, the second the next four."""
    names = [f"celebahq-{place:04d}" for place in range(8)]
    assert [bench.group(GROUPS, index) for index in range(2)] == [
        ((names[0], names[1]), (names[2], names[3])),
        ((names[4], names[5]), (names[6], names[7])),
    ]
    cast = bench.cast(GROUPS, 1)
    assert [(subject.identity, subject.role, subject.photo, subject.request) for subject in cast.subjects] == [
        *[(name, role, photo, 1) for name in names[4:6] for role, photo in (("forget", 0), ("probe", 1))],
        *[(name, role, photo, 2) for name in names[6:8] for role, photo in (("forget", 0), ("probe", 1))],
        ("celebahq-0039", "named", 0, 0),
        *[(name, "retain", 0, 0) for name in retained(bench, GROUPS, 1)],
    ]
    assert not {"celebahq-0039", *names[4:]} & set(retained(bench, GROUPS, 1))
    assert cast.neighbours.shape[:2] == (4, 8)


def test_requests_name_their_people_and_those_to_keep_but_no_probe_and_nobody_unseen(bench):
    cast = bench.cast(GROUPS, 0)
    first, second = cast.requests
    assert [item.identity for item in first.forget] == ["celebahq-0000", "celebahq-0001"]
    assert [item.identity for item in second.forget] == ["celebahq-0002", "celebahq-0003"]
    assert [item.identity for item in first.retain] == [item.identity for item in second.retain] == ["celebahq-0039"]
    places = [0, 2, 4, 6]
    for place, item in zip(places, (*first.forget, *second.forget), strict=True):
        assert torch.equal(item.latent, cast.latents[place]) and torch.equal(item.image, cast.photos[place])


def test_a_later_request_is_told_whom_the_earlier_ones_named(bench):
    first, second = bench.cast(GROUPS, 0).requests
    assert first.earlier == () and second.earlier == first.forget
    three = dataclasses.replace(GROUPS, forget=1, requests=3, identities=3)
    last = bench.cast(three, 0).requests[-1]
    assert [item.identity for item in last.earlier] == ["celebahq-0000", "celebahq-0001"]


def test_people_of_later_requests_are_not_looked_at(bench):
    cast = bench.cast(GROUPS, 0)
    later = {place for place, subject in enumerate(cast.subjects) if subject.request == 2}
    assert {*range(len(cast.subjects))} - {*cast.shown_after(1)} == later and later
    assert cast.shown_after(2) == cast.shown_after(None) == [*range(len(cast.subjects))]


def test_sampled_groups_have_the_codes_of_the_single_people(bench):
    """Random: who is forgotten together does not change anybody's code."""
    random = protocols.load("random").resolve("linear", identities=4, samples=40)
    together = bench.cast(dataclasses.replace(random, forget=2, retain_named=1), 1)
    alone = [bench.cast(random, index) for index in (2, 3)]
    assert torch.equal(together.latents[:2], torch.cat([cast.latents[:1] for cast in alone]))
    assert [subject.role for subject in together.subjects] == [
        "forget",
        "forget",
        "named",
        "retain",
        "retain",
        "retain",
    ]


def test_the_published_conventions_invert_with_a_stream_of_the_trial_and_the_corrected_ones_without(monkeypatch):
    """The encoder's train mode draws; a stream of its own, named by protocol and index, makes that repeatable."""
    given = []
    found = Bench(LinearTestbed())
    invert = found.players.inverter.invert

    def remembering(images, *, rng=None):
        given.append(None if rng is None else int(rng.initial_seed()))
        return invert(images, rng=rng)

    monkeypatch.setattr(found.players.inverter, "invert", remembering)
    found.cast(SMOKE, 0)
    assert set(given) == {None}
    given.clear()
    published = dataclasses.replace(SMOKE, conventions="published")
    for index in (0, 0, 1):
        found.cast(published, index)
    first, again, other = (given[start : start + len(given) // 3] for start in range(0, len(given), len(given) // 3))
    assert first == again and len(set(first)) == 1  # one stream for everybody of a trial
    assert None not in given and first != other


def test_a_code_that_is_its_own_neighbour_stays_where_it_is(bench, monkeypatch):
    """The step has no direction there: no division by zero."""
    generator = bench.players.generator
    latent = generator.w_avg.expand(generator.num_ws, -1).clone()
    monkeypatch.setattr(generator, "map", lambda z: latent.expand(len(z), -1, -1))
    assert torch.equal(neighbours_of(bench.players, SMOKE, "somebody", latent, 0), latent.expand(8, -1, -1))


def test_neighbours_depend_on_the_person_and_not_on_how_many_there_are(bench):
    """The i-th of k lies in the same direction whatever k is, at 15 i/k."""
    latent = bench.cast(SMOKE, 0).latents[0]
    few, many = (
        neighbours_of(bench.players, dataclasses.replace(SMOKE, neighbours=count), "anna", latent, 0) - latent
        for count in (2, 4)
    )
    directions = [torch.nn.functional.normalize(steps.flatten(1), dim=1) for steps in (few, many[:2])]
    assert torch.allclose(*directions, atol=1e-5)  # float32
    assert float(torch.linalg.vector_norm(few[-1])) == pytest.approx(NEIGHBOURHOOD, rel=1e-5)
    other = neighbours_of(bench.players, dataclasses.replace(SMOKE, neighbours=2), "bert", latent, 0) - latent
    assert not torch.allclose(few, other, atol=0.1)
