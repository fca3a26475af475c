"""Testbeds that break the contract, each in one way. `test_testbeds.py` says which finding must report it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from guidebench.evidence import Seen
from guidebench.noise import Noise
from guidebench.testbed import Faces, Judges, Person, Players, Testbed
from guidebench.testbeds.linear import LinearFaces, LinearGenerator, LinearRecognizer, LinearTestbed

_builds = itertools.count(1)


class Obedient(LinearTestbed):
    """What the others would be without their fault."""

    name = "obedient"


class NoFaces(Testbed):
    name = "no-faces"
    summary = "defines nothing"
    caption = ""


class NoSummary(Obedient):
    summary = ""


class NeedsFiles(Obedient):
    def missing(self, sources: Collection[str] = ()) -> Sequence[str]:
        return ["weights.pt is missing; ask its authors"]


class RaisesAtOnce(Obedient):
    def __init__(self, **options: object) -> None:
        raise RuntimeError("out of luck")


class WithoutPlayers(Obedient):
    def players(self) -> Players:
        return None  # type: ignore[return-value]


class Trainable(Obedient):
    def players(self) -> Players:
        players = super().players()
        players.generator.requires_grad_(True)
        return players


class Training(Obedient):
    def judges(self) -> Judges:
        judges = super().judges()
        judges.recognizers["plain"].train()
        return judges


class WithoutDigests(Obedient):
    def players(self) -> Players:
        return dataclasses.replace(super().players(), digests={})


class WithoutJudges(Obedient):
    def judges(self) -> Judges:
        return dataclasses.replace(super().judges(), recognizers={})


class SharesWeights(Obedient):
    def judges(self) -> Judges:
        judges = super().judges()
        digests = {**judges.digests, "plain": self.players().digests["recognizer"]}
        return dataclasses.replace(judges, digests=digests)


class _Others(LinearFaces):
    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        return super().people(source, range(len(indices)), photos=photos)


class OtherPeopleAlone(Obedient):
    def faces(self) -> Faces:
        return _Others()


class _Bright(LinearFaces):
    def people(self, source: str, indices: Sequence[int], *, photos: int) -> list[Person]:
        found = super().people(source, indices, photos=photos)
        return [Person(person.identity, person.photos * 255) for person in found]


class OfBytes(Obedient):
    def faces(self) -> Faces:
        return _Bright()


class _Restless(LinearFaces):
    def manifest(self, source: str) -> str:
        return str(next(_builds))


class ChangesManifest(Obedient):
    def faces(self) -> Faces:
        return _Restless()


def _with_generator(testbed: LinearTestbed, generator: LinearGenerator) -> Players:
    players = LinearTestbed.players(testbed)
    generator.load_state_dict(players.generator.state_dict())
    return dataclasses.replace(players, generator=generator.eval().requires_grad_(False))


class _Large(LinearGenerator):
    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        return super().decode(features, ws, cameras, noise=noise).repeat_interleave(2, 2)


class WrongSize(Obedient):
    def players(self) -> Players:
        return _with_generator(self, _Large())


class _Neighbourly(LinearGenerator):
    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        u = super().synthesize(ws, noise=noise)
        return u - 0.1 * u.mean(dim=0)


class BatchDependent(Obedient):
    def players(self) -> Players:
        return _with_generator(self, _Neighbourly())


class _Noisy(LinearGenerator):
    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        return super().synthesize(ws, noise=noise) + 1e-6 * torch.rand(1)


class IgnoresNoise(Obedient):
    def players(self) -> Players:
        return _with_generator(self, _Noisy())


class _Declared(LinearGenerator):
    features_are_deterministic = True


class DrawsNoise(Obedient):
    def players(self) -> Players:
        return _with_generator(self, _Declared())


class OneCodeForAll(Obedient):
    def players(self) -> Players:
        players = super().players()
        players.inverter.invert = lambda images, *, rng=None: players.generator.w_avg[None]  # type: ignore[method-assign]
        return players


class _NoGradients(LinearRecognizer):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).detach()


class NoGradients(Obedient):
    def players(self) -> Players:
        recognizer = _NoGradients("training", spread=0.2, anatomy_gain=0.7)
        return dataclasses.replace(super().players(), recognizer=recognizer.eval().requires_grad_(False))


class _Long(LinearRecognizer):
    def embed(self, images: Tensor) -> Seen[Tensor]:
        seen = super().embed(images)
        return Seen(2 * seen.vectors, seen.found)


class _Blind(LinearRecognizer):
    def embed(self, images: Tensor) -> Seen[Tensor]:
        seen = super().embed(images)
        return Seen(seen.vectors, torch.zeros_like(seen.found))


def _with_judge(testbed: LinearTestbed, kind: type[LinearRecognizer]) -> Judges:
    judge = kind("plain", spread=0.0, anatomy_gain=0.7).eval().requires_grad_(False)
    judges = LinearTestbed.judges(testbed)
    return dataclasses.replace(judges, recognizers={**judges.recognizers, "plain": judge})


class LongVectors(Obedient):
    def judges(self) -> Judges:
        return _with_judge(self, _Long)


class Blind(Obedient):
    def judges(self) -> Judges:
        return _with_judge(self, _Blind)


class WrongDimension(Obedient):
    def judges(self) -> Judges:
        judges = super().judges()
        return dataclasses.replace(judges, features=dataclasses.replace(judges.features, dim=3), real=None)


class ChangesWeights(Obedient):
    def players(self) -> Players:
        players = super().players()
        players.generator.get_parameter("decoder.patterns").mul_(1 + 0.01 * next(_builds))
        return players
