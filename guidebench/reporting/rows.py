"""Which records belong together: a row's variant of a method, the protocols and judges, and the order of each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guidebench.reporting.model import Group

if TYPE_CHECKING:
    from guidebench.store.folders import Record

MULTI_IMAGE = "celebahq-multi"  # the protocol of the paper's Table 2
PROTOCOL_ORDER = ("random", "ffhq", "celebahq", MULTI_IMAGE)
METHOD_ORDER = ("nothing", "scramble", "mean-latent", "extrapolated", "extrapolated-adj", "guide")


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
        """The label, and what tells it from the same label with other code: both choose the row."""
        return self.label, f"{self.label} [code {self.source_digest[:6]}]"

    @classmethod
    def of(cls, record: Record) -> Variant:
        """The row that a record belongs to."""
        fields = json.dumps(record.fields, sort_keys=True)
        return cls(record.label, record.method, record.source_digest, fields, record.training_seen)


def row_order(variant: Variant) -> tuple[int, str, str, str]:
    """Sorts rows: the ladder first, then by name."""
    place = METHOD_ORDER.index(variant.method) if variant.method in METHOD_ORDER else len(METHOD_ORDER)
    return place, variant.method, variant.label, variant.source_digest


def protocol_order(name: str) -> tuple[int, str]:
    """Sorts protocols: those of the paper first, then by name."""
    return PROTOCOL_ORDER.index(name) if name in PROTOCOL_ORDER else len(PROTOCOL_ORDER), name


def groups_of(records: Iterable[Record]) -> list[Group]:
    """The protocols of records, in the order of tables."""
    titles = {str(record.protocol["name"]): str(record.protocol.get("title", "")) for record in records}
    return [Group(name, titles[name] or name) for name in sorted(titles, key=protocol_order)]


def judges_of(records: Iterable[Record]) -> list[str]:
    """The judges of records; the first leads."""
    return list(dict.fromkeys(judge for record in records for judge in record.judges))
