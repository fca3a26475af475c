"""What was asked, resolved: arguments and options become a protocol, methods with their settings, and how to run."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import chosen, environment, registry
from guidebench import protocol as protocols
from guidebench.chosen import ChosenAttack, Entrant
from guidebench.errors import BadInput, unknown_name
from guidebench.executors import shards
from guidebench.executors.shards import Shard
from guidebench.metric import TrialMetric
from guidebench.photos.own import SOURCE, list_people
from guidebench.protocol import Protocol, ProtocolFile
from guidebench.settings import field_names
from guidebench.store import salts
from guidebench.store.salts import Asked
from guidebench.unlearner import Unlearner

if TYPE_CHECKING:
    from guidebench.precision import Precision
    from guidebench.suites import Suite
    from guidebench.testbed import Testbed

LOCAL = "local"
EXECUTORS = (LOCAL, "slurm", "ray")  # see `guidebench.executors`
MOST_WORKERS_A_CORE = 4  # beyond which more processes only take memory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """On what, where and how a run works."""

    testbed: str = registry.DEFAULT_TESTBED
    out: Path = Path("runs")
    device: str = "auto"
    precision: Precision = "strict"  # see `guidebench.precision`
    executor: str = LOCAL  # one of EXECUTORS
    workers: int | None = None  # processes or jobs at a time; 0: this process; None: see the executor
    shard: Shard | None = None  # the only part of the trials that is run
    slurm: tuple[tuple[str, str], ...] = ()  # what each job asks SLURM for, such as ("partition", "gpu")
    salt: Asked = None  # decides what methods must not know in advance, see `guidebench.store.salts`
    timeout: float | None = None  # seconds for each answer of a method; None: as long as it takes
    fresh: bool = False  # measure again what is recorded
    photos: Path | None = None  # the user's photographs: one sub-directory per person
    keep_generators: bool = False  # measure again what is recorded without
    every: int | None = None  # judge the generator every so many steps, too; see `guidebench.engine.forgetting`
    one_by_one: bool = False  # apply methods for one person once per person where a protocol asks for several
    metrics: tuple[str | TrialMetric, ...] = ()  # further ones: path/to/file.py:METRIC, or objects
    attacks: tuple[str, ...] = ()  # to make on every unlearned generator: names, path/to/file.py:Class
    log: tuple[str, ...] = ()  # where progress and results go, too: tensorboard[:DIR], wandb[:PROJECT]


Method = str | Unlearner | type[Unlearner]


def check_workers(workers: Any) -> None:
    """Raises BadInput unless it is None, or a number of processes that this machine can hold."""
    if workers is None:
        return
    if whole("workers", workers) < 0:
        raise BadInput(f"workers = {workers}: give 0 (this process) or more")
    cores = environment.cores()
    if workers > MOST_WORKERS_A_CORE * cores:
        raise BadInput(
            f"workers = {workers} would fill the memory of this machine, whose {cores} cores run {cores} of them at a "
            f"time; give at most {MOST_WORKERS_A_CORE * cores}"
        )


def check_executor(options: Options) -> None:
    """Raises BadInput unless the executor exists, and shard, workers and what SLURM is asked for fit it."""
    executor = options.executor
    if executor not in EXECUTORS:
        raise unknown_name("executor", executor, EXECUTORS, command=None)
    if options.slurm and executor != "slurm":
        raise BadInput(f"slurm = {dict(options.slurm)} is for executor slurm, and this one is {executor}; leave it out")
    if executor == LOCAL:
        check_workers(options.workers)
        return
    if options.shard is not None:
        raise BadInput(
            f"shard = {options.shard} splits a run by hand, and executor {executor} does so itself; leave one out"
        )
    if options.workers is not None and whole("workers", options.workers) < 1:
        raise BadInput(f"workers = {options.workers}: give executor {executor} 1 or more, which are jobs at a time")


def _pairs(given: Any) -> tuple[tuple[str, str], ...]:
    """What SLURM is asked for: a mapping, or texts such as "partition=gpu". A key that is repeated: lines."""
    if isinstance(given, Mapping):
        items = [
            (str(name), str(value).lower() if isinstance(value, bool) else str(value)) for name, value in given.items()
        ]
    else:
        items = [(name, value) for name, _, value in (str(text).partition("=") for text in _several(given, str))]
    found: dict[str, str] = {}
    for name, value in items:
        if not name or not value:
            raise BadInput(f"slurm {name}={value}: write KEY=VALUE, such as partition=gpu")
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return tuple(found.items())


def options_of(testbed: str | type[Testbed], given: Mapping[str, Any]) -> Options:
    """`Options` from keyword arguments; raises BadInput for one that does not exist or cannot be used."""
    names = [item.name for item in dataclasses.fields(Options)]
    for name in given:
        if name not in names:
            raise unknown_name("option", name, names, command="help(guidebench.run)")
    if not isinstance(testbed, str) and not inspect.isclass(testbed):
        raise BadInput(f"testbed = {testbed!r:.80} is neither a name nor a class; give one of these")
    photos, metrics = given.get("photos"), given.get("metrics", ())
    shard = given.get("shard")
    options = Options(
        **{
            **given,
            "out": _path("out", given.get("out", Options.out)),
            "photos": None if photos is None else _path("photos", photos),
            "device": str(given.get("device", Options.device)),  # a torch.device, too
            "shard": shard if shard is None or isinstance(shard, Shard) else shards.parse(shard),
            "slurm": _pairs(given.get("slurm", ())),
            "salt": salts.checked(given.get("salt")),
            "timeout": _seconds(given.get("timeout")),
            "every": _steps(given.get("every")),
            "metrics": tuple(_several(metrics, str | TrialMetric)),
            "attacks": _names("attacks", given.get("attacks", ()), "path/to/file.py:CLASS"),
            "log": _names("log", given.get("log", ()), "tensorboard:DIR"),
            "testbed": testbed if isinstance(testbed, str) else registry.spec_of(testbed),
        }
    )
    check_executor(options)
    return options


def _names(name: str, value: Any, example: str) -> tuple[str, ...]:
    """One name or several; raises BadInput otherwise."""
    found = _several(value, str)
    for one in found:
        if not isinstance(one, str):
            raise BadInput(f"{name} = {one!r:.80} is not a name; give names, or such as {example}")
    return tuple(found)


def _seconds(value: Any) -> float | None:
    """A time limit; raises BadInput unless it is a positive number or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise BadInput(f"timeout = {value!r:.80}: give seconds, more than 0")
    return float(value)


def _steps(value: Any) -> int | None:
    """A number of steps; raises BadInput unless it is 1 or more, or None."""
    if value is not None and whole("every", value) < 1:
        raise BadInput(f"every = {value}: give a number of steps, 1 or more")
    return None if value is None else whole("every", value)


def _path(name: str, value: Any) -> Path:
    """An argument as a path; raises BadInput otherwise."""
    if not isinstance(value, str | os.PathLike) or "\0" in os.fsdecode(value):
        raise BadInput(f"{name} = {value!r:.80} is not a path")
    return Path(os.fsdecode(value))


def _text(name: str, value: Any) -> str:
    """An argument as text, a path included; raises BadInput otherwise."""
    if not isinstance(value, str | os.PathLike):
        raise BadInput(f"{name} = {value!r:.80} is not text")
    return os.fsdecode(value)


def _several(given: Any, single: Any) -> list[Any]:
    """An argument that may be one thing or several, as a list. single: types of which an object is one thing."""
    return [given] if isinstance(given, single) or not isinstance(given, Iterable) else list(given)


def whole(name: str, value: Any) -> int:
    """An argument as an integer, numpy's included; raises BadInput otherwise."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise BadInput(f"{name} = {value!r:.80} is not an integer")


def sizes_of(
    identities: int | None,
    samples: int | None,
    seeds: int | Iterable[int] | None,
    conventions: str | None,
    *,
    forget: int | None = None,
    requests: int | None = None,
) -> dict[str, Any]:
    """What is asked for instead of a protocol's own sizes; None: not given."""
    return {
        "identities": None if identities is None else whole("identities", identities),
        "samples": None if samples is None else whole("samples", samples),
        "seeds": None if seeds is None else tuple(whole("seeds", seed) for seed in _several(seeds, str)),
        "conventions": conventions,
        "forget": None if forget is None else whole("forget", forget),
        "requests": None if requests is None else whole("requests", requests),
    }


def resolve_protocol(protocol: str | Path | Protocol | ProtocolFile, options: Options, **overrides: Any) -> Protocol:
    """The protocol with the testbed's overlay and overrides (None: not given); the user's photographs are its source.

    Raises BadInput naming what is wrong and what is allowed.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if isinstance(protocol, Protocol):
        resolved = dataclasses.replace(protocol, **protocols.resized(protocol.as_data(), given))
    else:
        file = protocol if isinstance(protocol, ProtocolFile) else protocols.load(str(protocol))
        testbed = registry.testbed_class(options.testbed).name
        resolved = file.resolve(testbed, **given)
    return resolved if options.photos is None else _of_photos(resolved, options.photos, given.get("identities"))


def _of_photos(resolved: Protocol, photos: Path, identities: int | None) -> Protocol:
    """The protocol on a directory of the user's photographs."""
    people = list_people(photos)
    if resolved.source == protocols.RANDOM:
        raise BadInput(f"own photos need a protocol of photographs; {resolved.name} samples its identities")
    if len(people) < resolved.people:
        raise BadInput(f"{photos} holds {len(people)} people; {resolved.name} forgets {resolved.people} per trial")
    fewest = min(people, key=lambda name: len(people[name]))
    probes = min(resolved.probe_photos, len(people[fewest]) - 1)
    if probes < resolved.probe_photos:
        _log.warning(
            "%s holds %d of the %d photographs that %s uses, so only %d probe photographs per person are used instead "
            "of %d; add some",
            *(photos / fewest, probes + 1, resolved.photos, resolved.name, probes, resolved.probe_photos),
        )
    whole = len(people) - len(people) % resolved.people
    others = len(people) - resolved.people
    retain = min(resolved.retain, others)
    named = max(0, min(resolved.retain_named, others - resolved.retain))
    return dataclasses.replace(
        resolved,
        name=f"{resolved.name}-photos",
        title=f"{resolved.title}, own photographs",
        source=SOURCE,
        identities=identities or whole,
        retain=retain,
        retain_named=named,
        lookalikes=min(resolved.lookalikes, (others - retain - named) // resolved.people),
        probe_photos=probes,
    )


def choose_methods(methods: Method | Iterable[Method], settings: Mapping[str, object], testbed: str) -> list[Entrant]:
    """The methods, resolved, with the settings that concern them: a setting applies to every one that has the field.

    Raises BadInput if no method has the field, or the value does not fit.
    """
    wanted = _several(methods, str | Unlearner | type)
    for method in wanted:
        if not isinstance(method, str | Unlearner | type):
            raise BadInput(f"{method!r:.80} is not a method; give names, path/to/file.py:CLASS, classes or objects")
    if not isinstance(settings, Mapping):
        raise BadInput(f"settings = {settings!r:.80} do not say which fields; give a dictionary such as {{'steps': 3}}")
    name = registry.testbed_class(testbed).name
    texts = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in settings.items()}
    known: dict[str, list[str]] = {}
    entrants = []
    for place, method in enumerate(wanted):
        if method in wanted[:place]:  # compared, because a method need not be hashable
            continue
        if not isinstance(method, str):
            entrants.append(chosen.choose_object(method, name))
            continue
        known[method] = field_names(registry.load_method(method))
        own = {key: text for key, text in texts.items() if key in known[method]}
        entrants.append(chosen.choose(method, name, own))
    fields = {key for names in known.values() for key in names}
    for key in texts:
        if key not in fields:
            raise unknown_name("field", key, fields, command=f"guidebench show {next(iter(known), 'METHOD')}")
    return entrants


def choose_attacks(asked: Sequence[Protocol], options: Options) -> dict[str, tuple[ChosenAttack, ...]]:
    """By protocol, the attacks that it asks for and those that the options do.

    Raises BadInput if there is no such attack, if two have one name, or if one needs what the protocol does not have.
    """
    found = {}
    for protocol in asked:
        attacks = different(chosen.choose_attack(spec) for spec in dict.fromkeys((*protocol.attacks, *options.attacks)))
        for attack in attacks:
            chosen.check_attack_fits(attack, protocol)
        found[protocol.name] = tuple(attacks)
    return found


def different(attacks: Iterable[ChosenAttack]) -> list[ChosenAttack]:
    """The attacks; raises BadInput if two have one name."""
    found = list(attacks)
    labels = [attack.label for attack in found]
    for label in labels:
        if labels.count(label) > 1:
            raise BadInput(f"two of the chosen attacks are called '{label}'; give one of them another name")
    return found


def choose_checkpoint(path: str | Path, loader: str, name: str | None, testbed: str) -> Entrant:
    """Generators that other code unlearned, as a method. name: of their row; None: after their files.

    Raises BadInput if the name cannot be used, or the file is too large to be read; `measure` looks at the rest.
    """
    path, loader = _text("checkpoint", path), _text("loader", loader)
    name = _name_of_files(path) if name is None else _text("name", name)
    if not re.fullmatch(registry.NAME, name):
        raise BadInput(f"name = {name!r}: use letters, digits, . _ + and -, starting with a letter or digit")
    if name in registry.methods():
        raise BadInput(f"the row would be called '{name}', as a method that is run here; give it another name")
    if not loader and Path(path).is_file():  # without placeholders; it will be hashed, however large it is
        from guidebench.networks import checkpoints

        checkpoints.check_size(path)
    settings = {"path": path, "loader": loader}
    return chosen.choose(registry.CHECKPOINT.name, registry.testbed_class(testbed).name, settings, name=name)


def _name_of_files(pattern: str) -> str:
    """The name of a pattern's file, or else of its folder, without placeholders and ending."""
    path = Path(pattern)
    for part in (path.stem, *(folder.name for folder in path.parents)):
        words = re.findall(r"[A-Za-z0-9][A-Za-z0-9._+]*", re.sub(r"\{[^{}]*\}", " ", part))
        if words:
            return "-".join(words)
    return registry.CHECKPOINT.name


def for_suite(suite: Suite, options: Options) -> Options:
    """Options with what a suite's figure needs besides scores; what is given goes before what the suite says."""
    return dataclasses.replace(
        options,
        keep_generators=options.keep_generators or suite.keep_generators,
        attacks=tuple(dict.fromkeys((*options.attacks, *suite.attacks))),
        every=options.every or suite.every,
    )


def suite_entrants(suite: Suite, methods: Method | Iterable[Method], floors: str, options: Options) -> list[Entrant]:
    """A suite's rows, methods beside them, and floors; a method that is a row of the suite is not repeated."""
    rows = list(suite.entrants)
    known = [entrant.chosen for entrant in rows]
    own = [entrant for entrant in choose_methods(methods, {}, options.testbed) if entrant.chosen not in known]
    return with_floors([*rows, *own], floors, options)


def with_floors(entrants: Sequence[Entrant], floors: str, options: Options) -> list[Entrant]:
    """The methods and the floors that are not among them: on few groups of people, on all, or none."""
    if floors not in ("few", "all", "none"):
        raise BadInput(f"floors = {floors!r} is not known; give few, all or none")
    if floors == "none" and not entrants:
        raise BadInput("there is nothing to run: no method is given, and floors = 'none'; give a method")
    if floors == "none":
        return list(entrants)
    named = {entrant.chosen.name for entrant in entrants}
    testbed = registry.testbed_class(options.testbed).name
    added = [floor for floor in registry.FLOORS if floor not in named]
    return [*entrants, *(chosen.choose(floor, testbed, few=floors == "few") for floor in added)]
