"""A run: resolve, plan, skip what is recorded, execute. The command line and `guidebench.run` both end up here."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import protocol as protocols
from guidebench import registry
from guidebench import suites as suites_
from guidebench.chosen import Entrant
from guidebench.engine.asked import (
    LOCAL,
    Method,
    Options,
    choose_attacks,
    choose_checkpoint,
    choose_methods,
    for_suite,
    options_of,
    resolve_protocol,
    sizes_of,
    suite_entrants,
    with_floors,
)
from guidebench.engine.events import Event, Finished
from guidebench.engine.plan import Case, Wanted, cases, check_entrants, check_every, to_run
from guidebench.engine.watching import Together, Watcher
from guidebench.engine.worker import Setup
from guidebench.engine.workers import Executor
from guidebench.errors import BadInput, GuidebenchError, MissingAsset, StorageError
from guidebench.executors import choose
from guidebench.protocol import Protocol, ProtocolFile
from guidebench.store import claims
from guidebench.store.folders import Store, storage_errors
from guidebench.store.salts import salt_for
from guidebench.suites import Suite
from guidebench.unlearner import ABSENT

if TYPE_CHECKING:
    import pandas

    from guidebench.testbed import Testbed

_log = logging.getLogger(__name__)
_MAIN = "__main__:"
_POLLED = 1.0  # seconds after which it is asked again whether another process has finished a trial


class _Log(Watcher):
    """One log line per finished trial."""

    def begin(self, todo: Sequence[Case], workers: int) -> None:
        self._total, self._done = len(todo), 0

    def hear(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._done += 1
            spec, outcome = event.case.spec, f"failed: {event.reason}" if event.reason else f"{event.seconds:.1f} s"
            outcome = "another process has it" if is_elsewhere(event) else outcome
            _log.info(
                "[%d/%d] %s on %s, seed %d: %s",
                *(self._done, self._total, spec.method.label, spec.group, spec.seed, outcome),
            )
            if event.warning:
                _log.warning("%s", event.warning)

    def close(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run did, and the way to its numbers."""

    out: Path
    testbed: str
    protocols: tuple[Protocol, ...]
    keys: frozenset[str] = field(repr=False)  # of all trials that were asked for
    measured: int  # trials measured now
    skipped: int  # trials that were recorded already
    failed: tuple[Finished, ...]  # trials that failed now; each says why
    seconds: float
    suite: Suite | None = field(default=None, repr=False)  # whose layout the table has

    @property
    def scores(self) -> pandas.DataFrame:
        """Every score of the trials that were asked for, one row per score; see `guidebench.records`."""
        from guidebench.reporting.scores import load

        found = load(self.out)
        return found[found["key"].isin(self.keys)].reset_index(drop=True)

    def table(self, format: str = "markdown", *, layout: str = "auto", **options: Any) -> str:
        """The trials that were asked for as a table; see `guidebench.reporting.report.report`.

        A suite's result has the suite's layout. options: such as ``against`` or ``width``.
        """
        from guidebench.reporting import report

        if self.suite and layout == "auto":
            options = {"table": self.suite.table, "against": self.suite.against_label, **options}
        return report.report(self.out, format, layout=layout, keys=self.keys, **options)

    def figure(self, name: str, path: str | Path, **options: Any) -> str:
        """Draws a figure of the trials that were asked for; see `guidebench.reporting.plots.draw.draw`.

        Returns what its caption must say.
        """
        from guidebench.reporting.plots.draw import draw

        with storage_errors(Path(path)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        return draw(name, self.out, path, keys=self.keys, trust_code=True, **options)  # the run has just run that code

    def brief(self, *, everything: bool = False) -> str:
        """One short table per protocol, at most 80 characters wide.

        everything: with all that ``out`` holds of the same protocol, not only what this run asked for.
        """
        from guidebench.reporting import report

        keys = None if everything else self.keys
        digests = [protocol.digest() for protocol in self.protocols]
        return report.brief(self.out, digests, testbed=self.testbed, keys=keys)

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return self.table()


def run(
    protocol: str | Path | Protocol | ProtocolFile,
    methods: Method | Iterable[Method],
    testbed: str | type[Testbed] = registry.DEFAULT_TESTBED,
    *,
    settings: Mapping[str, object] | None = None,
    floors: str = "few",
    identities: int | None = None,
    samples: int | None = None,
    seeds: int | Sequence[int] | None = None,
    conventions: str | None = None,
    forget: int | None = None,
    requests: int | None = None,
    watch: Watcher | None = None,
    **options: Any,
) -> Result:
    """Measures methods under a protocol; what is recorded below ``out`` is skipped.

    protocol: a name, a TOML file or an object. methods: names, ``path/to/file.py:Class``, classes (which take their
    preset for the testbed) or objects (which run as they stand). testbed: a name, ``path/to/file.py:Class`` or a class.
    settings: fields to override in methods that are given by name and have them. floors: add floor and ceiling rows on
    "few" groups of people, on "all", or "none". identities, samples, seeds, conventions: instead of the protocol's.
    forget, requests: groups of another size, see `guidebench.protocol.resized`.
    watch: follows the run; by default it logs to ``logging.getLogger("guidebench")``. options: fields of `Options`.

    Raises BadInput, MissingAsset or StorageError before or while running; trials that are measured stay recorded. A
    method that misbehaves fails its own trials only: see ``Result.failed``.
    """
    chosen_options = options_of(testbed, options)
    sizes = sizes_of(identities, samples, seeds, conventions, forget=forget, requests=requests)
    resolved = resolve_protocol(protocol, chosen_options, **sizes)
    entrants = with_floors(choose_methods(methods, settings or {}, chosen_options.testbed), floors, chosen_options)
    return measure((resolved,), entrants, chosen_options, watch)


def evaluate(
    checkpoint: str | Path,
    protocol: str | Path | Protocol | ProtocolFile,
    testbed: str | type[Testbed] = registry.DEFAULT_TESTBED,
    *,
    loader: str = "",
    name: str | None = None,
    floors: str = "few",
    watch: Watcher | None = None,
    identities: int | None = None,
    samples: int | None = None,
    seeds: int | Sequence[int] | None = None,
    conventions: str | None = None,
    **options: Any,
) -> Result:
    """Scores generators that other code unlearned, as a row that is marked "training not seen".

    checkpoint: files, such as ``ckpt/{identity}.pkl``. loader: ``path/to/file.py:function``, called with the path and
    the original generator; "": guidebench's own. name: of the row; None: after the files. Others as in `run`.
    """
    chosen_options = options_of(testbed, options)
    resolved = resolve_protocol(protocol, chosen_options, **sizes_of(identities, samples, seeds, conventions))
    entrant = choose_checkpoint(checkpoint, loader, name, chosen_options.testbed)
    return measure((resolved,), with_floors([entrant], floors, chosen_options), chosen_options, watch)


def reproduce(
    suite: str | Path,
    methods: Method | Iterable[Method] = (),
    testbed: str | type[Testbed] = registry.DEFAULT_TESTBED,
    *,
    floors: str = "few",
    watch: Watcher | None = None,
    identities: int | None = None,
    samples: int | None = None,
    seeds: int | Sequence[int] | None = None,
    conventions: str | None = None,
    **options: Any,
) -> Result:
    """Measures what is missing of a suite, such as "table-2"; the result's table has the suite's layout.

    What its figure needs is measured, too: ``result.figure(result.suite.figure, "figure.pdf")`` draws it.

    methods: rows beside the suite's. Others as in `run`.
    """
    chosen_options = options_of(testbed, options)
    if chosen_options.photos is not None:
        raise BadInput("a suite runs on the photo sets of the testbed; give photos to run() instead")
    sizes = sizes_of(identities, samples, seeds, conventions)
    resolved = suites_.load(str(suite)).resolve(chosen_options.testbed, **sizes)
    chosen_options = for_suite(resolved, chosen_options)
    entrants = suite_entrants(resolved, methods, floors, chosen_options)
    return dataclasses.replace(measure(resolved.protocols, entrants, chosen_options, watch), suite=resolved)


def measure(
    asked: tuple[Protocol, ...], entrants: Sequence[Entrant], options: Options, watch: Watcher | None = None
) -> Result:
    """Runs every trial of all protocols that is not recorded yet, on one set of workers. See `run`."""
    from guidebench import precision

    started = time.perf_counter()
    if not isinstance(watch, Watcher | None):
        raise BadInput(f"watch = {watch!r:.80} is not a guidebench.engine.watching.Watcher; derive from it")
    testbed = registry.testbed_class(options.testbed)
    check_entrants(asked, entrants, one_by_one=options.one_by_one)
    check_every(options.every, asked, one_by_one=options.one_by_one)
    registry.trial_metrics(options.metrics)  # refuses a wrong one before anything starts
    device = choose.device(options)
    precision.check(options.precision, device)
    conventions = protocols.common_conventions(asked)
    sources = {protocol.source for protocol in asked}
    here = testbed(device=choose.device_here(options), conventions=conventions)
    refuse_missing(testbed.name, here.missing(sources))
    store = Store(options.out)
    store.clean()
    claims.clean(store)
    attacks = choose_attacks(asked, options)
    loggers = _loggers(options)
    wanted = Wanted(attacks, options.every, options.keep_generators, options.fresh)
    setup = Setup(
        testbed=options.testbed,
        device=device,
        out=options.out,
        protocols=asked,
        photos=options.photos,
        precision=options.precision,
        metrics=options.metrics,
        salt=salt_for(options.out, options.salt),
        timeout=options.timeout,
        attacks=any(attacks.values()) or (wanted.more and store.holds_attacks()),
    )
    workers = _workers(options, entrants)
    executor = choose.start(setup, options, testbed, workers=workers)
    try:
        planned = cases(asked, entrants, executor.description(), one_by_one=options.one_by_one)
        refuse_absent(planned)
        planned = options.shard.take(planned) if options.shard else planned
        store.check_places(case.spec for case in planned)
        todo = to_run(store, planned, wanted)
        busy = min(executor.workers, max(1, len(todo)))
        names = ", ".join(protocol.name for protocol in asked)
        _log.info(
            "%s on testbed %s: %d of %d trials to run, %d at a time on %s",
            *(names, testbed.name, len(todo), len(planned), busy, device),
        )
        finished = execute(executor, store, todo, Together(watch or _Log(), *loggers))
    finally:
        executor.close()
    _refuse_lost(store, finished)
    failed = tuple(event for event in finished if event.reason is not None)
    return Result(
        out=options.out,
        testbed=testbed.name,
        protocols=asked,
        keys=frozenset(case.key for case in planned),
        measured=len(finished) - len(failed),
        skipped=len(planned) - len(finished),
        failed=failed,
        seconds=time.perf_counter() - started,
    )


def _loggers(options: Options) -> list[Watcher]:
    if not options.log:
        return []
    from guidebench.engine.loggers import logger_of

    return [logger_of(spec, options.out) for spec in dict.fromkeys(options.log)]


def _workers(options: Options, entrants: Sequence[Entrant]) -> int | None:
    """In this process if something is defined where no other process can import it: in a notebook or a script."""
    specs = [*(entrant.chosen.spec for entrant in entrants), options.testbed]
    here = [spec.removeprefix(_MAIN) for spec in specs if spec.startswith(_MAIN)]
    here += [metric.name for metric in options.metrics if not isinstance(metric, str)]
    if not here:
        return options.workers
    if options.workers or options.executor != LOCAL:
        raise BadInput(
            f"{here[0]} is defined in a notebook or script, where other processes cannot find it; put it in a file "
            "and name it as path/to/file.py:NAME, or give workers=0"
        )
    return 0


def refuse_missing(testbed: str, missing: Sequence[str]) -> None:
    """Raises MissingAsset if a testbed lacks something."""
    if missing:
        raise MissingAsset(f"testbed {testbed} lacks {len(missing)} of its files: {'; '.join(missing)}")


def refuse_absent(planned: Sequence[Case]) -> None:
    """Raises MissingAsset if no trial finds the files that it is to read; some absent ones fail their own trials."""
    reading = [case.spec for case in planned if case.spec.inputs]
    if reading and all(ABSENT in spec.inputs.values() for spec in reading):
        first = reading[0]
        raise MissingAsset(
            f"none of the {len(reading)} checkpoints of {first.method.label} exists; correct the path "
            f"({{identity}} becomes {first.group} and so on, {{seed}} becomes {first.seed} and so on)"
        )


def execute(executor: Executor, store: Store, todo: Sequence[Case], watch: Watcher) -> list[Finished]:
    """Runs cases and waits for those that other processes have in flight; what these do not record is run here."""
    finished: list[Finished] = []
    busy = min(executor.workers, max(1, len(todo)))
    while True:
        events = _execute(executor, todo, busy, watch)
        if len(events) < len(todo):
            raise GuidebenchError(
                f"{len(todo) - len(events)} of {len(todo)} trials did not run; give the same command again to resume"
            )
        finished += [event for event in events if not is_elsewhere(event)]
        todo = _left_by_others(store, [event.case for event in events if is_elsewhere(event)])
        if not todo:
            return finished


def is_elsewhere(event: Finished) -> bool:
    """Whether a case was not run because another process runs it, or has recorded it; see `guidebench.store.claims`."""
    return event.folder is None and event.reason is None


def _left_by_others(store: Store, cases: Sequence[Case]) -> list[Case]:
    """Waits until no other process runs any of the cases; returns those that are not recorded then."""
    told = False
    while any(claims.in_flight(store, case.spec) for case in cases):
        if not told:
            _log.info("waiting for trials that another process runs in %s", store.root)
        told = True
        time.sleep(_POLLED)
    records = [(case, store.measured(store.path(case.spec))) for case in cases]
    return [case for case, record in records if record is None or record.digest == case.replaces]


def _refuse_lost(store: Store, finished: Sequence[Finished]) -> None:
    """Raises StorageError if records that were written are not there any more."""
    store.refuse_absent()
    written = [event.folder for event in finished if event.folder is not None]
    lost = [folder for folder in written if not (folder / "record.json").exists()]
    if lost:
        raise StorageError(
            f"{len(lost)} of the {len(written)} records that this run wrote are gone, such as {lost[0]}: they were "
            "deleted or moved while it went on; give the same command again"
        )


def _execute(executor: Executor, todo: Sequence[Case], busy: int, watch: Watcher) -> list[Finished]:
    finished = []
    try:
        with contextlib.suppress(BrokenPipeError):  # nobody reads what a watcher writes any more: measuring goes on
            watch.begin(todo, busy)
        for event in executor.run(todo):
            with contextlib.suppress(BrokenPipeError):
                watch.hear(event)
            if isinstance(event, Finished):
                finished.append(event)
    finally:
        with contextlib.suppress(BrokenPipeError):
            watch.close()
    return finished
