"""Attacks that break the rules, each in one way, and some odd ones that keep them."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from dataclasses import dataclass

import torch

from guidebench.attack import Attack, Finding, Knowledge
from guidebench.testbeds.linear import LinearGenerator


@dataclass(frozen=True)
class Plain(Attack):
    """Hands back the forgotten code."""

    name = "plain"
    summary = "looks at the forgotten code"
    knows = Knowledge(code=True)
    controls = frozenset({"other"})
    bounds = {"strength": (0.0, 10.0)}

    strength: float = 1.0

    def run(self, generator, target, context):
        return [Finding(at=self.strength, code=target.code)]


@dataclass(frozen=True)
class Both(Plain):
    """With both controls, and photographs."""

    name = "both"
    knows = Knowledge(code=True, photos=2)
    controls = frozenset({"original", "other"})


@dataclass(frozen=True)
class Wordy(Plain):
    """Has a setting that JSON gives back as something else."""

    name = "wordy"
    parts: tuple[str, ...] = ("low", "high")


@dataclass(frozen=True)
class Raises(Attack):
    """Raises."""

    name = "raises"

    def run(self, generator, target, context):
        raise RuntimeError("no\nidea")


@dataclass(frozen=True)
class Exits(Attack):
    """Wants to end the process."""

    name = "exits"

    def run(self, generator, target, context):
        sys.exit(3)


@dataclass(frozen=True)
class Quits(Attack):
    """Ends its process without a word."""

    name = "quits"

    def run(self, generator, target, context):
        os._exit(7)


@dataclass(frozen=True)
class Dies(Attack):
    """Is killed, as where memory runs out."""

    name = "dies"

    def run(self, generator, target, context):
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Sleeps(Attack):
    """Does not come back."""

    name = "sleeps"

    def run(self, generator, target, context):
        time.sleep(600)


class Answering(Attack):
    """Hands back what `answer` gives."""

    knows = Knowledge(code=True)

    def answer(self, generator, target):
        raise NotImplementedError

    def run(self, generator, target, context):
        return self.answer(generator, target)


@dataclass(frozen=True)
class GivesNone(Answering):
    name = "gives-none"

    def answer(self, generator, target):
        return None


@dataclass(frozen=True)
class GivesNothing(Answering):
    name = "gives-nothing"

    def answer(self, generator, target):
        return []


@dataclass(frozen=True)
class GivesNine(Answering):
    name = "gives-nine"

    def answer(self, generator, target):
        return [Finding(at=number) for number in range(9)]


@dataclass(frozen=True)
class GivesCodes(Answering):
    name = "gives-codes"

    def answer(self, generator, target):
        return [target.code]


@dataclass(frozen=True)
class WrongShape(Answering):
    name = "wrong-shape"

    def answer(self, generator, target):
        return [Finding(at=1, code=target.code[0])]


@dataclass(frozen=True)
class NoTensor(Answering):
    name = "no-tensor"

    def answer(self, generator, target):
        return [Finding(at=1, code="code")]


@dataclass(frozen=True)
class NotFinite(Answering):
    name = "not-finite"

    def answer(self, generator, target):
        return [Finding(at=1, code=target.code * float("nan"))]


@dataclass(frozen=True)
class AtNowhere(Answering):
    name = "at-nowhere"

    def answer(self, generator, target):
        return [Finding(at=float("nan"))]


@dataclass(frozen=True)
class AtText(Answering):
    name = "at-text"

    def answer(self, generator, target):
        return [Finding(at="late")]


@dataclass(frozen=True)
class BeyondViews(Answering):
    name = "beyond-views"

    def answer(self, generator, target):
        return [Finding(at=1, views=((1.5, 0.0),))]  # 86 degrees


@dataclass(frozen=True)
class NoGenerator(Answering):
    name = "no-generator"

    def answer(self, generator, target):
        return [Finding(at=1, generator=torch.nn.Linear(2, 2))]


@dataclass(frozen=True)
class MoreForSome(Answering):
    name = "more-for-some"
    calls = []

    def answer(self, generator, target):
        self.calls.append(target.identity)
        return [Finding(at=1)] * len(self.calls)


@dataclass(frozen=True)
class OddViews(Answering):
    name = "odd-views"

    def answer(self, generator, target):
        return [Finding(at=1, views=((0.1, 0.0),)), Finding(at=2, views=((0.1, 0.0), (0.2, 0.0)))]


@dataclass(frozen=True)
class Hides(Answering):
    """Leaves something of its own where others find it."""

    name = "hides"

    def answer(self, generator, target):
        torch.nn.functional.relu = lambda images: images
        return [Finding(at=1)]


class Black(LinearGenerator):
    """Renders what is no image."""

    def decode(self, features, ws, cameras=None, *, noise):
        return super().decode(features, ws, cameras, noise=noise) * float("nan")


class Brighter(LinearGenerator):
    """Renders as the original does, and notes how many benches it finds around it; a class of its own."""

    def decode(self, features, ws, cameras=None, *, noise):
        if folder := os.environ.get("GUIDEBENCH_TEST_RENDERED"):
            with open(f"{folder}/{os.getpid()}", "a") as stream:
                stream.write(f"{sum(type(found).__name__ == 'Bench' for found in gc.get_objects())}\n")
        return super().decode(features, ws, cameras, noise=noise)


def _like(kind, generator):
    found = kind()
    state = {name: value for name, value in generator.state_dict().items() if name in found.state_dict()}
    found.load_state_dict(state)
    return found


@dataclass(frozen=True)
class BlackImages(Answering):
    name = "black-images"

    def answer(self, generator, target):
        return [Finding(at=1, generator=_like(Black, generator))]


@dataclass(frozen=True)
class Wraps(Answering):
    """Hands back a generator of a class of its own file."""

    name = "wraps"
    controls = frozenset({"other"})

    def answer(self, generator, target):
        return [Finding(at=1, generator=_like(Brighter, generator)), Finding(at=2)]


@dataclass(frozen=True)
class WrapsBoth(Wraps):
    name = "wraps-both"
    controls = frozenset({"original", "other"})


@dataclass(frozen=True)
class LooksAround(Attack):
    """Fails with what it finds around it: judges, benches, and salts."""

    name = "looks-around"

    def run(self, generator, target, context):
        kinds = [type(found).__name__ for found in gc.get_objects()]
        found = sorted({kind for kind in kinds if kind in ("Bench", "Judges", "Cast", "Scene", "TrialSpec")})
        raise RuntimeError(f"found {found} in {os.getpid()}")


@dataclass(frozen=True)
class Asks(Attack):
    """Asks a generator that it may only query for more; says what it was answered."""

    name = "asks"
    knows = Knowledge(access="queries", code=True)
    controls = frozenset()

    def run(self, generator, target, context):
        from guidebench.noise import Noise

        assert target.photos is None and target.others is None and context.original is None
        assert not generator.parts() and not list(generator.parameters())
        assert set(generator.state_dict()) == {"w_avg"}
        for ask in (generator.synthesize, lambda ws, noise: generator.decode(ws, ws, noise=noise)):
            try:
                ask(target.code[None], noise=Noise.constant())
            except TypeError as error:
                assert "queries" in str(error)
            else:
                raise AssertionError("it answered")
        code = target.code.clone()[None].requires_grad_(True)
        rendered = generator.render(code, context.cameras(1), noise=Noise.constant())
        assert not rendered.requires_grad and not generator.map(torch.zeros(1, generator.z_dim)).requires_grad
        return [Finding(at=1, code=target.code)]
