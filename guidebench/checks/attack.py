"""`guidebench check SPEC`: does an attack keep the contract? Answered in seconds on the analytic testbed.

How well it works is what `guidebench attack` measures.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch

from guidebench import digest, registry
from guidebench.attack import Attack, Target
from guidebench.attack import Finding as Found
from guidebench.checks.finding import Finding, guarded
from guidebench.engine.attacks_apart import run_attack
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput, GuidebenchError, MethodError
from guidebench.protocol import Protocol
from guidebench.settings import check_fields
from guidebench.testbed import Generator
from guidebench.testbeds.linear import LinearTestbed

_PROTOCOL = Protocol(
    name="check", version=1, title="check", source="dev", identities=1, probe_photos=1, retain=3, views=3, samples=2
)


def check_attack(spec: str) -> list[Finding]:
    """Checks an attack, given by name or as ``path/to/file.py:Class``; stops where a finding forbids going on."""
    return list(_findings(spec))


def _findings(spec: str) -> Iterator[Finding]:
    try:
        attack = registry.load_attack(spec)
    except GuidebenchError as error:
        yield Finding("loads", False, str(error))
        return
    yield Finding("loads", True, f"{type(attack).__name__}, called '{attack.name}' in tables")
    yield Finding("knows", True, attack.knows.in_words())
    try:
        check_fields(attack)
    except BadInput as error:
        yield Finding("fields", False, str(error))
        return
    yield Finding("fields", True, "frozen, and every default is within its bounds")
    bench = Bench(LinearTestbed())
    source = bench.players.generator
    before = _state(source)
    try:
        found = _run(attack, bench, source)
    except MethodError as error:
        yield Finding("finds", False, str(error))
        return
    yield Finding("finds", True, f"{len(found)} finding{'s' if len(found) > 1 else ''} per person")
    unchanged = _state(source) == before
    yield Finding(
        "leaves", unchanged, "the generator that it was given is as it was" if unchanged else "it changed the generator"
    )
    yield guarded("repeats", "two runs find the same", lambda: _repeats(found, _run(attack, bench, source)))
    yield guarded("curve", "findings of a curve take more and more", lambda: _grows(attack, found))


def _run(attack: Attack, bench: Bench, generator: Generator) -> list[Found]:
    """What it finds of one person, with what it may know."""
    cast = bench.cast(_PROTOCOL, 0)
    assert cast.photos is not None
    kept = [place for place, subject in enumerate(cast.subjects) if subject.role == "retain"]
    knows = attack.knows
    target = Target(
        cast.subjects[0].identity,
        cast.photos[: min(knows.photos, 2)] if knows.photos else None,
        cast.latents[0] if knows.code else None,
        cast.photos[kept[: knows.others]] if knows.others else None,
    )
    (found,) = run_attack(attack, copy.deepcopy(generator), bench.players, _PROTOCOL, 0, [target], torch.device("cpu"))
    return found


def _state(generator: Generator) -> str:
    return digest.of_tensors(dict(generator.state_dict()))


def _repeats(first: Sequence[Found], again: Sequence[Found]) -> str | None:
    for one, other in zip(first, again, strict=True):
        same_code = (one.code is None) == (other.code is None) and (
            one.code is None or other.code is None or torch.equal(one.code, other.code)
        )
        same_generator = (one.generator is None) == (other.generator is None) and (
            one.generator is None or other.generator is None or _state(one.generator) == _state(other.generator)
        )
        if not (same_code and same_generator and one.at == other.at and one.views == other.views):
            return "two runs with the same streams find different things; draw from context.noise"
    return None


def _grows(attack: Attack, found: Sequence[Found]) -> str | None:
    places = [one.at for one in found]
    if attack.curve and not all(first < second for first, second in zip(places, places[1:], strict=False)):
        return f"curve = True, but its findings are at {', '.join(f'{at:g}' for at in places)}; order them"
    return None
