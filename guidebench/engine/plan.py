"""What a run has to do: one case per trial, with the key that shows whether it is done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from guidebench import sources
from guidebench.chosen import ChosenAttack, Entrant, check_fits, is_one_by_one
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput, in_one_line
from guidebench.protocol import RANDOM, Protocol
from guidebench.store.contents import NO_GENERATOR
from guidebench.store.curve_files import Curve, load_curve
from guidebench.store.folders import Store
from guidebench.store.record import Record, TrialSpec

FLOOR_TRIALS = 2  # how many groups of people the floors run on unless all are asked for


@dataclass(frozen=True)
class Description:
    """What the parent must know of a loaded testbed to plan a run."""

    testbed: str  # its name
    testbed_code: str  # see `TrialSpec.testbed_code`
    weights: Mapping[str, str]  # SHA-256 of every network, by name
    manifests: Mapping[str, str]  # protocol digest -> manifest
    groups: Mapping[str, Sequence[tuple[tuple[str, ...], ...]]]  # protocol digest -> who is forgotten, by request
    batch: int  # see `guidebench.testbed.Testbed.batch`
    precision: str  # see `guidebench.precision`
    salt: int  # see `guidebench.store.record.TrialSpec`


@dataclass(frozen=True)
class Case:
    """One trial to run: plain data, which reaches worker processes and comes back equal."""

    spec: TrialSpec
    index: int  # place of its people in the protocol's order
    replaces: str = ""  # digest of the record that it is to replace; "": there is none, see `guidebench.store.claims`
    attacks: tuple[ChosenAttack, ...] = ()  # to make on what it leaves
    only_attacks: bool = False  # whether it is recorded, with its generator, and nothing but attacks is left to do
    fresh: bool = False  # whether it starts over, whatever an earlier run left of it
    every: int | None = None  # after how many steps of unlearning each to judge the generator; None: only at the end
    keep_generator: bool = False  # whether the unlearned generator is kept

    @property
    def key(self) -> str:
        """See `TrialSpec.key`."""
        return self.spec.key

    def __hash__(self) -> int:
        """Of the key and the row's label: two rows may be one trial."""
        return hash((self.spec.key, self.spec.method.label))


def describe(bench: Bench, protocols: Sequence[Protocol], precision: str = "strict") -> Description:
    """Asks a loaded testbed about the people of protocols; raises BadInput if it holds too few."""
    for protocol in protocols:
        bench.check_conventions(protocol)
        if protocol.source != RANDOM:
            _check_source(bench, protocol)
    return Description(
        testbed=bench.testbed.name,
        testbed_code=sources.testbed_digest(type(bench.testbed)),
        weights=bench.digests,
        manifests={protocol.digest(): bench.manifest(protocol) for protocol in protocols},
        groups={
            protocol.digest(): [bench.group(protocol, index) for index in range(protocol.trials)]
            for protocol in protocols
        },
        batch=bench.testbed.batch,
        precision=precision,
        salt=bench.salt,
    )


def _check_source(bench: Bench, protocol: Protocol) -> None:
    sources = bench.faces.sources()
    if protocol.source not in sources:
        raise BadInput(
            f"testbed {bench.testbed.name} has no photo set '{protocol.source}' for protocol {protocol.name}; "
            f"it has: {', '.join(sorted(sources))}, random"
        )
    most = sources[protocol.source]
    fitting = most - most % protocol.people
    if not fitting:
        raise BadInput(
            f"protocol {protocol.name} forgets {protocol.people} people in one trial, but '{protocol.source}' holds "
            f"{most}; ask for smaller groups with --forget or --requests"
        )
    if most < protocol.identities:
        raise BadInput(
            f"protocol {protocol.name} asks for {protocol.identities} identities, but '{protocol.source}' holds "
            f"{most}; ask for {fitting} or fewer with --identities"
        )
    kept = protocol.retain + protocol.retain_named + protocol.people * protocol.lookalikes
    if most < protocol.people + kept:
        raise BadInput(
            f"protocol {protocol.name} forgets {protocol.people} and keeps {kept} people per trial, but "
            f"'{protocol.source}' holds {most}; lower retain, retain_named or lookalikes in the protocol file"
        )


def cases(
    protocols: Sequence[Protocol],
    entrants: Sequence[Entrant],
    description: Description,
    *,
    one_by_one: bool = False,
) -> list[Case]:
    """All trials, protocol by protocol: methods by people and seed, floors last.

    one_by_one: a method is applied once per person where it does not support what a protocol asks. Raises BadInput if
    two methods would have one name, or a method does not support what a protocol asks.
    """
    check_entrants(protocols, entrants, one_by_one=one_by_one)
    return [case for protocol in protocols for case in _cases_of(protocol, entrants, description)]


def check_entrants(protocols: Sequence[Protocol], entrants: Sequence[Entrant], *, one_by_one: bool = False) -> None:
    """Raises BadInput if two methods would have one name, or a method does not support what a protocol asks.

    one_by_one: see `cases`.
    """
    labels = [entrant.chosen.label for entrant in entrants]
    for label in labels:
        if labels.count(label) > 1:
            raise BadInput(f"two of the chosen methods are called '{label}'; give one of them another name")
    for protocol in protocols:
        for entrant in entrants:
            check_fits(entrant.method, protocol, one_by_one=one_by_one)


def check_every(every: int | None, protocols: Sequence[Protocol], *, one_by_one: bool) -> None:
    """Raises BadInput if generators are to be judged every so many steps where that means nothing."""
    if every is None:
        return
    if one_by_one:
        raise BadInput(f"every = {every} follows one training, and one-by-one makes several in a trial; leave one out")
    for protocol in protocols:
        if protocol.requests > 1:
            raise BadInput(
                f"every = {every} follows the steps of one request, and {protocol.name} makes {protocol.requests}, "
                "after each of which there are scores; leave it out"
            )


def trials_of(entrant: Entrant, protocol: Protocol) -> int:
    """On how many of a protocol's groups of people a method runs."""
    return min(protocol.trials, FLOOR_TRIALS) if entrant.few else protocol.trials


def _cases_of(protocol: Protocol, entrants: Sequence[Entrant], description: Description) -> list[Case]:
    groups = description.groups[protocol.digest()]
    found = [
        Case(_spec(protocol, entrant, description, groups[index], seed), index)
        for entrant in entrants
        for index in range(trials_of(entrant, protocol))
        for seed in protocol.seeds
    ]
    methods = [case for case in found if not case.spec.method.floor]
    methods.sort(key=lambda case: (case.spec.seed, case.index))  # stable: all methods of a group beside each other
    return methods + [case for case in found if case.spec.method.floor]


def _spec(
    protocol: Protocol,
    entrant: Entrant,
    description: Description,
    requests: tuple[tuple[str, ...], ...],
    seed: int,
) -> TrialSpec:
    spec = TrialSpec(
        protocol=protocol,
        method=entrant.chosen,
        testbed=description.testbed,
        testbed_code=description.testbed_code,
        weights=description.weights,
        manifest=description.manifests[protocol.digest()],
        requests=requests,
        seed=seed,
        precision=description.precision,
        salt=description.salt,
        one_by_one=is_one_by_one(entrant.method, protocol),  # `check_entrants` has seen whether it may be
    )
    try:
        inputs = entrant.method.for_trial(spec.group, seed).inputs()
    except (Exception, SystemExit) as error:  # a method may hold any code
        label = entrant.chosen.label
        raise BadInput(f"for_trial() or inputs() of method {label} fails: {in_one_line(error)}") from error
    return replace(spec, inputs=inputs) if inputs else spec


@dataclass(frozen=True)
class Wanted:
    """What a run is to leave of its trials besides their scores."""

    attacks: Mapping[str, tuple[ChosenAttack, ...]]  # by protocol
    every: int | None = None  # see `Case`
    keep_generators: bool = False
    fresh: bool = False  # everything is measured, in place of the records that are there

    @property
    def more(self) -> bool:
        """Whether what is recorded may be measured again, which repeats the attacks that were made on it."""
        return self.keep_generators or self.every is not None


def to_run(store: Store, planned: Sequence[Case], wanted: Wanted) -> list[Case]:
    """What is not recorded yet, or not with everything that is wanted.

    What is recorded without an attack is attacked if it kept its generator. Else, and without a curve or a generator
    that is wanted, it is measured again, and has all that its record had. An attack that failed is tried again on a
    kept generator only.
    """
    todo = []
    for case in planned:
        folder, attacks = store.path(case.spec), wanted.attacks[case.spec.protocol.name]
        record = store.measured(folder)
        case = replace(case, every=wanted.every, keep_generator=wanted.keep_generators, fresh=wanted.fresh)
        if record is None or wanted.fresh:
            todo.append(replace(case, replaces=record.digest if record else "", attacks=attacks))
            continue
        kept = keeps_generator(folder)
        lacking = record.lacks(attacks, tried=not kept)
        if is_incomplete(record, folder, wanted.every, wanted.keep_generators) or (lacking and not kept):
            labels = {attack.label for attack in attacks}
            others = (run.attack for run in record.attacks if run.attack.label not in labels)
            curve = _curve_of(folder)
            todo.append(
                replace(
                    case,
                    replaces=record.digest,
                    attacks=(*attacks, *others),
                    every=wanted.every or (curve.every if curve else None),
                    keep_generator=wanted.keep_generators or kept,
                )
            )
        elif lacking:
            todo.append(replace(case, replaces=record.digest, attacks=lacking, only_attacks=True))
    return todo


def is_incomplete(record: Record, folder: Path, every: int | None, keep_generator: bool) -> bool:
    """Whether a measured trial has to be measured again, because it lacks its generator or a curve that is wanted.

    A method that reports no steps has no curve to lack, and a generator that could not be saved is not tried again.
    """
    if keep_generator and not (keeps_generator(folder) or (folder / NO_GENERATOR).is_file()):
        return True
    if every is None or not (record.cost and record.cost.steps):
        return False
    curve = _curve_of(folder)
    return curve is None or curve.every != every


def _curve_of(folder: Path) -> Curve | None:
    """A trial's curve; None also for one that cannot be read, which is as good as none."""
    try:
        return load_curve(folder)
    except ValueError:
        return None


def keeps_generator(folder: Path) -> bool:
    """Whether the trial in a folder kept its generator."""
    return (folder / "generator").is_dir()
