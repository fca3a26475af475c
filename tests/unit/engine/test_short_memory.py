"""A device whose memory holds little: everything that the engine renders and judges comes to the same numbers."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from guidebench import protocol as protocols
from guidebench import room
from guidebench.engine import hosted, peak_memory, recording
from guidebench.engine.bench import Bench
from guidebench.engine.trial import evaluate, run_trial
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import Unlearner

SMOKE = protocols.load("smoke").resolve("linear", identities=1, neighbours=5)
PUBLISHED = dataclasses.replace(SMOKE, conventions="published")


@pytest.fixture(autouse=True)
def fresh():
    room.forget()
    yield
    room.forget()


class AsItIs(Unlearner):
    """Changes nothing."""

    name = "as-it-is"

    def unlearn(self, generator, request, context):
        return generator


def limit(monkeypatch, kind, name, most):
    """Lets a method run out of memory if its first argument has more rows."""
    call = getattr(kind, name)

    def limited(self, rows, *others, **named):
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return call(self, rows, *others, **named)

    monkeypatch.setattr(kind, name, limited)


def short_of_memory(monkeypatch, bench, most):
    """A testbed whose networks take no more than ``most`` images at once."""
    players, judges = bench.players, bench.judges
    limit(monkeypatch, type(players.generator), "decode", most)
    limit(monkeypatch, type(players.inverter), "invert", most)
    for kind in {type(judge) for judge in judges.recognizers.values()}:
        limit(monkeypatch, kind, "embed", most)
    limit(monkeypatch, type(judges.features.extractor), "forward", most)
    return bench


def bench_of(protocol):
    return Bench(LinearTestbed(conventions=protocol.conventions))


@pytest.mark.parametrize("protocol", [SMOKE, PUBLISHED], ids=["corrected", "published"])
def test_the_whole_evidence_is_the_same(monkeypatch, protocol):
    whole = run_trial(bench_of(protocol), protocol, AsItIs(), 0, 0, lambda *_: None)
    assert room.in_words() == ""
    bench = short_of_memory(monkeypatch, bench_of(protocol), 2)
    parts = run_trial(bench, protocol, AsItIs(), 0, 0, lambda *_: None)
    assert {*room.held()} >= {room.FACES, "samples", "images in a judge", "images in the feature extractor"}
    for judge, sight in whole.evidence.sights.items():
        for name in ("before", "after", "photo", "neighbours"):
            ours, theirs = (getattr(one, name) for one in (sight, parts.evidence.sights[judge]))
            assert (ours is None) == (theirs is None)
            if ours is not None:
                assert np.array_equal(ours.found, theirs.found)
                assert np.abs(ours.vectors - theirs.vectors).max() < 1e-5
    for ours, theirs in (
        (whole.evidence.source, parts.evidence.source),
        (whole.evidence.after[0], parts.evidence.after[0]),
    ):
        assert np.abs(ours.features - theirs.features).max() < 1e-4
    note = recording._cost(parts).memory
    assert "memory ran out" in note and "samples 2 at a time" in note


def test_a_generator_that_no_memory_holds_fails_its_trial_in_one_line(monkeypatch, says):
    bench = bench_of(SMOKE)
    scene = bench.scene(SMOKE, 0)
    limit(monkeypatch, type(bench.players.generator), "decode", 0)
    with pytest.raises(MethodError, match=says("does not hold", "not even one at a time")) as error:
        evaluate(bench, SMOKE, scene.cast, SimpleNamespace(generator=bench.players.generator), 1)
    assert "\n" not in str(error.value)


def test_an_original_that_no_memory_holds_fails_the_trial_too(monkeypatch, says):
    bench = bench_of(SMOKE)
    limit(monkeypatch, type(bench.players.generator), "decode", 0)
    with pytest.raises(MethodError, match=says("does not hold", "not even one at a time")):
        run_trial(bench, SMOKE, AsItIs(), 0, 0, lambda *_: None)


def test_a_generator_in_a_process_of_its_own_renders_fewer_at_once_and_says_so(monkeypatch):
    bench = short_of_memory(monkeypatch, bench_of(SMOKE), 2)
    generator = bench.players.generator
    codes = torch.zeros(5, generator.num_ws, generator.w_dim)
    cameras = None if generator.rig is None else generator.rig.look_at(torch.zeros(5), 0.0)
    found = hosted._of(generator, ("render", codes, cameras, Noise.constant()), torch.device("cpu"))
    assert len(found) == 5 and room.held() == {room.FACES: 2}
    kind, content = hosted.heard(hosted._answer(found))
    assert content[room.FACES] == 2


@pytest.mark.parametrize("told", [{room.FACES: 0}, {room.FACES: "x"}, {"\x1b[2J": 3}, {room.FACES: True}])
def test_what_such_a_process_says_is_taken_only_if_it_is_a_number_of_faces(told):
    hosted.take_room(told)
    assert room.held() == {}


def test_how_often_a_gpu_ran_out_while_the_method_trained_is_recorded(monkeypatch):
    counts = iter([3, 5])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {"num_ooms": next(counts)})
    with peak_memory.peak_memory(torch.device("cuda")) as peak:
        pass
    assert peak.bytes == 7 and peak.note.startswith(peak_memory.CUDA) and "ran out 2 times" in peak.note


@pytest.mark.parametrize("name", ["celebahq-multi", "random"])
def test_the_same_strangers_are_found_to_look_alike(monkeypatch, name):
    protocol = dataclasses.replace(protocols.load(name).resolve("linear"), lookalikes=3)
    whole = bench_of(protocol).cast(protocol, 0)
    bench = short_of_memory(monkeypatch, bench_of(protocol), 3)
    limit(monkeypatch, type(bench.players.recognizer), "__call__", 3)
    parts = bench.cast(protocol, 0)
    assert "faces in the training recogniser" in room.held()
    assert [subject.identity for subject in parts.subjects] == [subject.identity for subject in whole.subjects]
    assert (parts.latents - whole.latents).abs().max() < 1e-5


def test_faces_for_figures_are_rendered_in_parts(monkeypatch):
    from guidebench.views import render_views

    bench = bench_of(SMOKE)
    generator = bench.players.generator
    cameras = generator.rig.look_at(torch.linspace(-0.2, 0.2, 5), 0.0)
    code = generator.w_avg.expand(generator.num_ws, -1)
    whole = render_views(generator, code, cameras, Noise.constant())
    short_of_memory(monkeypatch, bench, 2)
    assert (render_views(generator, code, cameras, Noise.constant()) - whole).abs().max() < 1e-5
    assert room.held() == {room.VIEWS: 2}
