"""Which records may stand in one table: chosen by filters, refused when they would share a column unfairly."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guidebench.errors import BadInput
from guidebench.reporting.rows import Variant

if TYPE_CHECKING:
    from guidebench.store.folders import Record, StoredRecord

_SHORT = 12  # characters of a digest in messages


@dataclass(frozen=True)
class Filter:
    """Which records to report; None takes all."""

    testbed: str | None = None
    conventions: str | None = None
    protocol: str | None = None  # a name, a digest's beginning, or name@digest
    method: str | Sequence[str] | None = None  # registered names or labels
    weights: str | None = None  # a version, or the beginning of a network's digest

    def apply(self, records: Sequence[StoredRecord], directory: object) -> list[StoredRecord]:
        """The records that pass; raises BadInput naming the filter that leaves none and what is there."""
        kept = list(records)
        methods = [self.method] if isinstance(self.method, str) else list(self.method or [])
        kept = _choose(kept, "testbed", self.testbed, lambda record, name: record.testbed == name, directory)
        kept = _choose(
            kept, "conventions", self.conventions, lambda record, name: record.conventions == name, directory
        )
        kept = _choose(kept, "weights", self.weights, _has_weights, directory)
        kept = _choose(kept, "protocol", self.protocol, _is_protocol, directory)
        if not methods:
            return kept
        chosen = [_choose(kept, "method", name, _is_method, directory) for name in methods]
        keys = {stored.record.key for part in chosen for stored in part}
        return [stored for stored in kept if stored.record.key in keys]


def _is_protocol(record: Record, text: str) -> bool:
    name, _, start = text.partition("@")
    own = str(record.protocol["name"])
    return (own == name and record.protocol_digest.startswith(start)) or (
        not start and len(name) >= 6 and record.protocol_digest.startswith(name)
    )


def _has_weights(record: Record, text: str) -> bool:
    by_digest = len(text) >= 6 and any(digest.startswith(text) for digest in record.digests.values())
    return by_digest or text == record.weights_version


def _is_method(record: Record, name: str) -> bool:
    return name in (record.method, *Variant.of(record).names)


_NAMES: Mapping[str, Callable[[Record], str]] = {
    "testbed": lambda record: record.testbed,
    "conventions": lambda record: record.conventions,
    "weights": lambda record: record.weights_version or record.digests.get("generator", "")[:_SHORT],
    "protocol": lambda record: str(record.protocol["name"]),
    "method": lambda record: record.label,
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
        raise BadInput(f"no records in {directory} with {kind} '{wanted}'{hint} they hold {', '.join(known)}")
    return chosen


def without_superseded(records: Sequence[StoredRecord]) -> tuple[list[StoredRecord], int]:
    """Leaves out failures that a later trial of the same label, identity and seed measured, under changed code.

    Returns the records that are left and how many failures were left out.
    """
    newest: dict[tuple[object, ...], str] = {}
    for stored in records:
        if stored.record.status == "measured":
            place = _place(stored.record)
            newest[place] = max(newest.get(place, ""), stored.record.created)
    kept = [
        stored
        for stored in records
        if stored.record.status == "measured" or stored.record.created >= newest.get(_place(stored.record), "")
    ]
    return kept, len(records) - len(kept)


def _place(record: Record) -> tuple[object, ...]:
    weights = record.digests.get("generator")
    return (record.testbed, weights, record.protocol_digest, record.label, record.identity, record.seed)


def check_unmixed(records: Sequence[StoredRecord], directory: object) -> None:
    """Raises BadInput if rows of these records would share a column although they measured different things.

    One table holds one testbed, one set of conventions, one version of the numerics, one set of weights and real
    images, and per protocol one digest and one photo set. The message names what is mixed and how to separate it.
    """
    plain = [stored.record for stored in records]
    _one(plain, "testbeds", lambda record: record.testbed, _choice(directory, "--testbed"))
    _one(plain, "conventions", lambda record: record.conventions, _choice(directory, "--conventions"))
    _one(plain, "versions of the numerics", lambda record: str(record.versions.get("numerics", "")), _apart)
    check_one_set_of_weights(plain)
    for name, words in (("features", "FID features"), ("real", "real images")):
        having = [record for record in plain if name in record.notes]
        _one(having, words, lambda record, name=name: record.notes[name], _apart)  # type: ignore[misc]
    for protocol in sorted({str(record.protocol["name"]) for record in plain}):
        having = [record for record in plain if record.protocol["name"] == protocol]
        _one_protocol(having, protocol, directory)
        _one(having, f"photo sets of {protocol}", lambda record: record.manifest[:_SHORT], _apart)


def check_one_set_of_weights(records: Sequence[Record]) -> None:
    """Raises BadInput if a network has other weights in one record than in another, naming it and its digests."""
    for name in sorted({name for record in records for name in record.digests}):
        _one_set_of_weights(name, [record for record in records if name in record.digests])


def _one_set_of_weights(name: str, records: Sequence[Record]) -> None:
    versions = {record.digests[name][:_SHORT]: record.weights_version or "" for record in records}

    def shown(record: Record) -> str:
        short = record.digests[name][:_SHORT]
        return f"{short} of version {versions[short]}" if versions[short] else short

    def advice(_: list[str]) -> str:
        telling = all(versions.values()) and len({*versions.values()}) == len(versions)
        chosen = sorted(versions.values() if telling else versions)
        return f"choose one: {' or '.join(f'--weights {text}' for text in chosen)}"

    _one(records, f"weights of {name}", shown, advice)


def of_one_protocol(records: Sequence[StoredRecord], chosen: Filter, directory: object) -> list[StoredRecord]:
    """The records that pass, superseded failures left out: unmixed, of one protocol, each label of one method.

    Raises BadInput if they are not, with the option or the step that separates them.
    """
    kept, _ = without_superseded(chosen.apply(records, directory))
    check_unmixed(kept, directory)
    names = sorted({str(stored.record.protocol["name"]) for stored in kept})
    if len(names) > 1:
        raise BadInput(f"{directory} holds several protocols ({', '.join(names)}); choose one with --protocol")
    versions = Counter(variant.label for variant in {Variant.of(stored.record) for stored in kept})
    for label in sorted(label for label, count in versions.items() if count > 1):
        raise BadInput(f"'{label}' was recorded with several versions of its code or defaults; use one --out for each")
    return kept


Advice = Callable[[list[str]], str]


def _choice(directory: object, option: str) -> Advice:
    def advice(values: list[str]) -> str:
        commands = " or ".join(f"`guidebench report {directory} {option} {value}`" for value in values)
        return f"choose one: {commands}"

    return advice


def _apart(values: list[str]) -> str:
    return "keep them apart: run each with its own --out and report each directory by itself"


def _one(records: Iterable[Record], what: str, of: Callable[[Record], str], advice: Advice) -> None:
    counts = Counter(of(record) for record in records)
    if len(counts) > 1:
        values = sorted(counts)
        listed = ", ".join(f"{value} ({counts[value]} trial{'s' if counts[value] > 1 else ''})" for value in values)
        raise BadInput(f"the records mix {what}: {listed}; such rows never share a column; {advice(values)}")


def _one_protocol(records: Sequence[Record], protocol: str, directory: object) -> None:
    """Refuses several variants of one protocol, naming the fields in which they differ."""
    variants = {record.protocol_digest: record.protocol for record in records}
    if len(variants) < 2:
        return
    digests = sorted(variants)
    differing = []
    for field in sorted({field for variant in variants.values() for field in variant}):
        values = {str(variants[digest].get(field)): None for digest in digests}
        if len(values) > 1 and field not in _NOT_MEASURED:
            differing.append(f"{field} {' or '.join(values)}")
    names = [f"{protocol}@{digest[:_SHORT]}" for digest in digests]
    raise BadInput(
        f"the records mix {len(variants)} variants of protocol {protocol} ({'; '.join(differing) or 'digest'}); such "
        f"rows never share a column; {_choice(directory, '--protocol')(names)}"
    )


_NOT_MEASURED: Sequence[Any] = ("identities", "seeds", "summary", "title")  # fields outside a protocol's digest
