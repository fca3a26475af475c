"""Attacks the generator that a trial left, and judges what is found like everything else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from guidebench import digest, seeds
from guidebench.attack import Knowledge, Target
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.engine.attacks_apart import Assault, Found, as_planned, attack_apart, run_attack
from guidebench.engine.bench import Bench, Scene
from guidebench.engine.hosted import Hosted
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.nurseries import Nurseries
from guidebench.engine.wire import tensors_to_bytes
from guidebench.errors import MethodError
from guidebench.evidence import Attacked, Seen, SeenFaces, Shown
from guidebench.protocol import Protocol
from guidebench.testbed import Generator
from guidebench.views import picture_views, protocol_cameras

OTHERS = 1  # people who were not forgotten and on whom an attack is run, too, per trial
_ORDINARY = 256  # codes whose mean distance from the average code is 1


@dataclass(frozen=True)
class Outcome:
    """What came of one attack."""

    attack: ChosenAttack
    seconds: float
    found: Attacked | None  # None: it failed, or there was nothing to try
    reason: str | None = None  # why
    applies: bool = True  # False: there is nothing to try on generators of this kind


class Attacker:
    """Runs attacks on one generator after another."""

    def __init__(self, bench: Bench, nurseries: Nurseries | None, timeout: float | None) -> None:
        """nurseries: None: attacks run in this process. timeout: seconds for each; None: as long as it takes."""
        self._bench, self._nurseries, self._timeout = bench, nurseries, timeout

    def attack(
        self,
        chosen: ChosenAttack,
        protocol: Protocol,
        scene: Scene,
        generator: Generator,
        method: ChosenMethod,
        seed: int,
    ) -> Outcome:
        """Attacks a generator that is to have forgotten the people of a scene; one that misbehaves fails alone."""
        started = time.perf_counter()
        try:
            if self._bench.players.generator.rig is None and as_planned(chosen).needs_cameras:
                return Outcome(chosen, 0.0, None, "a 2-D generator has one view", applies=False)
            found = self._attacked(chosen, protocol, scene, generator, method, seed)
        except MethodError as error:
            return Outcome(chosen, time.perf_counter() - started, None, str(error))
        return Outcome(chosen, time.perf_counter() - started, found)

    def _attacked(
        self,
        chosen: ChosenAttack,
        protocol: Protocol,
        scene: Scene,
        generator: Generator,
        method: ChosenMethod,
        seed: int,
    ) -> Attacked:
        attack = as_planned(chosen)
        cast = scene.cast
        forgotten = [place for place, subject in enumerate(cast.subjects) if subject.role == "forget"]
        kept = [place for place, subject in enumerate(cast.subjects) if subject.role == "retain"]
        enough = len(kept) > OTHERS or not attack.knows.others  # whoever is attacked is not among the strangers
        others = kept[:OTHERS] if "other" in attack.controls and enough else []
        strangers = kept[len(others) :]
        targets = [_target_of(attack.knows, scene, place, strangers) for place in (*forgotten, *others)]
        codes = [cast.latents[place] for place in (*forgotten, *others)]

        def run(on: Generator, of: ChosenMethod | None, count: int) -> list[list[Found]]:
            return self._run(chosen, protocol, seed, on, of, targets[:count])

        found = run(generator, method, len(targets))
        views = self._judged(protocol, generator, found, codes)
        original: dict[str, Shown] = {}
        if "original" in attack.controls:
            key = ("attack", digest.of_data(chosen.definition()), protocol.digest(), seed, cast.subjects[0].identity)
            source = self._bench.players.generator
            original = self._bench.recall(
                key,
                lambda: self._judged(protocol, source, run(source, None, len(forgotten)), codes[: len(forgotten)]),
            )
        count = len(forgotten)
        return Attacked(
            people=tuple(cast.subjects[place].identity for place in forgotten),
            at=np.array([[finding.at for finding in person] for person in found[:count]], dtype=np.float64),
            distance=self._distances(protocol, found[:count], codes),
            found={judge: _people(shown, slice(0, count)) for judge, shown in views.items()},
            original=original,
            others=tuple(cast.subjects[place].identity for place in others),
            other={judge: _people(shown, slice(count, None)) for judge, shown in views.items()} if others else {},
            shows_anybody=attack.shows_anybody,
            curve=attack.curve,
        )

    def _run(
        self,
        chosen: ChosenAttack,
        protocol: Protocol,
        seed: int,
        generator: Generator,
        method: ChosenMethod | None,
        targets: Sequence[Target],
    ) -> list[list[Found]]:
        players, device = self._bench.players, self._bench.testbed.device
        if self._nurseries is None:
            people = run_attack(as_planned(chosen), generator, players, protocol, seed, targets, device)
            return [[Found(one.at, one.code, _given(one.generator), one.views) for one in person] for person in people]
        state = module = b""
        if isinstance(generator, Hosted):
            module = generator.module
        elif generator is not players.generator:
            state = tensors_to_bytes(generator.state_dict())
        assault = Assault(chosen, protocol, seed, method, state, module, tuple(targets))
        return attack_apart(self._nurseries, assault, players.generator, self._timeout)

    def _judged(
        self, protocol: Protocol, attacked: Generator, found: Sequence[Sequence[Found]], codes: Sequence[Tensor]
    ) -> dict[str, Shown]:
        """By judge, what was found and what it is compared with. codes: of the people, in order."""
        bench, device = self._bench, self._bench.testbed.device
        after: list[list[Mapping[str, SeenFaces]]] = []
        before: list[list[Mapping[str, SeenFaces]]] = []
        for person, own in zip(found, codes, strict=True):
            after.append([])
            before.append([])
            for finding in person:
                cameras = self._cameras(protocol, finding.views)
                generator = attacked if finding.generator is None else finding.generator()
                code = own if finding.code is None else finding.code.to(device)
                with blame_the_method("a finding cannot be rendered"):
                    after[-1].append(bench.seen_from(generator, code, cameras))
                before[-1].append(bench.original_seen_from(own, cameras))
                if finding.generator is not None and isinstance(generator, Hosted):
                    generator.close()
        return {judge: Shown(_stacked(after, judge), _stacked(before, judge)) for judge in bench.judges.recognizers}

    def _cameras(self, protocol: Protocol, views: Sequence[tuple[float, float]]) -> Tensor | None:
        source = self._bench.players.generator
        if source.rig is None:
            return None
        if not views:
            cameras = protocol_cameras(protocol, source)
            assert cameras is not None
            return cameras[picture_views(len(cameras))]
        yaws, pitches = (torch.tensor(angles) for angles in zip(*views, strict=True))
        return source.rig.look_at(yaws, pitches).to(source.w_avg.device)

    def _distances(self, protocol: Protocol, found: Sequence[Sequence[Found]], codes: Sequence[Tensor]) -> np.ndarray:
        """(P, K): how far codes are from the average one, ordinary codes being 1 away on average."""
        source = self._bench.players.generator
        ordinary = self._bench.recall(("ordinary", protocol.name), lambda: _ordinary_distance(source, protocol))
        rows = [
            [
                float(torch.linalg.vector_norm((own.cpu() if one.code is None else one.code) - source.w_avg.cpu()))
                for one in person
            ]
            for person, own in zip(found, codes, strict=False)
        ]
        return np.array(rows, dtype=np.float64) / ordinary


def _target_of(knows: Knowledge, scene: Scene, place: int, strangers: Sequence[int]) -> Target:
    """What an attack may know of a person in the scene. strangers: places of others whose photographs it may know."""
    cast, photos, others = scene.cast, None, None
    identity = cast.subjects[place].identity
    if knows.photos or knows.others:
        assert cast.photos is not None, "see check_attack_fits"
        own = [row for row, subject in enumerate(cast.subjects) if subject.identity == identity]
        photos = cast.photos[own[: knows.photos]].cpu() if knows.photos else None
        others = cast.photos[list(strangers[: knows.others])].cpu() if knows.others else None
    return Target(identity, photos, cast.latents[place].cpu() if knows.code else None, others)


def _given(generator: Generator | None) -> Callable[[], Generator] | None:
    return None if generator is None else lambda: generator


@torch.no_grad()
def _ordinary_distance(source: Generator, protocol: Protocol) -> float:
    z = seeds.normals(range(_ORDINARY), source.z_dim, protocol.name, "attack/ordinary", device=source.w_avg.device)
    return float(torch.linalg.vector_norm(source.map(z) - source.w_avg, dim=(1, 2)).mean())


def _stacked(people: Sequence[Sequence[Mapping[str, SeenFaces]]], judge: str) -> SeenFaces:
    return Seen.stack([Seen.stack([finding[judge] for finding in person]) for person in people])


def _people(shown: Shown, which: slice) -> Shown:
    return Shown(shown.after[which], shown.before[which])
