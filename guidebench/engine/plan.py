"""What a run has to do: one case per trial, with the key that shows whether it is done already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from guidebench import sources
from guidebench.chosen import ChosenAttack, Entrant, check_fits, is_one_by_one
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput, in_one_line
from guidebench.protocol import RANDOM, Protocol
from guidebench.store.record import TrialSpec

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
