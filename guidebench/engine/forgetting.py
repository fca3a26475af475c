"""Judges snapshots of a generator's training, once the trial is over: ID and FID_pre over the steps of unlearning.

The same codes, cameras and judges as in the trial, and the same metrics: a curve ends at the trial's own scores. Only
the samples are fewer where a protocol has many, since each point needs as many again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from guidebench.engine.apart import with_weights
from guidebench.engine.bench import Bench, Renders, Scene
from guidebench.engine.isolation import blame_the_method, where
from guidebench.engine.snapshots import Kept
from guidebench.engine.trial import Trial
from guidebench.errors import MethodError
from guidebench.evidence import Evidence, Samples, Seen, Sight
from guidebench.metric import Score
from guidebench.metrics import TRIAL_METRICS
from guidebench.protocol import Protocol
from guidebench.store.curve_files import Curve, Point

SAMPLES = 1000  # at most, of FID_pre at a point
METRICS = ("id", "id_others", "id_retain", "fid_pre")
NO_STEPS = "it reports no steps (context.progress)"
NOT_IN_PLACE = "what it returns is not the generator that it was given with other weights, so its training is not seen"


def judge(bench: Bench, protocol: Protocol, trial: Trial, kept: Kept) -> Curve:
    """The curve of a trial of one request, whose last point is the generator that came back.

    A snapshot that cannot be judged is a point without scores. Whatever else goes wrong is the reason why there is no
    curve, since the trial is measured already.
    """
    started = time.perf_counter()
    answer, count = trial.stages[-1].unlearned, min(SAMPLES, protocol.samples)
    points: tuple[Point, ...] = ()
    reason = None if answer.progress and answer.in_place else NOT_IN_PLACE if answer.progress else NO_STEPS
    if reason is None:
        try:
            points = _points(bench, protocol, trial, kept, count)
        except Exception as error:
            reason = f"it cannot be judged: {where(error)}"
    seconds = round(time.perf_counter() - started, 3)
    return Curve(every=kept.every, seconds=seconds, samples=count, points=points, reason=reason)


def _points(bench: Bench, protocol: Protocol, trial: Trial, kept: Kept, count: int) -> tuple[Point, ...]:
    stage, scene = trial.stages[-1], trial.scene
    last = int(stage.unlearned.progress[-1]["step"])
    points = [_point(bench, protocol, scene, kept, step, count) for step in kept.steps if step < last]
    end = _scores(bench, protocol, scene, stage.renders, stage.samples, count)
    return (*points, Point(step=last, scores=tuple(end)))


def _point(bench: Bench, protocol: Protocol, scene: Scene, kept: Kept, step: int, count: int) -> Point:
    try:
        generator = with_weights(bench.players.generator, kept.weights(step))
        with blame_the_method("it cannot be judged"):
            renders = bench.renders(protocol, generator, scene.cast, "after", 1)
            samples = bench.samples(protocol, generator, "after", count=count)
    except MethodError as error:
        return Point(step=step, scores=(), reason=str(error))
    return Point(step=step, scores=tuple(_scores(bench, protocol, scene, renders, samples, count)))


def _scores(
    bench: Bench, protocol: Protocol, scene: Scene, renders: Renders, samples: Samples, count: int
) -> Sequence[Score]:
    sights = {
        judge: Sight(before, after=Seen.stack([renders.faces[judge]])) for judge, before in scene.before.faces.items()
    }
    evidence = Evidence(
        subjects=scene.cast.subjects,
        sights=sights,
        frontal=next(iter(scene.before.faces.values())).found.shape[1] // 2,
        source=Samples(bench.source_samples(protocol).features[:count]),
        after=(Samples(samples.features[:count]),),
        real=None,
    )
    return [score for name in METRICS for score in TRIAL_METRICS[name].compute(evidence)]
