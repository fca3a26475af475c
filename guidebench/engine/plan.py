"""What a run has to do: one case a trial, with the key that tells whether it is done already."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guidebench import chosen, registry, sources
from guidebench.engine.trial import Bench, trial_key
from guidebench.errors import BadInput
from guidebench.protocol import RANDOM, Protocol
from guidebench.unlearner import Unlearner

FLOOR_IDENTITIES = 2  # how many identities the floors run on unless all are asked for


@dataclass(frozen=True)
class MethodChoice:
    """A method as chosen on the command line; plain data, so that it reaches worker processes."""

    spec: str  # registered name or path/to/file.py:Class
    settings: Mapping[str, str]  # fields to override, as text
    floor: bool = False
    few: bool = False  # only on the first FLOOR_IDENTITIES identities
    name: str | None = None  # what its row is called; None: after the method and the settings

    def build(self, testbed: str) -> tuple[Unlearner, bool]:
        """The method with its preset for the testbed and the overrides, and whether there is a preset."""
        method, preset = chosen.with_preset(registry.load_method(self.spec), testbed)
        return chosen.with_settings(method, self.settings), preset

    def label(self, testbed: str) -> str:
        """Its own name, or the method's with overridden fields: ``guide(alpha_max=20.0)``."""
        if self.name is not None:
            return self.name
        method, _ = self.build(testbed)
        changed = ",".join(f"{name}={getattr(method, name)}" for name in sorted(self.settings))
        return f"{method.name}({changed})" if changed else method.name

    def identities(self, protocol: Protocol) -> int:
        """How many of a protocol's identities it runs on."""
        return min(protocol.identities, FLOOR_IDENTITIES) if self.few else protocol.identities


@dataclass(frozen=True)
class Description:
    """What the parent must know of a loaded testbed to plan a run."""

    digests: Mapping[str, str]
    manifests: Mapping[str, str]  # protocol digest -> manifest
    identities: Mapping[str, Sequence[str]]  # protocol digest -> names in order


@dataclass(frozen=True)
class Case:
    """One trial to run."""

    key: str
    protocol: Protocol
    choice: MethodChoice
    label: str
    preset: bool
    source_digest: str
    fields: Mapping[str, Any]
    manifest: str
    index: int
    identity: str
    seed: int
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)  # `Unlearner.inputs` when it was planned
    training_seen: bool = True


def describe(bench: Bench, protocols: Sequence[Protocol]) -> Description:
    """Asks a loaded testbed about the identities of protocols; raises BadInput if it holds too few."""
    for protocol in protocols:
        bench.check_conventions(protocol)
        if protocol.source != RANDOM:
            _check_source(bench, protocol)
    return Description(
        digests=bench.digests,
        manifests={protocol.digest(): bench.manifest(protocol) for protocol in protocols},
        identities={
            protocol.digest(): [bench.identity(protocol, index) for index in range(protocol.identities)]
            for protocol in protocols
        },
    )


def _check_source(bench: Bench, protocol: Protocol) -> None:
    sources = bench.faces.sources()
    if protocol.source not in sources:
        raise BadInput(
            f"testbed {bench.testbed.name} has no faces '{protocol.source}' for protocol {protocol.name}; "
            f"it has: {', '.join(sorted(sources))}, random"
        )
    if sources[protocol.source] < protocol.identities:
        raise BadInput(
            f"protocol {protocol.name} asks for {protocol.identities} identities, but '{protocol.source}' holds "
            f"{sources[protocol.source]}; give --identities {sources[protocol.source]} or fewer"
        )


def cases(
    protocols: Sequence[Protocol],
    choices: Sequence[MethodChoice],
    description: Description,
    *,
    testbed: str,
) -> list[Case]:
    """All trials, protocol by protocol: methods by identity and seed, floors last.

    Raises BadInput if two methods would stand under one name.
    """
    check_labels(choices, testbed)
    return [case for protocol in protocols for case in _cases_of(protocol, choices, description, testbed)]


def check_labels(choices: Sequence[MethodChoice], testbed: str) -> None:
    """Raises BadInput if two methods would stand under one name."""
    labels = [choice.label(testbed) for choice in choices]
    for label in labels:
        if labels.count(label) > 1:
            raise BadInput(f"two of the chosen methods are called '{label}'; give one of them another name")


def _cases_of(
    protocol: Protocol, choices: Sequence[MethodChoice], description: Description, testbed: str
) -> list[Case]:
    found = []
    for choice in sorted(choices, key=lambda item: item.floor):
        method, preset = choice.build(testbed)
        fields = dataclasses.asdict(method)  # type: ignore[call-overload]
        source = sources.source_digest(method)
        for index in range(choice.identities(protocol)):
            identity = description.identities[protocol.digest()][index]
            manifest = description.manifests[protocol.digest()]
            for seed in protocol.seeds:
                inputs = method.for_trial(identity, seed).inputs()
                key = trial_key(
                    protocol,
                    method,
                    source_digest=source,
                    fields=fields,
                    testbed=testbed,
                    digests=description.digests,
                    manifest=manifest,
                    identity=identity,
                    seed=seed,
                    inputs=inputs,
                )
                found.append(
                    Case(
                        key=key,
                        protocol=protocol,
                        choice=choice,
                        label=choice.label(testbed),
                        preset=preset,
                        source_digest=source,
                        fields=fields,
                        manifest=manifest,
                        index=index,
                        identity=identity,
                        seed=seed,
                        inputs=inputs,
                        training_seen=method.training_seen,
                    )
                )
    methods, floors = [case for case in found if not case.choice.floor], [case for case in found if case.choice.floor]
    methods.sort(key=lambda case: (case.seed, case.index))  # stable: all methods of an identity beside each other
    return methods + floors
