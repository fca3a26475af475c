"""Which records share a table, and as which rows: chosen by filters, refused where rows would not be comparable."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guidebench.errors import BadInput
from guidebench.protocol import Protocol
from guidebench.reporting.model import Group

if TYPE_CHECKING:
    from guidebench.store.folders import StoredRecord
    from guidebench.store.record import Record

_SHORT = 12  # characters of a digest in messages
MULTI_IMAGE = "celebahq-multi"  # the protocol of the paper's Table 2
PROTOCOL_ORDER = ("random", "ffhq", "celebahq", MULTI_IMAGE)
ENDS = ("nothing", "scramble")  # the floor and the ceiling of every score
LADDER = ("mean-latent", "extrapolated", "extrapolated-adj", "guide")  # the rows of GUIDE's ablation
SUCCESSORS = ("sugar", "legato", "ged", "gradient-ascent", "anchor", "random-target")
METHOD_ORDER = (*ENDS, *LADDER, *SUCCESSORS)


# Rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """What makes a row: one label with one code, one set of fields."""

    label: str
    method: str
    source_digest: str
    fields: str
    training_seen: bool

    @property
    def names(self) -> tuple[str, str]:
        """The label alone, and with what distinguishes it from the same label with other code: both choose the row."""
        return self.label, f"{self.label} [code {self.source_digest[:6]}]"

    @classmethod
    def of(cls, record: Record) -> Variant:
        """The row that a record belongs to."""
        method = record.spec.method
        return cls(method.label, method.name, method.source_digest, method.fields_text, method.training_seen)


def by_variant(records: Iterable[Record]) -> dict[Variant, list[Record]]:
    """The records of each row, in the order given."""
    found: dict[Variant, list[Record]] = {}
    of_method: dict[int, list[Record]] = {}  # records of a large directory share what is equal
    for record in records:
        own = of_method.get(id(record.spec.method))
        if own is None:
            own = of_method[id(record.spec.method)] = found.setdefault(Variant.of(record), [])
        own.append(record)
    return found


def row_order(variant: Variant) -> tuple[int, str, str, str]:
    """Sorts rows: `METHOD_ORDER` first, then by name."""
    place = METHOD_ORDER.index(variant.method) if variant.method in METHOD_ORDER else len(METHOD_ORDER)
    return place, variant.method, variant.label, variant.source_digest


def protocol_order(name: str) -> tuple[int, str]:
    """Sorts protocols: those of the paper first, then by name."""
    return PROTOCOL_ORDER.index(name) if name in PROTOCOL_ORDER else len(PROTOCOL_ORDER), name


def groups_of(records: Iterable[Record]) -> list[Group]:
    """The protocols of records, in the order of tables."""
    protocols = {id(record.spec.protocol): record.spec.protocol for record in records}  # shared in large directories
    titles = {protocol.name: protocol.title for protocol in protocols.values()}
    return [Group(name, titles[name]) for name in sorted(titles, key=protocol_order)]


def primary_of(records: Iterable[Record]) -> tuple[str, ...]:
    """The metrics whose differences are tested under a protocol: what the earliest of its records says."""
    return min(records, key=lambda record: record.environment.created).spec.protocol.primary


def judges_of(records: Iterable[Record]) -> list[str]:
    """The judges of records; the first leads."""
    instruments = {id(record.instrument): record.instrument for record in records}  # shared in large directories
    return list(dict.fromkeys(judge.name for instrument in instruments.values() for judge in instrument.judges))


# Filters ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """Which records to report; None takes all."""

    testbed: str | None = None
    conventions: str | None = None
    protocol: str | None = None  # a name, a digest's beginning, or name@digest
    method: str | Sequence[str] | None = None  # registered names or labels
    weights: str | None = None  # a version, or 6 or more digits of `TrialSpec.weights_digest` or of a network's digest

    def apply(self, records: Sequence[StoredRecord], directory: object) -> list[StoredRecord]:
        """The records that pass; raises BadInput naming the filter that leaves none and what is there."""
        kept = list(records)
        methods = [self.method] if isinstance(self.method, str) else list(self.method or [])
        kept = _choose(kept, "testbed", self.testbed, lambda record, name: record.spec.testbed == name, directory)
        kept = _choose(kept, "conventions", self.conventions, _has_conventions, directory)
        kept = _choose(kept, "weights", self.weights, _has_weights, directory)
        kept = _choose(kept, "protocol", self.protocol, _is_protocol, directory)
        if not methods:
            return kept
        chosen = [_choose(kept, "method", name, _is_method, directory) for name in methods]
        keys = {stored.record.key for part in chosen for stored in part}
        return [stored for stored in kept if stored.record.key in keys]


def _is_protocol(record: Record, text: str) -> bool:
    name, _, start = text.partition("@")
    digest = record.spec.protocol.digest()
    by_digest = not start and len(name) >= 6 and digest.startswith(name)
    return by_digest or (record.spec.protocol.name == name and digest.startswith(start))


def _has_conventions(record: Record, text: str) -> bool:
    return record.spec.protocol.conventions == text


def _has_weights(record: Record, text: str) -> bool:
    digests = (record.spec.weights_digest, *record.spec.weights.values())
    by_digest = len(text) >= 6 and any(digest.startswith(text) for digest in digests)
    return by_digest or text == record.instrument.weights_version


def _is_method(record: Record, name: str) -> bool:
    return name in (record.spec.method.name, *Variant.of(record).names)


_NAMES: Mapping[str, Callable[[Record], str]] = {
    "testbed": lambda record: record.spec.testbed,
    "conventions": lambda record: record.spec.protocol.conventions,
    "weights": lambda record: record.instrument.weights_version or record.spec.weights_digest[:_SHORT],
    "protocol": lambda record: record.spec.protocol.name,
    "method": lambda record: record.spec.method.label,
}


def _choose(
    records: list[StoredRecord], kind: str, wanted: str | None, test: Callable[[Record, str], bool], directory: object
) -> list[StoredRecord]:
    if wanted is None:
        return records
    chosen = [stored for stored in records if test(stored.record, wanted)]
    if not chosen:
        known = sorted({_NAMES[kind](stored.record) for stored in records})
        close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
        hint = f"; did you mean '{close[0]}'?" if close else ";"
        if kind == "weights" and any(name.startswith(wanted) for name in known):  # of a digest, but too few digits
            hint = "; give 6 or more digits:"
        raise BadInput(f"no records in {directory} with {kind} '{wanted}'{hint} they hold {', '.join(known)}")
    return chosen


def without_superseded(records: Sequence[StoredRecord]) -> tuple[list[StoredRecord], int]:
    """Leaves out failures that a later trial of the same label, people and seed measured, under changed code.

    Returns the records that are left and how many failures were left out.
    """
    newest: dict[tuple[object, ...], str] = {}
    for stored in records:
        if stored.record.is_measured:
            place = _place(stored.record)
            newest[place] = max(newest.get(place, ""), stored.record.environment.created)
    kept = [
        stored
        for stored in records
        if stored.record.is_measured or stored.record.environment.created >= newest.get(_place(stored.record), "")
    ]
    return kept, len(records) - len(kept)


def _place(record: Record) -> tuple[object, ...]:
    spec = record.spec
    weights = spec.weights.get("generator")
    return spec.testbed, weights, spec.protocol.digest(), spec.method.label, spec.requests, spec.seed, spec.salt


# Refusals --------------------------------------------------------------------------------------------------------


def check_unmixed(records: Sequence[StoredRecord]) -> None:
    """Raises BadInput if rows of these records would share a column although they measured different things.

    One table holds one testbed, one set of conventions, one precision, one salt, one version of the numerics, one set
    of weights and real images, and per protocol one digest and one photo set. The message names what is mixed and how
    to separate it.
    """
    plain = [stored.record for stored in records]
    try:
        _check_unmixed(_different(plain))
    except BadInput:
        _check_unmixed(plain)  # the message counts trials
        raise


def _different(records: Sequence[Record]) -> list[Record]:
    """Without records that share with another one, as objects, all that could keep them apart."""
    found = {}
    for record in records:
        spec = record.spec
        shared = (id(spec.protocol), id(spec.weights), id(record.instrument))
        found[*shared, spec.testbed, spec.numerics, spec.precision, spec.salt, spec.manifest] = record
    return list(found.values())


def _check_unmixed(plain: Sequence[Record]) -> None:
    _one(plain, "testbeds", lambda record: record.spec.testbed, _choice("--testbed"))
    _one(plain, "conventions", lambda record: record.spec.protocol.conventions, _choice("--conventions"))
    _one(plain, "versions of the numerics", lambda record: str(record.spec.numerics), _apart)
    _one(plain, "precisions", lambda record: record.spec.precision, _apart)
    _one(plain, "salts", lambda record: str(record.spec.salt), _apart)
    for name in sorted({name for record in plain for name in record.spec.weights}):
        _one_set_of_weights(name, [record for record in plain if name in record.spec.weights])
    _one([record for record in plain if record.instrument.features], "FID features", _features, _apart)
    _one([record for record in plain if record.instrument.real], "real images", _real_images, _apart)
    for protocol in sorted({record.spec.protocol.name for record in plain}):
        having = [record for record in plain if record.spec.protocol.name == protocol]
        _one_protocol(having, protocol)
        _one(having, f"photo sets of {protocol}", lambda record: record.spec.manifest[:_SHORT], _apart)


def _features(record: Record) -> str:
    return record.instrument.features


def _real_images(record: Record) -> str:
    return record.instrument.real


def _one_set_of_weights(name: str, records: Sequence[Record]) -> None:
    versions = {record.spec.weights[name][:_SHORT]: record.instrument.weights_version or "" for record in records}

    def shown(record: Record) -> str:
        short = record.spec.weights[name][:_SHORT]
        return f"{short} of version {versions[short]}" if versions[short] else short

    def advice(_: list[str]) -> str:
        by_version = all(versions.values()) and len({*versions.values()}) == len(versions)
        chosen = sorted(versions.values() if by_version else versions)
        return _choice("--weights")(chosen)

    _one(records, f"weights of {name}", shown, advice)


def of_one_protocol(records: Sequence[StoredRecord], chosen: Filter, directory: object) -> list[StoredRecord]:
    """The records that pass, superseded failures left out: unmixed, of one protocol, each label of one method.

    Raises BadInput if they are not, with the option or the step that separates them.
    """
    kept, _ = without_superseded(chosen.apply(records, directory))
    check_unmixed(kept)
    names = sorted({stored.record.spec.protocol.name for stored in kept})
    if len(names) > 1:
        raise BadInput(f"{directory} holds several protocols ({', '.join(names)}); choose one with --protocol")
    versions = Counter(variant.label for variant in {Variant.of(stored.record) for stored in kept})
    for label in sorted(label for label, count in versions.items() if count > 1):
        raise BadInput(f"'{label}' was recorded with several versions of its code or defaults; use one --out for each")
    return kept


Advice = Callable[[list[str]], str]


def _choice(option: str) -> Advice:
    def advice(values: list[str]) -> str:
        return f"choose one: {' or '.join(f'`{option} {value}`' for value in values)}"

    return advice


def _apart(values: list[str]) -> str:
    return "keep them apart: run each with its own --out and report each directory by itself"


def _one(records: Iterable[Record], what: str, of: Callable[[Record], str], advice: Advice) -> None:
    counts = Counter(of(record) for record in records)
    if len(counts) > 1:
        values = sorted(counts)
        listed = ", ".join(f"{value} ({counts[value]} trial{'s' if counts[value] > 1 else ''})" for value in values)
        raise BadInput(f"the records mix {what}: {listed}; such rows never share a column; {advice(values)}")


def _one_protocol(records: Sequence[Record], protocol: str) -> None:
    """Refuses several variants of one protocol, naming the fields in which they differ."""
    variants = {record.spec.protocol.digest(): record.spec.protocol for record in records}
    if len(variants) < 2:
        return
    differing = []
    for field in dataclasses.fields(Protocol):
        values = dict.fromkeys(str(getattr(variants[digest], field.name)) for digest in sorted(variants))
        if len(values) > 1 and field.name in records[0].spec.protocol.measurement():
            differing.append(f"{field.name} {' or '.join(values)}")
    names = [f"{protocol}@{digest[:_SHORT]}" for digest in sorted(variants)]
    raise BadInput(
        f"the records mix {len(variants)} variants of protocol {protocol} ({'; '.join(differing)}); such rows never "
        f"share a column; {_choice('--protocol')(names)}"
    )
