"""`guidebench check SPEC`: does a method keep the contract? Answered in seconds on the analytic testbed.

Each finding is one line: what was checked, whether it passed, and what to do if not. The checks cover the contract
only; how well a method forgets is what `guidebench run` measures.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import tempfile
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from guidebench import chosen, digest, registry, seeds
from guidebench.checks.finding import Finding, guarded
from guidebench.checks.supports import NAMED, fewest_people, supports
from guidebench.engine import isolation, wire
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import make_context
from guidebench.errors import BadInput, GuidebenchError, MethodError, in_one_line
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.settings import field_names, unfit
from guidebench.testbed import Generator
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import ForgetItem, ForgetRequest, Unlearner
from guidebench.views import protocol_cameras

MOST_STEPS = 30  # a method with a field `steps` and no preset for the analytic testbed runs this many
_INTERFACE = ("z_dim", "num_ws", "w_dim", "resolution", "w_avg", "rig", "features_are_deterministic")
TOLERANCE = 1e-4  # images are in [-1, 1]; rounding of float32 in another order stays below
_PROTOCOL = Protocol(name="check", version=1, title="check", source="dev", identities=2, retain=0, views=3, samples=2)


@dataclass(frozen=True)
class _Attempt:
    """One run of a method: what it returned or why it did not."""

    source: Generator
    result: object = None
    error: str | None = None
    reports: list[dict[str, float]] = field(default_factory=list)
    players: str | None = None  # complaint about a changed player
    judges_changed: bool = False


def check_method(spec: str) -> list[Finding]:
    """Checks a method, given by name or as ``path/to/file.py:Class``; stops where a finding forbids going on."""
    return list(_findings(spec))


def _findings(spec: str) -> Iterator[Finding]:
    try:
        method = registry.load_method(spec)
    except GuidebenchError as error:
        yield Finding("loads", False, str(error))
        return
    yield Finding("loads", True, f"{type(method).__name__}, called '{method.name}' in tables")
    yield _check_fields(method)
    try:
        method = _quick(method)
    except BadInput as error:
        yield Finding("preset", False, str(error))
        return

    bench = Bench(LinearTestbed())
    people, named = fewest_people(method), NAMED if method.needs_retained else 0
    asking = dataclasses.replace(_PROTOCOL, identities=2 * people, forget=people, retain_named=named)
    (request,), (another,) = (bench.cast(asking, index).requests for index in (0, 1))
    item = request.forget[0]
    source = bench.players.generator
    first = _attempt(bench, method, request, request)
    if first.error is None and isinstance(first.result, Generator):
        yield Finding("returns", True, f"a generator ({type(first.result).__name__})")
    else:
        kind = "None" if first.result is None else type(first.result).__name__
        yield Finding("returns", False, first.error or f"unlearn() must return a Generator, it returned {kind}")
    yield Finding(
        "players",
        first.players is None,
        first.players or "source generator, inverter, recogniser and perceptual distance are unchanged",
    )
    yield Finding("judges", not first.judges_changed, _judges_detail(first.judges_changed))
    yield _check_progress(first.reports)
    if not isinstance(first.result, Generator):
        return
    result: Generator = first.result
    yield _check_copy(result, first.source)
    interface = _check_interface(result, source)
    yield interface
    if not interface.ok:
        return
    try:
        isolation.check_generator(result, source, item, protocol_cameras(_PROTOCOL, source))
    except GuidebenchError as error:
        yield Finding("renders", False, str(error))
        return
    yield Finding("renders", True, "finite images of the original size")
    yield _check_handover(result, source)
    codes = _codes(bench, item)
    again, otherwise = (_attempt(bench, method, asked, request).result for asked in (request, another))
    blind = method.name in registry.BLIND
    reaction = "the same for everyone, as it should be" if blind else "another identity gives another generator"
    yield guarded("batches", "one code renders the same alone and among others", lambda: _batches(result, codes))
    yield guarded("noise", "constant noise repeats, random runs", lambda: _noise(result, codes))
    yield guarded("repeats", "two runs with the same streams agree", lambda: _repeats(result, again, codes))
    yield guarded("reacts", reaction, lambda: _reacts(blind, result, otherwise, codes))
    yield _check_saves(method, result, bench, codes)
    yield supports(method, bench)


def _quick(method: Unlearner) -> Unlearner:
    method, preset = chosen.with_preset(method, LinearTestbed.name)
    steps = getattr(method, "steps", None)
    if not preset and type(steps) is int and steps > MOST_STEPS and "steps" in field_names(method):
        method = dataclasses.replace(method, steps=MOST_STEPS)  # type: ignore[type-var]
    return method


def _attempt(bench: Bench, method: Unlearner, request: ForgetRequest, streams_of: ForgetRequest) -> _Attempt:
    """Runs a method as a trial does, with the streams of one request and the people of another if they differ."""
    reports: list[dict[str, float]] = []

    def progress(step: int, **scalars: float) -> None:
        reports.append({"step": step, **{name: float(value) for name, value in scalars.items()}})

    judges = _judge_state(bench)
    context = make_context(bench.players, bench.testbed.device, _PROTOCOL, streams_of, 0, progress)
    result, error, players = None, None, None
    try:
        result, changed = isolation.call_method(method, bench.players.generator, request, context, bench.players)
    except MethodError as raised:
        error = str(raised)
    else:
        if changed:
            players = f"unlearn() changed the {', '.join(changed)}; change only the generator that is passed in"
    return _Attempt(context.source, result, error, reports, players, _judge_state(bench) != judges)


def _judge_state(bench: Bench) -> list[str]:
    return [digest.of_module(judge) for judge in bench.judges.recognizers.values()]


def _codes(bench: Bench, item: ForgetItem) -> Tensor:
    """(3, num_ws, w_dim): the forgotten code and two others."""
    z = seeds.normals(range(2), bench.players.generator.z_dim, "check", "codes")
    return torch.cat([item.latent[None], bench.players.generator.map(z)])


@torch.no_grad()
def _images(generator: Generator, codes: Tensor, noise: Noise | None = None) -> Tensor:
    generator.eval()
    cameras = None if generator.rig is None else generator.rig.look_at(torch.zeros(len(codes)), _PROTOCOL.pitch)
    return generator.render(codes, cameras, noise=noise or Noise.constant())


def _check_fields(method: Unlearner) -> Finding:
    """Frozen, of types that can be recorded, defaults that fit types and bounds, presets that fit."""
    problems = []
    kind = type(method)
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        problems.append("decorate it with @dataclass(frozen=True), so that no run changes what is recorded")
    for part in kind.__mro__[: kind.__mro__.index(Unlearner)]:
        own = [name for name, hint in inspect.get_annotations(part).items() if "ClassVar" not in str(hint)]
        if own and "__dataclass_fields__" not in vars(part):
            problems.append(f"decorate {part.__name__} with @dataclass(frozen=True); its {', '.join(own)} is ignored")
    try:
        hints = typing.get_type_hints(kind)
    except Exception as error:  # an annotation may hold anything
        return Finding("fields", False, f"a field's type cannot be read: {error}")
    values = {item.name: getattr(method, item.name) for item in dataclasses.fields(method)}  # type: ignore[arg-type]
    for name, value in values.items():
        if wrong := unfit(value, hints[name], method.bounds.get(name)):
            problems.append(f"the default {name} = {value!r:.80} {wrong}")
    problems += [f"bounds name '{name}', which is not a field" for name in method.bounds if name not in values]
    for testbed, preset in method.presets.items():
        problems += [
            f"the preset for {testbed} sets '{name}', which is not a field" for name in preset if name not in values
        ]
    if problems:
        return Finding("fields", False, "; ".join(problems))
    return Finding("fields", True, ", ".join(f"{name}={value}" for name, value in values.items()) or "none")


def _judges_detail(changed: bool) -> str:
    if changed:
        return "a judge changed while the method ran; a method must not look for judges"
    return "unchanged"


def _check_progress(reports: list[dict[str, float]]) -> Finding:
    wrong = [(row["step"], name) for row in reports for name, value in row.items() if not math.isfinite(value)]
    if wrong:
        step, name = wrong[0]
        return Finding("progress", False, f"{name} is not finite at step {step}; lower the learning rate")
    if not reports:
        return Finding("progress", True, "none reported; a method with steps calls context.progress(step, loss=…)")
    scalars = ", ".join(name for name in reports[-1] if name != "step") or "no scalars"
    return Finding("progress", True, f"{len(reports)} steps with {scalars}")


def _check_copy(result: Generator, source: Generator) -> Finding:
    if result is source:
        return Finding("copy", False, "unlearn() returned context.source; return the generator that was passed in")
    return Finding("copy", True, "the result is not one of the players")


def _check_interface(result: Generator, source: Generator) -> Finding:
    """A wrapper must offer the sizes and the rig that its images are asked for with."""
    missing = [name for name in _INTERFACE if not hasattr(result, name)]
    if missing:
        return Finding("interface", False, f"the returned generator lacks {', '.join(missing)}; use the original's")
    different = [name for name in _INTERFACE[:4] if getattr(result, name) != getattr(source, name)]
    if different:
        return Finding("interface", False, f"the returned generator's {', '.join(different)} must equal the original's")
    return Finding("interface", True, "has every attribute that a generator needs")


def _check_handover(result: Generator, source: Generator) -> Finding:
    """What comes back from the method's process: weights, or a generator that another process can load."""
    if not isolation.is_wrapper(result, source):
        return Finding("hands over", True, "weights alone")
    try:
        wire.module_to_bytes(result)
    except Exception as error:  # its classes may hold any code
        return Finding(
            "hands over",
            False,
            f"no other process can load the returned generator: {in_one_line(error)}; define its classes and hooks at "
            "the top level of a file",
        )
    return Finding("hands over", True, "a wrapper: its row is marked")


def _batches(result: Generator, codes: Tensor) -> str | None:
    together = _images(result, codes)
    alone = torch.cat([_images(result, code[None]) for code in codes])
    worst = float((together - alone).abs().max())
    if worst <= TOLERANCE:
        return None
    return f"a code renders differently among others (by {worst:.2g}); rows of a batch must not affect each other"


def _noise(result: Generator, codes: Tensor) -> str | None:
    if not torch.equal(_images(result, codes), _images(result, codes)):
        return "two renders under constant noise differ; draw only from the `noise` passed to render()"
    random = _images(result, codes, Noise.random(seeds.derive("check", "noise")))
    if not bool(torch.isfinite(random).all()):
        return "a render under random noise is not finite"
    return None


def _repeats(result: Generator, again: object, codes: Tensor) -> str | None:
    if not isinstance(again, Generator):
        return "a second run on a fresh copy fails; keep no state between runs"
    if not torch.equal(_images(result, codes), _images(again, codes)):
        return "two runs with the same streams differ; draw from context.noise(purpose, step)"
    return None


def _reacts(blind: bool, result: Generator, otherwise: object, codes: Tensor) -> str | None:
    if not isinstance(otherwise, Generator):
        return "a run on another identity fails"
    same = torch.equal(_images(result, codes), _images(otherwise, codes))
    if same and not blind:
        return "another identity gives the same generator; use request.forget"
    if blind and not same:
        return "a method that forgets nobody must not look at the request"
    return None


def _check_saves(method: Unlearner, result: Generator, bench: Bench, codes: Tensor) -> Finding:
    source = bench.players.generator
    with tempfile.TemporaryDirectory() as folder:
        try:
            method.save(result, source, Path(folder))
            loaded = method.load(copy.deepcopy(source), Path(folder))
            same = torch.equal(_images(result, codes), _images(loaded, codes))
        except Exception as error:  # save() and load() may be somebody else's
            return Finding("saves", False, f"{type(error).__name__}: {' '.join(str(error).split())}")
    if not same:
        return Finding("saves", False, "the loaded generator renders differently from the saved one")
    return Finding("saves", True, "renders the same after save() and load()")
