"""Judges recorded trials once more: what the original generator shows, and what a kept generator shows.

Everything that is rendered or looked at comes from the testbed that is installed here; of the record only that is
believed which cannot be seen again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidebench import precision, registry
from guidebench.engine.hosted import Hosted
from guidebench.engine.isolation import Change, is_wrapper
from guidebench.engine.kept_generators import check_generator
from guidebench.engine.peak_memory import Peak
from guidebench.engine.plan import Description
from guidebench.engine.recording import instrument_of
from guidebench.engine.run import refuse_missing
from guidebench.engine.trial import Stage, evaluate
from guidebench.engine.unlearning import Unlearned
from guidebench.engine.worker import Setup, Worker
from guidebench.engine.workers import InProcess
from guidebench.environment import resolve_device
from guidebench.errors import BadInput
from guidebench.evidence import Evidence, Seen, SeenFaces, Sight
from guidebench.protocol import Protocol
from guidebench.store.folders import StoredRecord
from guidebench.store.record import Instrument, TrialSpec
from guidebench.testbed import Generator


@dataclass(frozen=True)
class Judged:
    """What is seen of a trial now."""

    evidence: Evidence  # as recorded where it cannot be seen again
    wrapper: bool | None  # whether the kept generator is more than weights; None: it was not looked at


class Judge:
    """A testbed that judges trials again which agree in testbed, conventions, precision and salt."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.description: Description = worker.description()  # what the testbed is now, and who is forgotten

    def instrument(self, spec: TrialSpec) -> Instrument:
        """What the testbed says of itself now to the readers of a trial's record."""
        return instrument_of(self._worker.bench, spec)

    def judge(self, item: StoredRecord, recorded: Evidence) -> Judged:
        """Renders and judges a trial: the original generator, and the one that the trial kept, if it did.

        After earlier requests of several nothing can be rendered any more: that is taken as recorded. Raises BadInput
        if the trial is not of these people, MethodError if the generator cannot be loaded or misbehaves.
        """
        spec = item.record.spec
        bench, protocol = self._worker.bench, spec.protocol
        groups = list(self.description.groups[protocol.digest()])
        if spec.requests not in groups:
            raise BadInput(f"protocol {protocol.name} forgets nobody called {spec.group}")
        scene = bench.scene(protocol, groups.index(spec.requests))
        if scene.cast.subjects != recorded.subjects:
            raise BadInput(f"the evidence of {spec.group} is not of the people whom the protocol and the salt ask for")
        stage, wrapper = None, None
        if (item.path / "generator").is_dir():
            check_generator(item.record, item.path)
            with self._worker.runner(spec, lambda number, scalars: None, []) as runner:
                generator = runner.load(item.path / "generator")
                wrapper = isinstance(generator, Hosted) or is_wrapper(generator, bench.players.generator)
                stage = evaluate(bench, protocol, scene.cast, _answer(generator, wrapper), protocol.requests)
        sights = {
            judge: _sight(recorded.sights[judge], scene.before.faces[judge], scene.photos.get(judge), stage, judge)
            for judge in scene.before.faces
            if judge in recorded.sights
        }
        fresh = dataclasses.replace(
            recorded,
            sights=sights,
            source=bench.source_samples(protocol),
            real=bench.judges.real,
            public=(bench.public_source(protocol), *recorded.public[1:]),
            thresholds={judge: known.threshold for judge, known in bench.different_people(protocol).items()},
        )
        if stage is not None:
            after, public = (*recorded.after[:-1], stage.samples), (*fresh.public[:-1], stage.public)
            fresh = dataclasses.replace(fresh, after=after, public=public)
        return Judged(fresh, wrapper)


def _answer(generator: Generator, wrapper: bool) -> Unlearned:
    return Unlearned(generator, [], 0.0, Change(0, 0, 0.0), Peak(None, ""), wrapper=wrapper)


def _sight(recorded: Sight, before: SeenFaces, photo: SeenFaces | None, stage: Stage | None, judge: str) -> Sight:
    """What a judge sees now, and as recorded after earlier requests."""
    after, neighbours = recorded.after, recorded.neighbours
    if stage is not None:
        after = _with_last(after, stage.renders.faces[judge])
        if neighbours is not None and stage.neighbours is not None:
            neighbours = _with_last(neighbours, stage.neighbours[judge])
    return Sight(before, after, photo, neighbours)


def _with_last(requests: SeenFaces, last: SeenFaces) -> SeenFaces:
    return Seen.stack([*(requests[place] for place in range(len(requests.found) - 1)), last])


@contextlib.contextmanager
def judging(trial: StoredRecord, protocols: Sequence[Protocol], *, device: str, photos: Path | None) -> Iterator[Judge]:
    """Loads what judges trials that agree with this one in testbed, conventions, precision and salt.

    protocols: theirs. photos: the folder of photographs, if they were the user's. Raises BadInput or MissingAsset if
    that is not here.
    """
    instrument, spec = trial.record.instrument, trial.record.spec
    where = resolve_device(device)
    precision.check(spec.precision, where)
    kind = registry.testbed_class(instrument.testbed)
    testbed = kind(device=where, conventions=spec.protocol.conventions)
    refuse_missing(kind.name, testbed.missing({protocol.source for protocol in protocols}))
    with tempfile.TemporaryDirectory(prefix="guidebench-judging-") as out:
        setup = Setup(
            testbed=instrument.testbed,
            device=where,
            out=Path(out),
            protocols=tuple(protocols),
            photos=photos,
            precision=spec.precision,  # type: ignore[arg-type]  # checked above
            salt=spec.salt,
        )
        executor = InProcess(setup)
        try:
            yield Judge(executor.worker)
        finally:
            executor.close()
