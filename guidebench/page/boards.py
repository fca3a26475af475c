"""Which records share a table of the page: one protocol, one testbed, and whatever else rows must have in common."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench.reporting import report, scores
from guidebench.reporting.choice import Choice
from guidebench.reporting.model import Report
from guidebench.reporting.selection import Filter, protocol_order

if TYPE_CHECKING:
    from guidebench.store.folders import StoredRecord
    from guidebench.store.record import Record

_log = logging.getLogger(__name__)

ALL = Filter()
Trial = tuple[str, str]  # a trial's key and label: one trial may be the row of two labels


@dataclass(frozen=True)
class Source:
    """A results directory."""

    directory: str | Path
    by: str = ""  # who submitted it, as the page says; "": it does not say
    link: str = ""  # to a paper or to code
    tuning: str = ""  # how its settings were found


@dataclass(frozen=True)
class Board:
    """A table, with the records that it is made of."""

    name: str  # in links
    report: Report
    stored: Mapping[Trial, StoredRecord]
    by: Mapping[Trial, Source]  # where a trial comes from, if that names somebody

    @property
    def first(self) -> Record:
        """A record, for what all of them share."""
        return next(iter(self.stored.values())).record

    def of(self, record: Record) -> StoredRecord:
        """A record of one of the report's rows, with its folder."""
        return self.stored[trial_of(record)]


def trial_of(record: Record) -> Trial:
    """What tells a record from others of its board."""
    return record.key, record.spec.method.label


def conditions(record: Record) -> dict[str, str]:
    """What the rows of a table share besides testbed and protocol, in words: where two tables differ, it says how."""
    spec = record.spec
    return {
        "weights": record.instrument.weights_version or spec.weights_digest[:12],
        "conventions": spec.protocol.conventions,
        "protocol digest": spec.protocol.digest()[:12],
        "salt": str(spec.salt),
        "precision": spec.precision,
        "numerics": str(spec.numerics),
        "photo set": spec.manifest[:12],
        "FID features": record.instrument.features,
        "real images": record.instrument.real,
    }


def boards_of(sources: Sequence[Source], chosen: Filter = ALL, against: str | None = None) -> list[Board]:
    """The tables of several results directories, in the order of protocols.

    chosen: which records. against: the row that others are compared with, in every table.
    A trial that lies in several directories is taken from the first. Raises BadInput as `guidebench.reporting.report`,
    and if a directory holds no readable record.
    """
    places = ", ".join(str(source.directory) for source in sources)
    found: dict[Trial, StoredRecord] = {}
    by: dict[Trial, Source] = {}
    corrupt, again = [], 0
    for source in sources:
        loaded = scores.read(source.directory)
        corrupt += loaded.corrupt
        for stored in loaded.records:
            trial = trial_of(stored.record)
            again += trial in found
            if trial not in found:
                found[trial] = stored
                by |= {trial: source} if source.by else {}
    if again:
        _log.warning("Trials that lie in several of %s are taken from the first: %d", places, again)
    parts = _parts(chosen.apply(list(found.values()), places))
    names = _names([part[0].record for part in parts])
    whole = sources[0].directory if len(sources) == 1 else places
    return [
        Board(
            name,
            report.report_of(scores.Loaded(part, corrupt), whole, Choice("full"), against, False, None),
            {trial_of(stored.record): stored for stored in part},
            by,
        )
        for name, part in zip(names, parts, strict=True)
    ]


@dataclass
class _Part:
    """Records that may share a table, and what the next one must agree with."""

    records: list[StoredRecord]
    shared: dict[str, str]  # weights by network, FID features and real images; what a record does not say is not here

    def takes(self, record: Record) -> bool:
        """Whether a record says nothing that these contradict."""
        return all(self.shared.get(name, value) == value for name, value in _shared(record).items())


def _parts(records: Sequence[StoredRecord]) -> list[list[StoredRecord]]:
    """Records by what may share a table, as `guidebench.reporting.selection.check_unmixed` has it."""
    parts: dict[tuple[object, ...], list[_Part]] = {}
    for stored in records:
        spec = stored.record.spec
        same = (spec.testbed, spec.protocol.digest(), spec.numerics, spec.precision, spec.salt, spec.manifest)
        there = parts.setdefault(same, [])
        part = next((one for one in there if one.takes(stored.record)), None)
        if part is None:
            there.append(part := _Part([], {}))
        part.records.append(stored)
        part.shared |= _shared(stored.record)
    every = [part.records for there in parts.values() for part in there]
    return sorted(every, key=lambda part: (part[0].record.spec.testbed, *protocol_order(_protocol(part))))


def _shared(record: Record) -> dict[str, str]:
    told = {"/features": record.instrument.features, "/real": record.instrument.real}
    return {**record.spec.weights, **{name: value for name, value in told.items() if value}}


def _protocol(part: Sequence[StoredRecord]) -> str:
    return part[0].record.spec.protocol.name


def _names(firsts: Sequence[Record]) -> list[str]:
    """The protocol; where several tables share it, with the testbed; then with a number."""
    plain = [record.spec.protocol.name for record in firsts]
    longer = [f"{record.spec.protocol.name}@{record.spec.testbed}" for record in firsts]
    names = [one if plain.count(one) == 1 else other for one, other in zip(plain, longer, strict=True)]
    return [
        name if names.count(name) == 1 else f"{name}@{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]
