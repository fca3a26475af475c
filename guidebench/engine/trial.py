"""One trial: invert, render before, unlearn, render after, judge. Everything else is bookkeeping around this file.

The same latent codes, cameras and random samples are rendered by the original and the unlearned generator; judges embed
both sets, the feature extractor featurises both sample sets, and those arrays are the evidence that metrics score.

A trial has one or more requests. Each is put to the method with the generator that the request before it left, and
everything is rendered and judged again after each. What was measured after a request is kept on disk until the trial is
recorded, see `guidebench.engine.unfinished`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from guidebench.engine.bench import Bench, Renders, Scene
from guidebench.engine.cast import Cast
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.unlearning import Here, Report, Rows, Runner, Unlearned
from guidebench.errors import MethodError
from guidebench.evidence import Evidence, Samples, Seen, SeenFaces, Sight
from guidebench.protocol import Protocol
from guidebench.testbed import Generator
from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Stage:
    """What was seen after one request."""

    unlearned: Unlearned
    renders: Renders
    neighbours: Mapping[str, SeenFaces] | None  # by judge, (F, k)
    samples: Samples
    public: Samples  # of codes that everybody may know
    seconds: float  # of rendering and judging


@dataclass(frozen=True)
class Trial:
    """Everything that a trial leaves behind, or the requests before the one at which it stopped."""

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
        """What the last request left."""
        generator = self.stages[-1].unlearned.generator
        assert generator is not None, "only those of earlier requests are let go"
        return generator


class Stopped(MethodError):
    """A method failed at a later request: what was measured after the earlier ones is in ``trial``."""

    def __init__(self, reason: str, trial: Trial) -> None:
        super().__init__(reason)
        self.trial = trial


class Keeper(ABC):
    """Keeps what was measured after each request, so that a trial that is interrupted goes on with the next one."""

    @abstractmethod
    def resume(self, runner: Runner, scene: Scene, bench: Bench) -> tuple[list[Stage], float]:
        """What was kept, and in how many seconds it was measured; the runner goes on with the generator of the last."""

    @abstractmethod
    def keep(self, stages: Sequence[Stage], runner: Runner, seconds: float) -> None:
        """Keeps the last of these stages. seconds: since the trial began, those before it was resumed included."""


def run_trial(
    bench: Bench,
    protocol: Protocol,
    method: Unlearner,
    index: int,
    seed: int,
    report: Report,
    progress: Rows | None = None,
) -> Trial:
    """Measures a method on the people of trial ``index``, in this process. See `measure`."""
    here = Here(method, bench.players, bench.testbed.device, protocol, seed, report, progress)
    return measure(bench, protocol, here, index)


def measure(bench: Bench, protocol: Protocol, runner: Runner, index: int, keeper: Keeper | None = None) -> Trial:
    """Measures a method on the people of trial ``index``.

    keeper: None: nothing is kept between requests. Raises MethodError if the method misbehaves; at a later request of
    several, `Stopped`.
    """
    started = time.perf_counter()
    bench.check_conventions(protocol)
    scene = bench.scene(protocol, index)
    bench.source_samples(protocol)  # before anybody else's code runs
    bench.public_source(protocol)
    stages, before = ([], 0.0) if keeper is None else keeper.resume(runner, scene, bench)
    what = ""
    try:
        for number, request in enumerate(scene.cast.requests, start=1):
            if number <= len(stages):
                continue
            what = f"request {number} of {protocol.requests}: "
            stages.append(evaluate(bench, protocol, scene.cast, runner.unlearn(request, number), number))
            if keeper is not None:
                keeper.keep(stages, runner, before + time.perf_counter() - started)
                stages[:-1] = map(without_generator, stages[:-1])
        what = ""
        targets = target_pictures(bench, protocol, runner, scene.cast)
    except MethodError as error:
        if protocol.requests == 1:
            raise
        if not stages:
            raise MethodError(f"{what}{error}") from error
        seconds = before + time.perf_counter() - started
        partial = Trial(gather(bench, protocol, scene, stages), scene, tuple(stages), {}, seconds)
        raise Stopped(f"{what}{error}", partial) from error
    evidence = gather(bench, protocol, scene, stages)
    return Trial(evidence, scene, tuple(stages), targets, before + time.perf_counter() - started)


def without_generator(stage: Stage) -> Stage:
    """A stage that keeps no generator in memory: there may be fifty of them."""
    return replace(stage, unlearned=replace(stage.unlearned, generator=None))


def evaluate(bench: Bench, protocol: Protocol, cast: Cast, unlearned: Unlearned, request: int) -> Stage:
    """Renders and judges everything that a generator shows after a request, of which this is the number, from 1."""
    started = time.perf_counter()
    generator = unlearned.generator
    assert generator is not None, "the answer that was just given"
    with blame_the_method("the returned generator cannot be evaluated"):
        renders = bench.renders(protocol, generator, cast, "after", request)
        neighbours = bench.neighbours(protocol, generator, cast, request)
        samples = bench.samples(protocol, generator, "after")
        public = bench.samples(protocol, generator, "after", public=True)
        bench.check_repeats(protocol, generator, cast, renders, request)
    return Stage(unlearned, renders, neighbours, samples, public, time.perf_counter() - started)


def gather(bench: Bench, protocol: Protocol, scene: Scene, stages: Sequence[Stage]) -> Evidence:
    """Puts together what was seen before and after each request.

    Embeddings of several requests are rounded to float16, a cosine to about 3e-5, so that fifty take little room.
    """
    several = protocol.requests > 1
    sights = {judge: _sight(scene, stages, judge) for judge in scene.before.faces}
    return Evidence(
        subjects=scene.cast.subjects,
        sights={judge: _rounded(sight) for judge, sight in sights.items()} if several else sights,
        frontal=next(iter(scene.before.faces.values())).found.shape[1] // 2,
        source=bench.source_samples(protocol),
        after=tuple(stage.samples for stage in stages),
        real=bench.judges.real,
        public=(bench.public_source(protocol), *(stage.public for stage in stages)),
        thresholds={judge: known.threshold for judge, known in bench.different_people(protocol).items()},
    )


def _sight(scene: Scene, stages: Sequence[Stage], judge: str) -> Sight:
    around = [stage.neighbours[judge] for stage in stages if stage.neighbours is not None]
    return Sight(
        before=scene.before.faces[judge],
        after=Seen.stack([stage.renders.faces[judge] for stage in stages]),
        photo=scene.photos.get(judge),
        neighbours=Seen.stack(around) if around else None,
    )


def _rounded(sight: Sight) -> Sight:
    def half(faces: SeenFaces | None) -> SeenFaces | None:
        return faces and Seen(faces.vectors.astype(np.float16).astype(np.float32), faces.found)

    before, after = half(sight.before), half(sight.after)
    assert before is not None and after is not None
    return Sight(before, after, half(sight.photo), half(sight.neighbours))


def target_pictures(bench: Bench, protocol: Protocol, runner: Runner, cast: Cast) -> dict[str, Tensor]:
    """By identity, the original generator's frontal render of the code that the method moves the person to, if any."""
    found = runner.targets([item for request in cast.requests for item in request.forget])
    with torch.no_grad(), blame_the_method("the method's target() gives no code"):
        return dict(zip(found, bench.frontal(protocol, list(found.values())), strict=True))
