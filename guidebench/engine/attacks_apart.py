"""Runs an attack, in a process of its own where there can be one: it knows players and the generator, no judge.

What comes back is codes, weights and views. A generator that is more than the original with other weights is loaded and
rendered in a further process, as in `guidebench.engine.apart`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from guidebench import seeds
from guidebench.attack import MOST_FINDINGS, Attack, AttackContext, Finding, Target
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.engine.apart import handed_on, with_weights
from guidebench.engine.children import answered, told_failures
from guidebench.engine.hosted import Hosted
from guidebench.engine.isolation import (
    blame_the_method,
    exit_refused,
    frozen,
    stdout_to_stderr,
    torch_settings_restored,
)
from guidebench.engine.renders_only import RendersOnly
from guidebench.engine.wire import (
    module_from_bytes,
    packed,
    tensors_from_bytes,
    tensors_to_bytes,
    told,
    unpacked,
)
from guidebench.errors import BadInput, MethodError
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.seeds import Streams
from guidebench.testbed import Generator, Players
from guidebench.views import frontal_camera
from guidebench.watched import unchanged

if TYPE_CHECKING:
    from guidebench.engine.nurseries import Nurseries

_ANGLES = 85.0  # degrees that a view may be turned or tilted at most


@dataclass(frozen=True)
class Assault:
    """What an attack's process is told: plain data and tensors on the CPU."""

    attack: ChosenAttack
    protocol: Protocol
    seed: int
    method: ChosenMethod | None  # whose files a wrapper's classes are in; None: the original generator is attacked
    state: bytes  # weights of the attacked generator; empty: see module
    module: bytes  # a generator of a class of its own; empty, as state: the original
    targets: tuple[Target, ...]


def run_attack(
    attack: Attack,
    generator: Generator,
    players: Players,
    protocol: Protocol,
    seed: int,
    targets: Sequence[Target],
    device: torch.device,
) -> list[list[Finding]]:
    """The findings of an attack, person by person, checked. Raises MethodError if the attack misbehaves."""
    found = []
    for target in targets:
        context = AttackContext(
            inverter=frozen(players.inverter),
            recognizer=frozen(players.recognizer),
            perceptual=frozen(players.perceptual),
            camera=frontal_camera(protocol, players.generator),
            pitch=protocol.pitch,
            original=frozen(players.generator) if attack.knows.original else None,
            streams=Streams((protocol.name, protocol.version, target.identity, seed, f"attack/{attack.name}")),
            device=device,
        )
        shown = frozen(generator) if attack.knows.access == "weights" else QueryOnly(frozen(generator))
        with (
            unchanged("the attack"),
            exit_refused("the attack"),
            seeds.global_seed(*context.streams.prefix, "global"),
            torch_settings_restored(),
            stdout_to_stderr(),
            blame_the_method("the attack raised"),
        ):
            answer = attack.run(shown, _copied(target), context)
        found.append(_checked(answer, players.generator))
    if len({len(own) for own in found}) > 1 or len({len(finding.views) for own in found for finding in own}) > 1:
        raise MethodError("the attack must find as much for everybody, with as many views each")
    return found


class QueryOnly(RendersOnly):
    """What an attack with access to queries is given."""

    refusal = 'an attack with access="queries" only renders; declare access="weights"'

    def __init__(self, inner: Generator) -> None:
        super().__init__(inner)
        self._inner = (inner,)  # a tuple, so that it is not a part of this module

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """See `guidebench.testbed.Generator`."""
        with torch.no_grad():
            return self._inner[0].map(z, condition=condition, psi=psi, cutoff=cutoff)

    def render(self, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """See `guidebench.testbed.Generator`."""
        with torch.no_grad():
            return self._inner[0].render(ws, cameras, noise=noise)


def _copied(target: Target) -> Target:
    photos, code, others = (
        None if tensor is None else tensor.clone() for tensor in (target.photos, target.code, target.others)
    )
    return Target(target.identity, photos, code, others)


def _checked(answer: object, source: Generator) -> list[Finding]:
    if not isinstance(answer, list | tuple):
        raise MethodError(f"run() must return a list of Findings, it returned {type(answer).__name__}")
    for one in answer:
        if not isinstance(one, Finding):
            raise MethodError(f"run() must return a list of Findings, it returned one with {type(one).__name__} in it")
    if not answer:
        raise MethodError("it found nothing to try on this generator; run() must return 1 finding or more")
    if len(answer) > MOST_FINDINGS:
        raise MethodError(f"run() must return 1 to {MOST_FINDINGS} findings, it returned {len(answer)}")
    return [_sound(finding, source) for finding in answer]


def _sound(finding: Finding, source: Generator) -> Finding:
    with blame_the_method("a finding cannot be read"):
        at = float(finding.at)
        views = tuple((float(yaw), float(pitch)) for yaw, pitch in finding.views)
    if not math.isfinite(at):
        raise MethodError(f"a finding has at = {at}; give a number")
    if source.rig is None and views:
        raise MethodError("a finding has views, but the generator is 2-D")
    if not all(abs(math.degrees(angle)) <= _ANGLES for view in views for angle in view):
        raise MethodError(f"a finding has views beyond {_ANGLES:g} degrees; give yaw and pitch in radians")
    code, wanted = finding.code, (source.num_ws, source.w_dim)
    if code is not None and not (isinstance(code, Tensor) and tuple(code.shape) == wanted):
        shape = tuple(code.shape) if isinstance(code, Tensor) else type(code).__name__
        raise MethodError(f"a finding's code is {shape}, not {wanted}")
    if code is not None and not bool(torch.isfinite(code).all()):
        raise MethodError("a finding's code is not finite; lower the learning rate")
    if finding.generator is not None and not isinstance(finding.generator, Generator):
        raise MethodError(f"a finding's generator is {type(finding.generator).__name__}, not a Generator")
    return Finding(
        at=at, code=None if code is None else code.detach().float(), generator=finding.generator, views=views
    )


# --------------------------------------------------------------------------------------------------------------------
# Both sides of the pipe
# --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """One finding, where it is judged."""

    at: float
    code: Tensor | None  # (num_ws, w_dim) on the CPU
    generator: Callable[[], Generator] | None  # loads it; None: the attacked one
    views: tuple[tuple[float, float], ...]


def attack_apart(nurseries: Nurseries, assault: Assault, source: Generator, timeout: float | None) -> list[list[Found]]:
    """Runs an attack in a process of its own. Raises MethodError if it misbehaves, or takes longer than ``timeout``."""
    child = nurseries.attack()
    try:
        child.send(packed(assault))
        content = answered(child, timeout)
    finally:
        child.end()
    return [
        [_received(finding, nurseries, assault, source, timeout) for finding in person] for person in content["people"]
    ]


def _received(
    finding: Mapping[str, Any], nurseries: Nurseries, assault: Assault, source: Generator, timeout: float | None
) -> Found:
    code = tensors_from_bytes(finding["code"])["code"] if finding["code"] else None
    load: Callable[[], Generator] | None = None
    if finding["state"]:
        load = lambda: with_weights(source, finding["state"])  # noqa: E731
    elif finding["module"]:
        load = lambda: _hosted(nurseries, assault, source, finding["module"], timeout)  # noqa: E731
    return Found(finding["at"], code, load, tuple((yaw, pitch) for yaw, pitch in finding["views"]))


def _hosted(nurseries: Nurseries, assault: Assault, source: Generator, module: bytes, timeout: float | None) -> Hosted:
    """A generator of a class of its own, in a process of its own."""
    generator = Hosted(nurseries.finding(), source, timeout)
    generator.start([assault.attack, *([assault.method] if assault.method else [])], module)
    return generator


def serve_attack(pipe: Connection, load: Callable[[], Players], device: torch.device) -> None:
    """The life of an attack's process."""
    with told_failures(pipe, "attack"):
        (assault,) = unpacked(pipe.recv_bytes())
        players = load()
        attack = as_planned(assault.attack)
        generator = _attacked(assault, players, device)
        targets = [_on(target, device) for target in assault.targets]
        found = run_attack(attack, generator, players, assault.protocol, assault.seed, targets, device)
        people = [[_sent(finding, players.generator) for finding in person] for person in found]
        pipe.send_bytes(told("found", people=people))


def as_planned(chosen: ChosenAttack) -> Attack:
    """The attack; raises MethodError if its code is not what was planned with."""
    from guidebench import sources

    try:
        attack = chosen.build()
        changed = sources.source_digest(attack) != chosen.source_digest
    except (BadInput, TypeError, ValueError) as error:
        raise MethodError(str(error)) from None
    if changed:
        raise MethodError("the attack's code has changed since it was planned; run the command again")
    return attack


def _attacked(assault: Assault, players: Players, device: torch.device) -> Generator:
    if assault.state:
        return with_weights(players.generator, assault.state)
    if not assault.module:
        return players.generator
    with blame_the_method("the attacked generator cannot be loaded"):
        if assault.method is not None:
            assault.method.build()  # imports the files that its classes are in
        return module_from_bytes(assault.module, device).eval().requires_grad_(False)


def _on(target: Target, device: torch.device) -> Target:
    photos, code, others = (
        None if tensor is None else tensor.to(device) for tensor in (target.photos, target.code, target.others)
    )
    return Target(target.identity, photos, code, others)


def _sent(finding: Finding, source: Generator) -> dict[str, Any]:
    whole = {"state": b"", "module": b""}
    if finding.generator is not None:
        with blame_the_method("a finding's generator is none"):
            generator = finding.generator.eval().requires_grad_(False)
        whole = handed_on(generator, source)
    code = b"" if finding.code is None else tensors_to_bytes({"code": finding.code})
    return {"at": finding.at, "code": code, "views": list(finding.views), **whole}
