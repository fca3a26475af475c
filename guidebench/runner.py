"""A run: resolve, plan, skip what is recorded, execute, and say what came of it."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from guidebench import protocol as protocols
from guidebench import registry
from guidebench.errors import BadInput, unknown_name
from guidebench.executors import Executor, Finished, Setup, resolve_device, start_executor
from guidebench.plan import Case, MethodChoice, cases
from guidebench.progress import Progress
from guidebench.protocol import Protocol
from guidebench.recording import is_measured
from guidebench.store import Store
from guidebench.testbeds.folder import SOURCE, list_people


@dataclass(frozen=True)
class Options:
    """What `guidebench run` was asked for."""

    protocol: str
    methods: tuple[str, ...]
    testbed: str = registry.DEFAULT_TESTBED
    out: Path = Path("runs")
    settings: tuple[str, ...] = ()  # FIELD=VALUE
    identities: int | None = None
    samples: int | None = None
    seeds: tuple[int, ...] | None = None
    conventions: str | None = None
    photos: Path | None = None
    floors: str = "few"  # few, all or none
    device: str = "auto"
    workers: int | None = None
    fresh: bool = False
    keep_generators: bool = False


@dataclass(frozen=True)
class Result:
    """What a run did."""

    protocol: Protocol
    keys: frozenset[str]  # of all trials that were asked for
    measured: int  # trials measured now
    skipped: int  # trials that were recorded already
    failed: list[Finished]
    seconds: float


def run(options: Options) -> Result:
    """Runs everything that is not recorded yet.

    Raises BadInput, MissingAsset or StorageError before or while running; trials that are measured stay recorded.
    """
    started = time.perf_counter()
    protocol = resolve_protocol(options)
    testbed = registry.testbed_class(options.testbed)
    choices = choose_methods(options)
    for choice in choices:
        choice.build(options.testbed)  # refuses bad settings before anything starts
    store = Store(options.out)
    store.clean()
    device = resolve_device(options.device)
    setup = Setup(options.testbed, device, options.out, (protocol,), options.photos, options.keep_generators)
    executor = start_executor(setup, workers=options.workers, instant=testbed.instant)
    try:
        description = executor.description()
        planned = cases(protocol, choices, description, testbed=options.testbed)
        todo = [case for case in planned if options.fresh or not is_measured(store, case)]
        sys.stderr.write(
            f"{protocol.name} on testbed {options.testbed}: {len(todo)} of {len(planned)} trials to run, "
            f"{min(executor.workers, max(1, len(todo)))} at a time on {device}\n"
        )
        finished = _execute(executor, todo)
    finally:
        executor.close()
    failed = [event for event in finished if event.reason is not None]
    return Result(
        protocol=protocol,
        keys=frozenset(case.key for case in planned),
        measured=len(finished) - len(failed),
        skipped=len(planned) - len(todo),
        failed=failed,
        seconds=time.perf_counter() - started,
    )


def _execute(executor: Executor, todo: Sequence[Case]) -> list[Finished]:
    progress = Progress(todo, workers=min(executor.workers, max(1, len(todo))))
    finished = []
    try:
        for event in executor.run(todo):
            progress.hear(event)
            if isinstance(event, Finished):
                finished.append(event)
    finally:
        progress.close()
    return finished


def resolve_protocol(options: Options) -> Protocol:
    """The protocol with the testbed's overlay and the command line's overrides; ``--photos`` sets its source."""
    file = protocols.load(options.protocol)
    overrides = {
        "identities": options.identities,
        "samples": options.samples,
        "seeds": options.seeds,
        "conventions": options.conventions,
    }
    resolved = file.resolve(options.testbed, **overrides)
    if options.photos is None:
        return resolved
    people = list_people(options.photos)
    if resolved.source == protocols.RANDOM:
        raise BadInput(f"--photos needs a protocol of photographs; {resolved.name} samples its identities")
    return dataclasses.replace(
        resolved,
        name=f"{resolved.name}-photos",
        title=f"{resolved.title}, own photographs",
        source=SOURCE,
        identities=options.identities or len(people),
        retain=min(resolved.retain, len(people) - 1),
        probe_photos=min(resolved.probe_photos, min(map(len, people.values())) - 1),
    )


def choose_methods(options: Options) -> list[MethodChoice]:
    """The methods with the settings that concern them, and the floors that every table needs.

    A setting applies to every method that has the field. Raises BadInput if none has it.
    """
    if not options.methods:
        raise BadInput("name at least one method: --method guide; `guidebench list methods` shows all")
    settings = parse_settings(options.settings)
    used: set[str] = set()
    choices = []
    for spec in dict.fromkeys(options.methods):
        fields = registry.field_names(registry.load_method(spec))
        own = {name: text for name, text in settings.items() if name in fields}
        used |= set(own)
        choices.append(MethodChoice(spec, own, floor=spec in registry.FLOORS))
    for name in settings:
        if name not in used:
            known = {field for spec in options.methods for field in registry.field_names(registry.load_method(spec))}
            raise unknown_name("field", name, known, command=f"guidebench show {options.methods[0]}")
    if options.floors == "none":
        return choices
    named = {choice.spec for choice in choices}
    few = options.floors == "few"
    added = [floor for floor in registry.FLOORS if floor not in named]
    return choices + [MethodChoice(floor, {}, floor=True, few=few) for floor in added]


def parse_settings(settings: Sequence[str]) -> Mapping[str, str]:
    """FIELD=VALUE texts as a mapping; raises BadInput on anything else."""
    parsed = {}
    for text in settings:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise BadInput(f"--set {text}: write FIELD=VALUE, such as --set alpha_max=20")
        parsed[name.strip()] = value.strip()
    return parsed


def say(result: Result, out: Path) -> None:
    """One line on stderr: what a run did and where it lies."""
    parts = [f"{result.measured} measured"]
    if result.skipped:
        parts.append(f"{result.skipped} already recorded")
    if result.failed:
        parts.append(f"{len(result.failed)} failed (the same command tries them again)")
    sys.stderr.write(f"{', '.join(parts)} in {result.seconds:.0f} s; records and pictures in {out}/records/\n")
