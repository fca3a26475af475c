"""One trial: invert, render before, unlearn, render after, judge. Everything else is bookkeeping around this file.

The same latent codes, cameras and random samples are rendered by the original and the unlearned generator; judges embed
both sets, the feature extractor featurises both sample sets, and those arrays are the evidence that metrics score.

A trial has one or more requests. Each is put to the method with the generator that the request before it left, and
everything is rendered and judged again after each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.engine.bench import Bench, Renders, Scene
from guidebench.engine.cast import Cast
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.unlearning import Here, Report, Rows, Runner, Unlearned
from guidebench.evidence import Evidence, Samples, Seen, SeenFaces, Sight
from guidebench.protocol import Protocol
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


def measure(bench: Bench, protocol: Protocol, runner: Runner, index: int) -> Trial:
    """Measures a method on the people of trial ``index``. Raises MethodError if the method misbehaves."""
    started = time.perf_counter()
    bench.check_conventions(protocol)
    scene = bench.scene(protocol, index)
    bench.source_samples(protocol)  # before anybody else's code runs
    bench.public_source(protocol)
    stages = []
    for number, request in enumerate(scene.cast.requests, start=1):
        stages.append(evaluate(bench, protocol, scene.cast, runner.unlearn(request, number)))
    targets = target_pictures(bench, protocol, runner, scene.cast)
    evidence = gather(bench, protocol, scene, stages)
    return Trial(evidence, scene, tuple(stages), targets, time.perf_counter() - started)


def evaluate(bench: Bench, protocol: Protocol, cast: Cast, unlearned: Unlearned) -> Stage:
    """Renders and judges everything that a generator shows after a request."""
    started = time.perf_counter()
    with blame_the_method("the returned generator cannot be evaluated"):
        renders = bench.renders(protocol, unlearned.generator, cast, "after")
        neighbours = bench.neighbours(protocol, unlearned.generator, cast)
        samples = bench.samples(protocol, unlearned.generator, "after")
        public = bench.samples(protocol, unlearned.generator, "after", public=True)
        bench.check_repeats(protocol, unlearned.generator, cast, renders)
    return Stage(unlearned, renders, neighbours, samples, public, time.perf_counter() - started)


def gather(bench: Bench, protocol: Protocol, scene: Scene, stages: Sequence[Stage]) -> Evidence:
    """Puts together what was seen before and after each request."""
    return Evidence(
        subjects=scene.cast.subjects,
        sights={judge: _sight(scene, stages, judge) for judge in scene.before.faces},
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


def target_pictures(bench: Bench, protocol: Protocol, runner: Runner, cast: Cast) -> dict[str, Tensor]:
    """By identity, the original generator's frontal render of the code that the method moves the person to, if any."""
    found = runner.targets([item for request in cast.requests for item in request.forget])
    with torch.no_grad(), blame_the_method("the method's target() gives no code"):
        return dict(zip(found, bench.frontal(protocol, list(found.values())), strict=True))
