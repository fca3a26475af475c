"""A loaded testbed that runs trials one after another, judges them and writes their records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import environment, sources
from guidebench.engine.events import Finished
from guidebench.engine.plan import Case, Description, describe
from guidebench.engine.work import Block
from guidebench.errors import BadInput, MethodError
from guidebench.protocol import Protocol, common_conventions
from guidebench.store.arrays import UnreadableEvidence
from guidebench.store.record import TrialSpec

if TYPE_CHECKING:
    import numpy as np

    from guidebench.engine.attacking import Outcome
    from guidebench.engine.bench import Scene
    from guidebench.engine.nurseries import Nurseries
    from guidebench.engine.snapshots import Kept
    from guidebench.engine.unfinished import Unfinished
    from guidebench.engine.unlearning import Report, Rows, Runner
    from guidebench.metric import TrialMetric
    from guidebench.precision import Precision
    from guidebench.store.originals import Originals
    from guidebench.testbed import Generator, Players, Testbed


@dataclass(frozen=True)
class Setup:
    """What a worker needs to start: plain data."""

    testbed: str
    device: str
    out: Path
    protocols: tuple[Protocol, ...]
    photos: Path | None = None  # folder of photographs that replaces the testbed's faces
    precision: Precision = "strict"
    metrics: tuple[str | TrialMetric, ...] = ()  # further ones, see `guidebench.registry.trial_metrics`
    salt: int = 0  # see `guidebench.store.record.TrialSpec`
    timeout: float | None = None  # seconds for each answer of a method; None: as long as it takes
    in_process: bool = False  # whether trials are judged in the process that asked for them
    attacks: bool = False  # whether there will be attacks


class Worker:
    """A loaded testbed that runs cases and records them."""

    def __init__(self, setup: Setup) -> None:
        import torch

        from guidebench import precision
        from guidebench.engine import nursery
        from guidebench.engine.bench import Bench
        from guidebench.photos.own import FolderFaces
        from guidebench.registry import testbed_class, trial_metrics
        from guidebench.store.folders import Store
        from guidebench.watched import Watch

        torch.set_num_threads(1)
        precision.use(setup.precision)
        self.setup = setup
        self.store = Store(setup.out)
        conventions = common_conventions(setup.protocols)
        testbed = testbed_class(setup.testbed)(device=setup.device, conventions=conventions)
        players = None
        self._nurseries: Nurseries | None = None
        if nursery.available() and not (setup.in_process and testbed.device.type != "cpu"):
            players = self._open_nurseries(testbed)
        try:
            self.bench = Bench(testbed, players, salt=setup.salt)
            self.bench.originals = self._originals(testbed)
            self.metrics = trial_metrics(setup.metrics)
            if setup.photos is not None:
                self.bench.faces = FolderFaces(setup.photos, self.bench.players.generator.resolution)
        except BaseException:
            self.close()
            raise
        self._watch = Watch()

    def _originals(self, testbed: Testbed) -> Originals:
        """The samples of the original generator in the directory of results."""
        import torch

        from guidebench.store.originals import Originals

        facts = {
            "testbed": testbed.name,
            "testbed_code": sources.testbed_digest(type(testbed)),
            "conventions": testbed.conventions,
            "weights": dict(self.bench.digests),
            "salt": self.setup.salt,
            "precision": self.setup.precision,
            "device": environment.device_in_words(str(testbed.device)),
            "torch": str(torch.__version__),
        }
        return Originals(self.store.shared, facts)

    def _open_nurseries(self, testbed: Testbed) -> Players | None:
        """Before any judge is loaded, and before a GPU is used, which no child could then use; the players so far."""
        from guidebench.engine.nurseries import Nurseries

        players = testbed.players() if testbed.device.type == "cpu" else None
        self._nurseries = Nurseries(
            (lambda: players) if players else testbed.players,
            testbed.device,
            prepared=self.setup.in_process,
            attacks=self.setup.attacks,
        )
        return players

    def description(self) -> Description:
        """See `guidebench.engine.plan.describe`."""
        return describe(self.bench, self.setup.protocols, self.setup.precision)

    def sample(self, block: Block) -> np.ndarray:
        """A block of the original generator's samples: features (stop - start, d)."""
        return self.bench.source_features(block.protocol, range(block.start, block.stop))

    def run(self, case: Case, step: Any) -> Finished:
        """Runs and records one case, unless another process has it; a method that misbehaves gives a failed record."""
        from guidebench.store import claims

        started = time.perf_counter()
        with claims.claimed(self.store, case.spec, replaces=case.replaces) as ours:
            if not ours:
                return Finished(case, None, time.perf_counter() - started)
            if case.only_attacks:
                return self._attack(case, started)
            return self._run(case, step, started)

    def _run(self, case: Case, step: Any, started: float) -> Finished:
        from guidebench.engine import forgetting, recording
        from guidebench.engine.trial import measure
        from guidebench.engine.unfinished import Unfinished

        progress: list[dict[str, float]] = []
        spec = case.spec
        unfinished = Unfinished(self.store, spec, progress) if spec.protocol.requests > 1 else None
        if unfinished is not None and case.fresh:
            unfinished.remove()
        with contextlib.ExitStack() as ending:
            try:
                snapshots = ending.enter_context(self._kept(case))
                runner = ending.enter_context(
                    self.runner(spec, lambda number, scalars: step(number, dict(scalars)), progress, snapshots)
                )
                trial = measure(self.bench, spec.protocol, runner, case.index, unfinished)
                self._watch.check()
            except MethodError as error:
                folder = self._fail(spec, error, progress, unfinished)
                return Finished(case, folder, time.perf_counter() - started, str(error))
            attacks = self._attacks(case, trial.scene, trial.generator)
            curve = None if snapshots is None else forgetting.judge(self.bench, spec.protocol, trial, snapshots)
            folder, warning = recording.write_measured(
                self.store,
                self.bench,
                spec,
                runner,
                trial,
                metrics=self.metrics,
                attacks=attacks,
                curve=curve,
                keep_generator=case.keep_generator,
            )
        if unfinished is not None:
            unfinished.remove()
        kept = f"generator not kept: {warning}" if warning else None
        warnings = [text for text in (kept, _failed(attacks)) if text]
        return Finished(case, folder, time.perf_counter() - started, warning="; ".join(warnings) or None)

    def _fail(self, spec: TrialSpec, error: MethodError, progress: Rows, unfinished: Unfinished | None) -> Path:
        """Records a failure with what was measured before it, unless this process is not what it was."""
        from guidebench.engine import recording
        from guidebench.engine.trial import Stopped

        changed = self._watch.changed()
        self._watch.restore()
        if changed and unfinished is not None:
            unfinished.remove()
        before = error.trial if isinstance(error, Stopped) and not changed else None
        return recording.write_failure(
            self.store, self.bench, spec, str(error), progress, before=before, metrics=self.metrics
        )

    def _attack(self, case: Case, started: float) -> Finished:
        """Attacks the generator that a recorded trial kept; what is recorded stays if that cannot be loaded."""
        from guidebench.engine import recording
        from guidebench.engine.kept_generators import check_generator

        spec, folder = case.spec, self.store.path(case.spec)
        record = self.store.measured(folder)
        try:
            if record is None:
                raise MethodError("its record was changed while attacks were planned; run the command again")
            check_generator(record, folder)
            scene = self.bench.scene(spec.protocol, case.index)
            with self.runner(spec, lambda number, scalars: None, []) as runner:
                outcomes = self._attacks(case, scene, runner.load(folder / "generator"))
            self._watch.check()
            recording.add_attacks(record, folder, outcomes, self.metrics)
        except (MethodError, BadInput, UnreadableEvidence) as error:  # BadInput: see `check_generator`
            self._watch.restore()
            return Finished(case, folder, time.perf_counter() - started, f"no attack could be made: {error}")
        return Finished(case, folder, time.perf_counter() - started, warning=_failed(outcomes))

    def _attacks(self, case: Case, scene: Scene, generator: Generator) -> list[Outcome]:
        from guidebench.engine.attacking import Attacker

        attacker = Attacker(self.bench, self._nurseries, self.setup.timeout)
        method, seed = case.spec.method, case.spec.seed
        return [attacker.attack(chosen, case.spec.protocol, scene, generator, method, seed) for chosen in case.attacks]

    @contextlib.contextmanager
    def _kept(self, case: Case) -> Iterator[Kept | None]:
        """Room for snapshots of a trial's training, if they are asked for."""
        from guidebench.engine.snapshots import Kept

        if case.every is None:
            yield None
            return
        with self.store.scratch(self.store.path(case.spec)) as folder:
            yield Kept(folder, case.every)

    @contextlib.contextmanager
    def runner(self, spec: TrialSpec, report: Report, rows: Rows, kept: Kept | None = None) -> Iterator[Runner]:
        """The method of a trial, in a process of its own where there can be one."""
        from guidebench.engine.apart import Apart, as_planned
        from guidebench.engine.one_by_one import OneByOne
        from guidebench.engine.snapshots import Snapshots
        from guidebench.engine.unlearning import Here

        players, device = self.bench.players, self.bench.testbed.device
        if self._nurseries is None:
            snapshots = None if kept is None else Snapshots(kept.every, kept.take)
            here = Here(as_planned(spec), players, device, spec.protocol, spec.seed, report, rows, snapshots)
            yield OneByOne(here) if spec.one_by_one else here
            return
        runner = Apart(self._nurseries, spec, players.generator, device, report, rows, self.setup.timeout, kept)
        try:
            yield OneByOne(runner) if spec.one_by_one else runner
        finally:
            runner.close()

    def close(self) -> None:
        """Ends the processes that methods run in."""
        if self._nurseries is not None:
            self._nurseries.close()


def _failed(outcomes: Sequence[Outcome]) -> str | None:
    """What is said of attacks that failed; None: none did."""
    failed = [one for one in outcomes if one.found is None and one.applies]
    return "; ".join(f"attack {one.attack.label} failed: {one.reason}" for one in failed) or None
