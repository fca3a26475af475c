"""What trials on one loaded testbed share: scenes, samples, the statistics of judges, and what is said once."""

import dataclasses
import logging

import numpy as np
import pytest
import torch

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench, check_player_is_not_judge
from guidebench.errors import BadInput, MethodError
from guidebench.evidence import DifferentPeople
from guidebench.store.originals import Originals
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
        images = torch.cat(
            list(bench._sampled(protocol, bench.players.generator, "before", range(protocol.samples), False))
        )
        rows.append(images)
    assert (rows[0] - rows[1][:37]).abs().max() < 1e-6  # the last batch is smaller, and sums may round differently


def test_batches_do_not_move_the_noise_of_the_published_conventions(bench, monkeypatch):
    published = dataclasses.replace(SMOKE, conventions="published", samples=20)
    whole = torch.cat(list(bench._sampled(published, bench.players.generator, "after", range(20), False)))
    monkeypatch.setattr(bench.testbed, "batch", 3)
    parts = torch.cat(list(bench._sampled(published, bench.players.generator, "after", range(20), False)))
    assert (whole - parts).abs().max() < 1e-5  # rounding of sums of other lengths


def test_a_judge_with_a_players_weights_is_refused(says):
    with pytest.raises(BadInput, match=says("judge plain", "player recognizer", "abc")):
        check_player_is_not_judge({"recognizer": "abc"}, {"other": "x", "plain": "abc"})


def test_a_scene_is_made_once_for_all_methods(bench):
    wide = dataclasses.replace(SMOKE, identities=6)
    first = bench.scene(wide, 0)
    assert bench.scene(wide, 1) is not first and bench.scene(wide, 0) is first


class Counting(LinearTestbed):
    """Counts how many images are inverted, rendered from the original's features, and looked at by a judge."""

    def players(self):
        players = super().players()
        self.inverted = counted(players.inverter, "invert")
        self.rendered = counted(players.generator, "decode")
        return players

    def judges(self):
        judges = super().judges()
        self.judged = counted(judges.recognizers["plain"], "embed")
        return judges


def counted(module, name):
    """A list that grows by the images of each call."""
    sizes, original = [], getattr(module, name)

    def counting(images, *given, **named):
        sizes.append(len(images))
        return original(images, *given, **named)

    object.__setattr__(module, name, counting)
    return sizes


def test_whoever_is_in_several_scenes_is_inverted_rendered_and_judged_once():
    """Two scenes of one forgotten person with two photographs and all others, who are the same but for these two."""
    testbed = Counting()
    found, wide = Bench(testbed), dataclasses.replace(SMOKE, identities=2, retain=39)
    scenes = [found.scene(wide, index) for index in range(2)]
    assert testbed.inverted == [2, *[1] * 39, 2, 1]
    assert len(testbed.rendered) <= 41 + 3 and len(testbed.judged) <= 40 + 41 + 2 + 3
    for scene, index in zip(scenes, range(2), strict=True):
        alone = Bench(LinearTestbed()).scene(wide, index)
        assert torch.equal(scene.cast.latents, alone.cast.latents)
        assert torch.equal(scene.before.pictures, alone.before.pictures)
        for judge, faces in alone.before.faces.items():
            assert (scene.before.faces[judge].vectors == faces.vectors).all()
            assert (scene.photos[judge].vectors == alone.photos[judge].vectors).all()


def test_noise_that_depends_on_the_place_is_not_shared_between_places():
    """Under `published` the codes of a person differ from trial to trial, and places have noise of their own."""
    published = dataclasses.replace(SMOKE, conventions="published")
    found = Bench(LinearTestbed(conventions="published"))
    cast = found.cast(published, 0)
    twice = dataclasses.replace(cast, latents=cast.latents[:1].expand(2, -1, -1))
    first, second = found.renders(published, found.players.generator, twice, "before").pictures
    assert not torch.equal(first, second)
    again = found.renders(published, found.players.generator, twice, "before").pictures
    assert torch.equal(again[0], first) and torch.equal(again[1], second)
    shared = Bench(LinearTestbed())
    first, second = shared.renders(SMOKE, shared.players.generator, twice, "before").pictures
    assert torch.equal(first, second)


def test_an_unlearned_generator_is_rendered_each_time(bench):
    cast, other = bench.cast(SMOKE, 0), LinearTestbed().players().generator
    rendered = counted(other, "decode")
    for _ in range(2):
        bench.renders(SMOKE, other, cast, "after")
        bench.renders(SMOKE, other, cast, "before")
    assert len(rendered) == 4 * len(cast.subjects)


def test_parts_of_the_originals_samples_are_those_of_the_whole(bench, monkeypatch):
    monkeypatch.setattr(bench.testbed, "batch", 8)
    parts = [bench.source_features(SMOKE, range(start, min(start + 40, 100))) for start in (0, 40, 80)]
    fresh, other = Bench(bench.testbed), dataclasses.replace(SMOKE, title="shared")
    assert (np.concatenate(parts) == fresh.source_samples(SMOKE).features).all()
    given = Bench(bench.testbed)
    given.share_source_samples(other, parts[0])
    assert given.source_samples(SMOKE).features is parts[0], "what was shared is not computed again"


def test_samples_of_the_original_that_are_not_finite_are_the_testbeds_fault(says):
    broken = Bench(LinearTestbed())
    with torch.no_grad():
        broken.players.generator.backbone.fine.bias.fill_(float("inf"))
    with pytest.raises(BadInput, match=says("linear", "finite")):
        broken.source_samples(SMOKE)


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


@pytest.mark.parametrize("conventions", ["corrected", "published"])
def test_neighbours_do_not_depend_on_how_many_are_rendered_at_once(conventions):
    protocol = dataclasses.replace(SMOKE, conventions=conventions)
    found = Bench(LinearTestbed(conventions=conventions))
    cast, images = found.cast(protocol, 0), []
    judge = found.judges.recognizers["plain"]
    embed = judge.embed
    object.__setattr__(judge, "embed", lambda given: images.append(given) or embed(given))
    for batch in (1, 3, 16):
        found.testbed.batch = batch
        seen = found.neighbours(protocol, found.players.generator, cast)
        assert seen["plain"].vectors.shape[:2] == (1, 8)
    for other in images[1:]:
        assert (images[0] - other).abs().max() < 1.5 / 127.5  # one step of a PNG, by rounding


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


# Samples kept from an earlier run


@pytest.fixture
def bench_of(tmp_path, monkeypatch):
    """A bench that keeps samples in one folder and counts those that it renders."""

    def build(**facts):
        bench = Bench(LinearTestbed())
        bench.originals, bench.rendered = Originals(tmp_path / "shared", facts), []
        render = bench._of_original

        def counted(protocol, indices, *, public):
            bench.rendered += indices
            return render(protocol, indices, public=public)

        monkeypatch.setattr(bench, "_of_original", counted)
        return bench

    return build


def test_the_next_one_renders_a_batch_to_see_that_they_are_the_same(bench_of):
    first, second, other = bench_of(), bench_of(), bench_of(device="another")
    whole = [bench.source_samples(SMOKE).features for bench in (first, second, other)]
    assert np.array_equal(whole[0], whole[1]) and np.array_equal(whole[0], whole[2])
    assert first.rendered == other.rendered == list(range(SMOKE.samples))
    assert 0 < len(second.rendered) <= second.testbed.batch < SMOKE.samples


def test_workers_take_their_blocks_from_what_is_kept(bench_of):
    whole = bench_of().source_samples(SMOKE).features
    worker = bench_of()
    blocks = [worker.source_features(SMOKE, range(start, start + worker.testbed.batch)) for start in (0, 2)]
    assert np.array_equal(blocks[0], whole[: worker.testbed.batch]) and np.array_equal(blocks[1][0], whole[2])
    assert len(worker.rendered) <= worker.testbed.batch, "one check for all"


def test_samples_that_the_generator_does_not_render_are_not_believed(bench_of, caplog):
    planted = bench_of()
    whole = planted.source_features(SMOKE, range(SMOKE.samples))
    planted.share_source_samples(SMOKE, whole + 0.01 * np.abs(whole).max())
    bench = bench_of()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(bench.source_samples(SMOKE).features, whole)
    assert "rendering them again" in caplog.text
    assert np.array_equal(bench.originals.get(SMOKE), whole), "the next one finds the right ones"
