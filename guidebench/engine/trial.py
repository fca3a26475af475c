"""One trial: invert, render before, unlearn, render after, judge. Everything else is bookkeeping around this file.

The same latent codes, cameras and random samples are rendered by the original and the unlearned generator; judges embed
both sets, the feature extractor featurises both sample sets, and those arrays are the evidence that metrics score.

A trial has one or more requests. Each is put to the method with the generator that the request before it left, and
everything is rendered and judged again after each.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.engine.bench import Bench, Renders, Scene
from guidebench.engine.cast import Cast
from guidebench.engine.isolation import (
    blame_the_method,
    call_method,
    changed_parameters,
    check_generator,
    copied,
    frozen,
)
from guidebench.engine.peak_memory import Peak, peak_memory
from guidebench.errors import MethodError
from guidebench.evidence import Evidence, Samples, Seen, SeenFaces, Sight
from guidebench.protocol import Protocol
from guidebench.seeds import Streams
from guidebench.testbed import Generator
from guidebench.unlearner import CameraSampler, Context, ForgetRequest, Unlearner
from guidebench.views import protocol_cameras

_READ_EVERY = 10  # calls of progress() on a GPU

Report = Callable[[int, Mapping[str, float]], None]  # (step, scalars)


@dataclass(frozen=True)
class Unlearned:
    """A method's answer to one request, checked."""

    generator: Generator
    progress: list[dict[str, float]]  # one row per progress report: request, step and the method's scalars
    seconds: float
    trainable: int  # parameters that differ from the original's
    memory: Peak


@dataclass(frozen=True)
class Stage:
    """What was seen after one request."""

    unlearned: Unlearned
    renders: Renders
    neighbours: Mapping[str, SeenFaces] | None  # by judge, (F, k)
    samples: Samples
    seconds: float  # of rendering and judging


@dataclass(frozen=True)
class Trial:
    """Everything that a trial leaves behind."""

    evidence: Evidence
    scene: Scene
    stages: tuple[Stage, ...]  # one per request
    targets: Mapping[str, Tensor]  # by identity, (3, r, r): whom the method turns a person into, where it says so
    seconds: float

    @property
    def cast(self) -> Cast:
        """Everybody in the trial."""
        return self.scene.cast

    @property
    def generator(self) -> Generator:
        """The generator after the last request."""
        return self.stages[-1].unlearned.generator


def run_trial(
    bench: Bench,
    protocol: Protocol,
    method: Unlearner,
    index: int,
    seed: int,
    report: Report,
    progress: list[dict[str, float]] | None = None,
) -> Trial:
    """Measures one method on the people of trial ``index``. Raises MethodError if the method misbehaves.

    progress: gets a row for every progress report, also if the method misbehaves later.
    """
    started = time.perf_counter()
    bench.check_conventions(protocol)
    scene = bench.scene(protocol, index)
    bench.source_samples(protocol)  # before anybody else's code runs
    stages: list[Stage] = []
    generator = bench.players.generator
    rows = [] if progress is None else progress
    for number, request in enumerate(scene.cast.requests, start=1):
        unlearned = unlearn(bench, protocol, method, generator, request, number, seed, report, rows)
        stages.append(evaluate(bench, protocol, scene.cast, unlearned))
        generator = unlearned.generator
    with blame_the_method("the method's target() fails"):
        targets = target_pictures(bench, protocol, method, scene.cast)
    evidence = gather(bench, protocol, scene, stages)
    return Trial(evidence, scene, tuple(stages), targets, time.perf_counter() - started)


def unlearn(
    bench: Bench,
    protocol: Protocol,
    method: Unlearner,
    current: Generator,
    request: ForgetRequest,
    number: int,
    seed: int,
    report: Report,
    rows: list[dict[str, float]],
) -> Unlearned:
    """Runs a method on a private copy of the current generator and checks what it returns. Raises MethodError.

    number: of the request, from 1. rows: gets one for every progress report.
    """
    first, source = len(rows), bench.players.generator
    progress = Progress(number, rows, report, every=1 if bench.testbed.device.type == "cpu" else _READ_EVERY)
    context = make_context(bench, protocol, request, seed, progress)
    started = time.perf_counter()
    with peak_memory(bench.testbed.device) as memory:
        try:
            result, changed = call_method(method, current, request, context, bench.players)
        except MethodError:
            with contextlib.suppress(MethodError):  # the first error counts
                progress.read()
            raise
        progress.read()
    elapsed = time.perf_counter() - started
    if changed:
        raise MethodError(
            f"the method changed the {', '.join(changed)}; change only the generator that is passed to unlearn()"
        )
    generator = check_generator(result, source, request.forget[0], protocol_cameras(protocol, source))
    return Unlearned(generator, rows[first:], elapsed, changed_parameters(generator, source), memory)


class Progress:
    """What a method calls after a step. Tensors are read every so many steps, so that a GPU need not wait for each."""

    def __init__(self, request: int, rows: list[dict[str, float]], report: Report, *, every: int) -> None:
        """request: its number, from 1. rows: gets one for every call. report: hears of it. every: calls per look."""
        self._request, self._rows, self._report, self._every = request, rows, report, every
        self._unread: list[tuple[int, Mapping[str, float | Tensor]]] = []

    def __call__(self, step: int, **scalars: float | Tensor) -> None:
        """Raises MethodError for a step that is none, and once a scalar is seen that is not finite."""
        if not 0 <= int(step) < 2**53:
            raise MethodError(f"progress() was given step {step}; count steps from 1")
        self._unread.append((int(step), {name: _kept(value) for name, value in scalars.items()}))
        if len(self._unread) >= self._every:
            self.read()

    def read(self) -> None:
        """Reads what was reported and not read so far."""
        unread, self._unread = self._unread, []
        for step, scalars in unread:
            values = {name: float(value) for name, value in scalars.items()}
            place = {"request": self._request, "step": step}
            self._rows.append(place | values | place)
            wrong = [name for name, value in values.items() if not math.isfinite(value)]
            if wrong:
                raise MethodError(
                    f"diverged: {wrong[0]} = {values[wrong[0]]} at step {step}; lower the learning rate (--set lr=…)"
                )
            self._report(step, values)


def _kept(value: float | Tensor) -> float | Tensor:
    """A scalar as it is now: a tensor without its graph, and a copy, since a method may go on writing to it."""
    if not isinstance(value, Tensor):
        return float(value)
    if value.numel() != 1:
        raise MethodError(
            f"progress() was given a tensor of shape {tuple(value.shape)}; give one number, its mean, say"
        )
    return value.detach().clone().reshape(())


def make_context(
    bench: Bench, protocol: Protocol, request: ForgetRequest, seed: int, progress: Callable[..., None]
) -> Context:
    """What a method sees: copies of the players and streams of these people and seed, no judge, no probe photograph.

    The players are copies, so that nothing a method does to them reaches another trial. The streams do not depend on
    the method, so that methods which draw alike see the same numbers.
    """
    players = bench.players
    source = frozen(players.generator)
    people = (item.identity for item in request.forget)
    return Context(
        source=source,
        inverter=frozen(players.inverter),
        recognizer=frozen(players.recognizer),
        perceptual=frozen(players.perceptual),
        cameras=CameraSampler(source, protocol.yaw, protocol.pitch),
        streams=Streams((protocol.name, protocol.version, *people, seed)),
        device=bench.testbed.device,
        progress=progress,
    )


def evaluate(bench: Bench, protocol: Protocol, cast: Cast, unlearned: Unlearned) -> Stage:
    """Renders and judges everything that a generator shows after a request."""
    started = time.perf_counter()
    with blame_the_method("the returned generator cannot be evaluated"):
        renders = bench.renders(protocol, unlearned.generator, cast, "after")
        neighbours = bench.neighbours(protocol, unlearned.generator, cast)
        samples = bench.samples(protocol, unlearned.generator, "after")
    return Stage(unlearned, renders, neighbours, samples, time.perf_counter() - started)


def gather(bench: Bench, protocol: Protocol, scene: Scene, stages: Sequence[Stage]) -> Evidence:
    """Puts together what was seen before and after each request."""
    return Evidence(
        subjects=scene.cast.subjects,
        sights={judge: _sight(scene, stages, judge) for judge in scene.before.faces},
        frontal=next(iter(scene.before.faces.values())).found.shape[1] // 2,
        source=bench.source_samples(protocol),
        after=tuple(stage.samples for stage in stages),
        real=bench.judges.real,
    )


def _sight(scene: Scene, stages: Sequence[Stage], judge: str) -> Sight:
    around = [stage.neighbours[judge] for stage in stages if stage.neighbours is not None]
    return Sight(
        before=scene.before.faces[judge],
        after=Seen.stack([stage.renders.faces[judge] for stage in stages]),
        photo=scene.photos.get(judge),
        neighbours=Seen.stack(around) if around else None,
    )


def target_pictures(bench: Bench, protocol: Protocol, method: Unlearner, cast: Cast) -> dict[str, Tensor]:
    """By identity, the original generator's frontal render of the code that the method moves the person to, if any."""
    items = copied([item for request in cast.requests for item in request.forget])
    source = frozen(bench.players.generator)
    codes = {item.identity: method.target(item, source) for item in items}
    found = {identity: code for identity, code in codes.items() if code is not None}
    with torch.no_grad():
        return dict(zip(found, bench.frontal(protocol, list(found.values())), strict=True))
