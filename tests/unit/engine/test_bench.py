"""What trials on one loaded testbed share: scenes, samples, the statistics of judges, and what is said once."""

import dataclasses
import logging

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench, check_player_is_not_judge
from guidebench.errors import BadInput, MethodError
from guidebench.evidence import DifferentPeople
from guidebench.testbed import Person
from guidebench.testbeds.linear import LinearTestbed

SMOKE = protocols.load("smoke").resolve("linear")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def test_the_sample_count_does_not_move_the_first_samples(bench):
    few, many = (dataclasses.replace(SMOKE, samples=count) for count in (37, 80))
    rows = []
    for protocol in (few, many):
        images = torch.cat(list(bench._sampled(protocol, bench.players.generator, "before")))
        rows.append(images)
    assert (rows[0] - rows[1][:37]).abs().max() < 1e-6  # the last batch is smaller, and sums may round differently


def test_batches_do_not_move_the_noise_of_the_published_conventions(bench, monkeypatch):
    published = dataclasses.replace(SMOKE, conventions="published", samples=20)
    whole = torch.cat(list(bench._sampled(published, bench.players.generator, "after")))
    monkeypatch.setattr(bench.testbed, "batch", 3)
    parts = torch.cat(list(bench._sampled(published, bench.players.generator, "after")))
    assert (whole - parts).abs().max() < 1e-5  # rounding of sums of other lengths


def test_a_judge_with_a_players_weights_is_refused(says):
    with pytest.raises(BadInput, match=says("judge plain", "player recognizer", "abc")):
        check_player_is_not_judge({"recognizer": "abc"}, {"other": "x", "plain": "abc"})


def test_a_scene_is_made_once_for_all_methods_and_only_a_few_are_remembered(bench):
    wide = dataclasses.replace(SMOKE, identities=6)
    first = bench.scene(wide, 0)
    assert bench.scene(wide, 0) is first
    for index in range(1, 5):
        bench.scene(wide, index)
    assert bench.scene(wide, 0) is not first


def test_the_originals_samples_are_made_once_for_each_protocol(bench):
    other = dataclasses.replace(SMOKE, samples=50)
    assert bench.source_samples(SMOKE) is bench.source_samples(SMOKE)
    assert bench.source_samples(SMOKE).count == 100 and bench.source_samples(other).count == 50


def test_everybody_is_rendered_from_every_view_and_three_are_kept_as_pictures(bench):
    protocol = dataclasses.replace(SMOKE, views=5)
    cast = bench.cast(protocol, 0)
    renders = bench.renders(protocol, bench.players.generator, cast, "before")
    count = len(cast.subjects)
    assert set(renders.faces) == {"plain", "weighted"}
    assert all(
        faces.found.shape == (count, 5) and faces.vectors.shape == (count, 5, 9) for faces in renders.faces.values()
    )
    assert renders.pictures.shape == (count, 3, 3, 16, 16)
    left, front, right = renders.pictures[0]
    assert not torch.equal(left, front) and not torch.equal(front, right)


def test_pictures_hold_what_a_png_would(bench):
    scene = bench.scene(SMOKE, 0)
    levels = (scene.before.pictures + 1) * 127.5
    assert torch.allclose(levels, levels.round(), atol=1e-4)  # float32 steps near 255


def test_renders_that_are_not_finite_are_the_methods_fault(bench):
    broken = LinearTestbed().players().generator
    with torch.no_grad():
        broken.backbone.fine.bias.fill_(float("inf"))
    with pytest.raises(MethodError, match="finite"):
        bench.renders(SMOKE, broken, bench.cast(SMOKE, 0), "after")
    with pytest.raises(MethodError, match="finite"):
        bench.samples(SMOKE, broken, "after")


def test_photographs_and_sampled_people_have_manifests_of_their_own(bench):
    random = protocols.load("random").resolve("linear")
    assert bench.manifest(SMOKE) == bench.faces.manifest("celebahq")
    assert bench.manifest(random) != bench.manifest(SMOKE)
    assert bench.group(random, 1) == (("random-0001",),) and bench.group(SMOKE, 1) == (("celebahq-0001",),)


def test_judges_that_do_not_know_different_people_are_measured_once_on_the_photo_set(monkeypatch):
    found = Bench(LinearTestbed())
    known = found.different_people(SMOKE)
    assert known == found.judges.different_people
    object.__setattr__(found.judges, "different_people", {})
    calls = []
    answer = {"plain": DifferentPeople(0.1, 0.2, 3)}
    monkeypatch.setattr(
        "guidebench.engine.bench.measure_different_people", lambda *given: calls.append(given[1]) or answer
    )
    assert found.different_people(SMOKE) is found.different_people(SMOKE) is answer
    assert calls == ["celebahq"]
    assert found.different_people(protocols.load("random").resolve("linear")) == {}


def test_a_photograph_without_a_face_is_said_once(caplog, monkeypatch, says):
    found = Bench(LinearTestbed())
    people = found.faces.people

    def faceless(source, indices, *, photos):
        return [
            Person(
                person.identity, torch.full_like(person.photos, -1.0), (f"/photos/{person.identity} a.png",) * photos
            )
            if person.identity == "celebahq-0000"
            else person
            for person in people(source, indices, photos=photos)
        ]

    monkeypatch.setattr(found.faces, "people", faceless)
    with caplog.at_level(logging.WARNING, logger="guidebench"):
        for protocol in (SMOKE, dataclasses.replace(SMOKE, views=5)):
            found.scene(protocol, 0)
        found.scene(dataclasses.replace(SMOKE, identities=2), 1)
    (record,) = caplog.records
    assert "celebahq-0000" in record.getMessage() and "/photos/celebahq-0000 a.png" in record.getMessage()
