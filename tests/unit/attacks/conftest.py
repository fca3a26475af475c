"""Attacks on a person of the analytic testbed, in this process."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from torch import Tensor

from guidebench import protocol as protocols
from guidebench.attack import Attack, AttackContext, Finding, Target
from guidebench.baselines.guide import extrapolated_target
from guidebench.baselines.redirect import Redirected
from guidebench.engine.attacks_apart import run_attack
from guidebench.engine.bench import Bench
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.registry import load_attack
from guidebench.seeds import Streams
from guidebench.testbed import Generator
from guidebench.testbeds.linear import LinearTestbed
from guidebench.views import frontal_camera

SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)


@dataclass(frozen=True)
class Arena:
    """The original generator, whom to look for, and a judge."""

    bench: Bench
    protocol: Protocol

    @property
    def source(self) -> Generator:
        """The generator that knows everybody."""
        return self.bench.players.generator

    @cached_property
    def everything(self) -> Target:
        """The forgotten person, with all that an attack may know of anybody."""
        cast = self.bench.cast(self.protocol, 0)
        assert cast.photos is not None
        rows = {role: [at for at, one in enumerate(cast.subjects) if one.role == role] for role in ("probe", "retain")}
        photos = cast.photos[[0, *rows["probe"]]]
        return Target(cast.subjects[0].identity, photos, cast.latents[0], cast.photos[rows["retain"]])

    def target(self, attack: Attack) -> Target:
        """The person, as far as the attack's knowledge goes."""
        knows, whole = attack.knows, self.everything
        assert whole.photos is not None and whole.others is not None
        return Target(
            whole.identity,
            whole.photos[: knows.photos] if knows.photos else None,
            whole.code if knows.code else None,
            whole.others[: knows.others] if knows.others else None,
        )

    def run(self, attack: str | Attack, generator: Generator | None = None, **settings: object) -> list[Finding]:
        """What an attack finds of the person on a generator; None: the original."""
        attack = dataclasses.replace(load_attack(attack) if isinstance(attack, str) else attack, **settings)  # type: ignore[type-var]
        shown, targets = generator or self.source, [self.target(attack)]
        (found,) = run_attack(attack, shown, self.bench.players, self.protocol, 0, targets, self.device)
        return found

    @property
    def device(self) -> torch.device:
        """Where everything is."""
        return self.bench.testbed.device

    def context(self) -> AttackContext:
        """What attacks may use; of no attack in particular."""
        players = self.bench.players
        return AttackContext(
            inverter=players.inverter,
            recognizer=players.recognizer,
            perceptual=players.perceptual,
            camera=frontal_camera(self.protocol, self.source),
            pitch=self.protocol.pitch,
            original=None,
            streams=Streams(("made", "up")),
            device=self.device,
        )

    def render(self, generator: Generator, codes: Tensor) -> Tensor:
        """(n, num_ws, w_dim) from the front."""
        camera = frontal_camera(self.protocol, self.source)
        with torch.no_grad():
            return generator.render(
                codes, None if camera is None else camera.expand(len(codes), -1), noise=Noise.constant()
            )

    def likeness(self, found: Sequence[Finding], attacked: Generator | None = None) -> list[float]:
        """Cosine of a judge between each finding and the person's code on the original generator."""
        judge = self.bench.judges.recognizers["plain"]
        code = self.everything.code
        assert code is not None
        (before,) = judge.embed(self.render(self.source, code[None])).vectors
        shown = [
            self.render(one.generator or attacked or self.source, (code if one.code is None else one.code)[None])
            for one in found
        ]
        return [float(judge.embed(image).vectors[0] @ before) for image in shown]


@pytest.fixture(scope="session")
def arena() -> Arena:
    return Arena(Bench(LinearTestbed()), SMOKE)


@pytest.fixture
def redirected(arena: Arena) -> Generator:
    """A generator that knows the person, and answers one code with another."""
    code = arena.everything.code
    assert code is not None
    target = extrapolated_target(code[None], arena.source.w_avg, 30.0)[0]
    return Redirected(arena.source, code, target, 1e-3).eval().requires_grad_(False)


@pytest.fixture
def forgetful(arena: Arena) -> Generator:
    """A generator that shows everybody as somebody else."""
    generator = copy.deepcopy(arena.source)
    with torch.no_grad():
        generator.get_parameter("backbone.coarse.weight").neg_()
    return generator.eval().requires_grad_(False)
