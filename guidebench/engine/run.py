"""A run: resolve, plan, skip what is recorded, execute, and say what came of it."""

from __future__ import annotations

import dataclasses
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guidebench import chosen, registry
from guidebench import protocol as protocols
from guidebench.engine.plan import Case, MethodChoice, cases
from guidebench.engine.progress import Progress
from guidebench.engine.recording import is_measured
from guidebench.engine.workers import Executor, Finished, Setup, resolve_device, start_executor
from guidebench.errors import BadInput, MissingAsset, unknown_name
from guidebench.photos.own import SOURCE, list_people
from guidebench.protocol import Protocol
from guidebench.store.folders import Store
from guidebench.unlearner import ABSENT


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command that measures is asked for."""

    methods: tuple[str, ...] = ()  # registered names or path/to/file.py:Class
    testbed: str = registry.DEFAULT_TESTBED
    out: Path = Path("runs")
    identities: int | None = None
    samples: int | None = None
    seeds: tuple[int, ...] | None = None
    conventions: str | None = None
    floors: str = "few"  # few, all or none
    device: str = "auto"
    workers: int | None = None
    fresh: bool = False
    photos: Path | None = None
    keep_generators: bool = False

    @property
    def overrides(self) -> dict[str, Any]:
        """What was given of a protocol's fields; None: not given."""
        return {name: getattr(self, name) for name in ("identities", "samples", "seeds", "conventions")}


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """What `guidebench run` was asked for."""

    protocol: str
    settings: tuple[str, ...] = ()  # FIELD=VALUE


@dataclass(frozen=True)
class Result:
    """What a run did."""

    protocols: tuple[Protocol, ...]
    keys: frozenset[str]  # of all trials that were asked for
    measured: int  # trials measured now
    skipped: int  # trials that were recorded already
    failed: list[Finished]
    seconds: float


def run(options: Options) -> Result:
    """Runs everything of one protocol that is not recorded yet; see `measure`."""
    return measure((resolve_protocol(options),), choose_methods(options), options)


def measure(asked: tuple[Protocol, ...], choices: Sequence[MethodChoice], options: Common) -> Result:
    """Runs every trial of all protocols that is not recorded yet, on one set of workers.

    Raises BadInput, MissingAsset or StorageError before or while running; trials that are measured stay recorded.
    """
    started = time.perf_counter()
    testbed = registry.testbed_class(options.testbed)
    for choice in choices:
        choice.build(options.testbed)  # refuses bad settings before anything starts
    device = resolve_device(options.device)
    conventions = protocols.common_conventions(asked)
    sources = {protocol.source for protocol in asked}
    refuse_missing(options.testbed, testbed(device=device, conventions=conventions).missing(sources))
    store = Store(options.out)
    store.clean()
    setup = Setup(options.testbed, device, options.out, asked, options.photos, options.keep_generators)
    executor = start_executor(setup, workers=options.workers, instant=testbed.instant, heavy=testbed.heavy)
    try:
        planned = cases(asked, choices, executor.description(), testbed=options.testbed)
        refuse_absent(planned)
        todo = [case for case in planned if options.fresh or not is_measured(store, case)]
        names = ", ".join(protocol.name for protocol in asked)
        sys.stderr.write(
            f"{names} on testbed {options.testbed}: {len(todo)} of {len(planned)} trials to run, "
            f"{min(executor.workers, max(1, len(todo)))} at a time on {device}\n"
        )
        finished = _execute(executor, todo)
    finally:
        executor.close()
    failed = [event for event in finished if event.reason is not None]
    return Result(
        protocols=asked,
        keys=frozenset(case.key for case in planned),
        measured=len(finished) - len(failed),
        skipped=len(planned) - len(todo),
        failed=failed,
        seconds=time.perf_counter() - started,
    )


def refuse_missing(testbed: str, missing: Sequence[str]) -> None:
    """Raises MissingAsset if a testbed lacks something."""
    if missing:
        raise MissingAsset(f"testbed {testbed} lacks {len(missing)} of its files: {'; '.join(missing)}")


def refuse_absent(planned: Sequence[Case]) -> None:
    """Raises MissingAsset if no trial finds the files that it is to read; some absent ones fail their own trials."""
    reading = [case for case in planned if case.inputs]
    if reading and all(ABSENT in case.inputs.values() for case in reading):
        first = reading[0]
        raise MissingAsset(
            f"none of the {len(reading)} checkpoints of {first.label} is there; correct --checkpoint "
            f"({{identity}} is {first.identity} and so on, {{seed}} is {first.seed} and so on)"
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
    resolved = protocols.load(options.protocol).resolve(options.testbed, **options.overrides)
    if options.photos is None:
        return resolved
    people = list_people(options.photos)
    if resolved.source == protocols.RANDOM:
        raise BadInput(f"--photos needs a protocol of photographs; {resolved.name} samples its identities")
    fewest = min(people, key=lambda name: len(people[name]))
    probes = min(resolved.probe_photos, len(people[fewest]) - 1)
    if probes < resolved.probe_photos:
        sys.stderr.write(
            f"guidebench: {options.photos / fewest} holds {probes + 1} of the {resolved.photos} photographs that "
            f"{resolved.name} takes, so all are probed with {probes} instead of {resolved.probe_photos}; add some\n"
        )
    return dataclasses.replace(
        resolved,
        name=f"{resolved.name}-photos",
        title=f"{resolved.title}, own photographs",
        source=SOURCE,
        identities=options.identities or len(people),
        retain=min(resolved.retain, len(people) - 1),
        probe_photos=probes,
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
        fields = chosen.field_names(registry.load_method(spec))
        own = {name: text for name, text in settings.items() if name in fields}
        used |= set(own)
        choices.append(MethodChoice(spec, own, floor=spec in registry.FLOORS))
    for name in settings:
        if name not in used:
            known = {field for spec in options.methods for field in chosen.field_names(registry.load_method(spec))}
            raise unknown_name("field", name, known, command=f"guidebench show {options.methods[0]}")
    return with_floors(choices, options.floors)


def choose_checkpoint(path: str, loader: str, name: str | None) -> MethodChoice:
    """Generators that other code unlearned, as a method. name: of their row; None: after their files.

    Raises BadInput if the name cannot be used; `measure` looks at the rest.
    """
    name = _name_of_files(path) if name is None else name
    if not re.fullmatch(registry.NAME, name):
        raise BadInput(f"--name {name}: use letters, digits, . _ + and -, starting with a letter or digit")
    if name in registry.methods():
        raise BadInput(f"the row would be called '{name}', as a method that is run here; give another --name")
    return MethodChoice(registry.CHECKPOINT.name, {"path": path, "loader": loader}, name=name)


def _name_of_files(pattern: str) -> str:
    """The name of a pattern's file, or else of its folder, without placeholders and ending."""
    path = Path(pattern)
    for part in (path.stem, *(folder.name for folder in path.parents)):
        words = re.findall(r"[A-Za-z0-9][A-Za-z0-9._+]*", re.sub(r"\{[^{}]*\}", " ", part))
        if words:
            return "-".join(words)
    return registry.CHECKPOINT.name


def with_floors(choices: Sequence[MethodChoice], floors: str) -> list[MethodChoice]:
    """The methods and the floors that are not among them: on few identities, on all, or none."""
    if floors == "none":
        return list(choices)
    named = {choice.spec for choice in choices}
    few = floors == "few"
    added = [floor for floor in registry.FLOORS if floor not in named]
    return [*choices, *(MethodChoice(floor, {}, floor=True, few=few) for floor in added)]


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
