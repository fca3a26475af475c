"""The record of one trial as data: what defined it, with what it was measured, where, at which cost, and what came out.

One noun per fact: everything that defines a trial is a field of its `TrialSpec`, whose digest is the trial's key. To
record one more fact, add a field to the part that it belongs to and fill it in `guidebench.engine.recording`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

import msgspec

from guidebench import digest
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.errors import GuidebenchError
from guidebench.evidence import DifferentPeople, group_name
from guidebench.metric import Score
from guidebench.protocol import Protocol
from guidebench.store import lazy

SCHEMA = 4  # raised when record.json changes in a way that readers must know
NUMERICS_VERSION = 3  # raised when any number of a trial changes for the same inputs


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """Everything that defines a trial, and nothing else: equal specs give equal numbers."""

    protocol: Protocol
    method: ChosenMethod
    testbed: str
    weights: Mapping[str, str]  # SHA-256 of every network, by name
    manifest: str  # digest of the photo set
    requests: tuple[tuple[str, ...], ...]  # the identities that are forgotten, request by request
    seed: int
    testbed_code: str = ""  # SHA-256 of the files of a testbed that somebody brought; "" for those that ship
    inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of files that the method reads, by name
    precision: str = "strict"  # of products of float32, see `guidebench.precision`
    salt: int = 0  # decides what a method must not know in advance: codes, people to keep, order; see docs/records.md
    one_by_one: bool = False  # whether a method for one person was applied once per person
    numerics: int = NUMERICS_VERSION

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the trial's numbers: all fields without prose and sizes of the run."""
        return digest.of_data(
            {
                "protocol": self.protocol.measurement(),
                "method": self.method.definition(),
                "testbed": self.testbed,
                "weights": dict(self.weights),
                "manifest": self.manifest,
                "requests": [list(people) for people in self.requests],
                "seed": self.seed,
                "precision": self.precision,
                "salt": self.salt,
                "numerics": self.numerics,
                **({"inputs": dict(self.inputs)} if self.inputs else {}),
                **({"testbed_code": self.testbed_code} if self.testbed_code else {}),
                **({"one_by_one": True} if self.one_by_one else {}),
                **({"embeddings": "float16"} if len(self.requests) > 1 else {}),  # rounded, see `engine.trial.gather`
            }
        )

    @cached_property
    def people(self) -> tuple[str, ...]:
        """Everybody who is forgotten, in the order of requests."""
        return tuple(identity for people in self.requests for identity in people)

    @cached_property
    def group(self) -> str:
        """Everybody who is forgotten, as one name: the unit over which tables average."""
        return group_name(self.people)

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the digests of all networks: equal only where every network is."""
        return _digest_of_weights(tuple(self.weights.items()))


@lru_cache
def _digest_of_weights(weights: tuple[tuple[str, str], ...]) -> str:
    return digest.of_data(dict(weights))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A recogniser that judged the trial."""

    name: str
    description: str = ""  # what it consists of, where there is something to say
    different_people: DifferentPeople | None = None  # None: not known for these faces


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """What the testbed says of itself, for captions and footnotes."""

    testbed: str  # where it comes from: registered name, path/to/file.py:Class or module:Class
    caption: str  # what every table made on this testbed must say
    conventions: str  # what the protocol's conventions come to on this testbed, in words
    features: str  # of FID: implementation, resize and layer
    real: str  # which real images; "": none
    judges: tuple[Judge, ...]  # the first leads
    weights_version: str | None = None  # of networks that come with the testbed; None: they have no version


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what the trial ran."""

    device: str  # in words
    versions: Mapping[str, str]  # guidebench, python, torch, …
    commit: str | None  # of the guidebench checkout, "+dirty" if changed; None outside a checkout
    created: str  # UTC, ISO 8601


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the trial cost."""

    seconds_unlearn: float  # in the method
    seconds_evaluate: float  # of rendering and judging
    seconds_total: float
    steps: int  # step number of the method's last report, summed over requests
    trainable: int  # parameters that the method left changed
    peak_memory_bytes: int | None  # most memory during unlearning; None: not known
    memory: str  # what that number is, or why there is none
    shipped_bytes: int | None = None  # of the tensors that the method left changed or added; None: not recorded then
    relative_change: float | None = None  # how far parameters moved, as a share of their length; None: likewise


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An earlier attempt that failed."""

    created: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came out."""

    status: Literal["measured", "failed"]
    scores: tuple[Score, ...] = ()
    reason: str | None = None  # why it failed
    attempts: tuple[Attempt, ...] = ()  # earlier ones, oldest first
    marks: tuple[str, ...] = ()  # what a reader of its row must know, see docs/records.md


@dataclass(frozen=True, kw_only=True)
class AttackRun:
    """An attack on what a trial left."""

    attack: ChosenAttack
    seconds: float  # of the attack, its controls and judging
    file: str = ""  # its evidence, below the record's folder; "": there is none
    reason: str | None = None  # why
    applies: bool = True  # False: there is nothing to try on generators of this kind, which is no failure

    @property
    def failed(self) -> bool:
        """Whether it could not be carried out on this generator."""
        return self.applies and not self.file


@dataclass(frozen=True, kw_only=True)
class Record:
    """The content of record.json."""

    spec: TrialSpec
    instrument: Instrument
    environment: Environment
    outcome: Outcome
    cost: Cost | None = None  # None: the trial failed
    files: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of the files beside record.json, by their paths
    attacks: tuple[AttackRun, ...] = ()  # in the order in which they were first made

    @property
    def key(self) -> str:
        """See `TrialSpec.key`."""
        return self.spec.key

    @property
    def is_measured(self) -> bool:
        """Whether the trial came to an end."""
        return self.outcome.status == "measured"

    @property
    def attack_files(self) -> tuple[str, ...]:
        """The evidence of attacks, below the record's folder."""
        return tuple(run.file for run in self.attacks if run.file)

    @property
    def failed_attacks(self) -> dict[str, str]:
        """Why attacks failed that enter the worst case, by label."""
        return {
            run.attack.label: run.reason or "" for run in self.attacks if run.failed and not run.attack.shows_anybody
        }

    def lacks(self, attacks: Sequence[ChosenAttack], *, tried: bool = False) -> tuple[ChosenAttack, ...]:
        """Those attacks that were not made as they would be now. tried: nor failed when they were made like that."""
        made = {digest.of_data(run.attack.definition()) for run in self.attacks if run.file or tried or not run.applies}
        return tuple(attack for attack in attacks if digest.of_data(attack.definition()) not in made)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that record.json holds besides: it shows that nothing was changed since it was written."""
        return _digest_of(msgspec.json.decode(msgspec.json.encode(self._content())))

    def _content(self) -> dict[str, Any]:
        content = {"schema": SCHEMA, "key": self.key, **msgspec.to_builtins(self, enc_hook=lazy.plain)}
        if not self.spec.one_by_one:
            content["spec"].pop("one_by_one", None)
        return content if self.attacks else {name: part for name, part in content.items() if name != "attacks"}

    def to_json(self) -> str:
        """The text of record.json: the fields, the schema, the key and the digest."""
        data = {**self._content(), "digest": self.digest}
        return msgspec.json.format(msgspec.json.encode(data, order="sorted"), indent=1).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Record:
        """The record that `to_json` wrote.

        Raises ValueError, in one line, if the text is not a record of this schema, or its key is not that of its spec,
        or its digest not that of its contents.
        """
        try:
            head = msgspec.json.decode(text, type=_Head)
            if head.schema != SCHEMA:
                raise ValueError(f"record schema {head.schema} is not read by this version, which reads {SCHEMA}")
            record = msgspec.json.decode(text, type=cls)
            found = _digest_of(msgspec.json.decode(text))
        except (msgspec.MsgspecError, GuidebenchError, UnicodeDecodeError, RecursionError) as error:
            words = " ".join(str(error).split()) or "nested too deeply"
            cut = words == "Input data was truncated"
            raise ValueError("record.json is empty or cut off" if cut else words) from None
        if record.key != head.key:
            raise ValueError(
                f"its key {head.key[:12]} does not match its spec ({record.key[:12]}), as if the file had been edited"
            )
        if found != head.digest:
            raise ValueError(
                f"record.json does not match its own digest {head.digest[:12]}, as if the file had been edited"
            )
        return record


def _digest_of(content: Mapping[str, Any]) -> str:
    return digest.of_data({name: value for name, value in content.items() if name != "digest"})


class _Head(msgspec.Struct):
    schema: Any
    key: str = ""
    digest: str = ""
