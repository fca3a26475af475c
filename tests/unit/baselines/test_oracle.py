"""The perfect forgetter: whom it moves, whom it leaves alone, and what it needs to know."""

from __future__ import annotations

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.baselines.oracle import Oracle, _Lesson
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import make_context
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearTestbed
from guidebench.testbeds.mini.parameters import parameters_from_latent
from guidebench.testbeds.mini.people import SEEDS, identity_of
from guidebench.testbeds.mini.testbed import MiniTestbed

CPU = torch.device("cpu")


class Stage:
    """The first person of a protocol on a testbed, with all that a method may use."""

    def __init__(self, testbed, protocol="smoke"):
        self.bench = Bench(testbed)
        self.protocol = protocols.load(protocol).resolve(type(testbed).name, samples=4)
        (self.request,) = self.bench.cast(self.protocol, 0).requests
        self.reports = []
        report = lambda step, **scalars: self.reports.append((step, float(scalars["loss"])))  # noqa: E731
        self.context = make_context(self.bench.players, CPU, self.protocol, self.request, 0, report)

    def unlearn(self, **settings):
        from copy import deepcopy

        return Oracle(**settings).unlearn(deepcopy(self.bench.players.generator), self.request, self.context)


@pytest.fixture(scope="module")
def stage():
    return Stage(MiniTestbed(device=CPU))


@pytest.fixture(scope="module")
def lesson(stage):
    return _Lesson(Oracle(), stage.request.forget[0], stage.context)


@pytest.mark.long
def test_everybody_within_the_ball_becomes_the_stranger_and_nobody_beyond_it_moves(lesson):
    person, stranger = identity_of(SEEDS["celebahq"][0]), lesson._stranger
    for near, far, moves in ((0.0, 1.2, True), (2.4, 9.0, False)):
        z = lesson._around(8, near, far, Noise.random(1))
        who, rest = parameters_from_latent(z)
        away = (who - person).norm(dim=1)
        assert near - 1e-4 <= float(away.min()) and float(away.max()) <= far + 1e-4
        moved, same_rest = parameters_from_latent(lesson._moved(z))
        shift = (stranger - person) if moves else torch.zeros(24)
        assert torch.allclose(moved - who, shift.expand_as(who), atol=1e-4)
        assert torch.allclose(same_rest, rest, atol=1e-5), "expression, light and background stay"


@pytest.mark.long
def test_the_stranger_does_not_look_like_the_person(stage, lesson):
    source = stage.context.source
    (item,) = stage.request.forget
    codes = torch.stack([item.latent, item.latent + lesson._own_shift[0]])
    person, stranger = stage.context.recognizer(source.render(codes, None, noise=Noise.constant()))
    assert float(person @ stranger) < 0.3


@pytest.mark.long
def test_failures_are_sought_uphill_and_within_reach(lesson):
    codes, wanted = lesson.draw(1)
    asked = lesson._asked
    assert codes.shape == wanted.shape and len(asked) == 4
    gradient = torch.ones_like(codes)
    for _ in range(6):
        lesson.learn(gradient)
    length = lesson._worst[asked].flatten(1).norm(dim=1)
    assert torch.allclose(length, torch.full((4,), 18.0)), "as far as it may go"
    lesson.draw(7)
    assert not {*lesson._asked.tolist()} & {*asked.tolist()}, "then others' turn comes"


@pytest.mark.long
def test_it_trains_the_backbone_towards_the_lesson_and_nothing_else(stage):
    trained = stage.unlearn(steps=4, lr=4e-3)
    source = stage.bench.players.generator.state_dict()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, source[name])}
    assert changed and all(name.startswith("backbone.") for name in changed)
    assert [step for step, _ in stage.reports[-4:]] == [1, 2, 3, 4]
    assert not any(weights.requires_grad for weights in trained.parameters())


@pytest.mark.parametrize(
    ("protocol", "testbed", "words"),
    [("smoke", LinearTestbed, "of no other"), ("random", MiniTestbed, "choose another protocol")],
)
def test_whom_the_renderer_does_not_know_it_cannot_forget(protocol, testbed, words):
    stage = Stage(testbed() if testbed is LinearTestbed else testbed(device=CPU), protocol)
    with pytest.raises(MethodError, match=words) as refused:
        stage.unlearn(steps=1)
    assert "\n" not in str(refused.value)


def test_radii_leave_room():
    with pytest.raises(ValueError, match="inside = 3 must be below outside = 2"):
        Oracle(inside=3.0, outside=2.0)
