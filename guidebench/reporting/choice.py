"""Layouts by name: the paper's tables, everything, two methods, four columns in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guidebench.errors import BadInput, unknown_name
from guidebench.reporting.model import COMPACT, Kind
from guidebench.reporting.selection import MULTI_IMAGE, protocol_order
from guidebench.suites import PaperTable

if TYPE_CHECKING:
    from guidebench.store.folders import StoredRecord

_BESIDE = ("id_after", "half_after", "id_original", "id_other", "distance_after")  # of attacks that can show anybody
# Layouts beside those that suites define.
KINDS = ("auto", "paper", "full", "compare", "short", "attacks", "scenario", "sequence")
TITLES = {"table-1": "Forgetting single images", "table-2": "Forgetting people from one of several images"}
BRIEF = ("recognised", "id", "id_others", "id_retain", "fid_pre", "delta_fid_real")
INSTEAD = "delta_fid_real"  # what makes room for Recognised in it
BESIDE = {"id": "recognised", "id_others": "recognised_others"}  # what the paper's columns lack, where it has values
PLAIN = {"id": "same photo", "id_others": "other photos", "id_retain": "other people", "fid_pre": "image damage"}


@dataclass(frozen=True)
class Choice:
    """A resolved layout."""

    kind: Kind
    table: PaperTable | None = None  # of the paper layout
    against: str | None = None  # the row that the table compares the others with
    tested: tuple[str, ...] | None = None  # of the primary metrics, those that are tested; None: all
    of: tuple[str, ...] | None = None  # the protocols that it is about, where there is no table; None: all

    @property
    def protocols(self) -> tuple[str, ...] | None:
        """The protocols whose records it takes; None: all."""
        return self.table.protocols if self.table else self.of

    @property
    def has_marks(self) -> bool:
        """Whether cells show the mark of a test in place of intervals, where there are people enough."""
        return self.table is not None or self.kind in ("scenario", "sequence")

    @property
    def name(self) -> str:
        """The table's name, or the kind."""
        return self.table.name if self.table else self.kind

    @property
    def is_compact(self) -> bool:
        """Whether it is one table of 80 characters."""
        return self.kind in COMPACT


def resolve(layout: str, records: Sequence[StoredRecord], table: PaperTable | None = None) -> Choice:
    """The layout of a name.

    "paper" is the columns of Table 2 if all records are of the multi-image protocol, else those of Table 1, with
    whatever protocols and methods there are; "auto" is the same with Recognised beside them. A suite's name such as
    "table-3", its file, or ``table`` is that table with its own protocols only. "scenario" has a column for each number
    of people that one request forgets, "sequence" one for each request of several. "short" has four columns in plain
    words, and the rows of ``table`` if given; "attacks" has ID before and after every attack that was made. "brief" has
    the columns of `BRIEF` under one judge, tests those that the paper has, and is not offered to users.
    Raises BadInput for an unknown name, or if the records hold none of a table's protocols.
    """
    from guidebench import suites

    names = sorted({stored.record.spec.protocol.name for stored in records}, key=protocol_order)
    if table is None and layout in ("full", "compare"):
        return Choice("full" if layout == "full" else "compare")
    if table is None and layout in ("scenario", "sequence"):
        return _of_several(layout, records)
    against = None
    if table is None and layout in ("auto", "paper", "brief", "short"):
        columns = "table-2" if names == [MULTI_IMAGE] else "table-1"
        table = PaperTable(columns, TITLES[columns], suites.load(columns).metrics, tuple(names))
    if table is None and layout == "attacks":
        table = PaperTable("attacks", "After attacks", _attack_columns(records), tuple(names))
    if table is None:
        if layout not in suites.names() and not str(layout).endswith(".toml"):
            raise unknown_name("layout", layout, [*KINDS, *suites.names()], command=None)
        suite = suites.load(layout).resolve(records[0].record.spec.testbed)
        table, against = suite.table, suite.against_label
    there = [name for name in names if name in table.protocols]
    if not there:
        raise BadInput(
            f"layout {table.name} is a table of {', '.join(table.protocols)}; the records hold {', '.join(names)}; "
            f"`guidebench reproduce {table.name}` measures what it needs"
        )
    if layout in COMPACT and len(there) > 1:
        raise BadInput(f"layout {layout} is a table of one protocol; choose with --protocol: {', '.join(there)}")
    if layout == "short":
        return Choice("short", replace(table, name="short", metrics=tuple(PLAIN)))
    beside = tuple(dict.fromkeys(name for metric in table.metrics for name in (metric, BESIDE.get(metric)) if name))
    if layout == "brief":
        return Choice("brief", replace(table, name="brief", metrics=BRIEF), tested=beside)
    return Choice("paper", replace(table, metrics=beside) if layout == "auto" else table, against)


def _of_several(layout: str, records: Sequence[StoredRecord]) -> Choice:
    """Raises BadInput if the records hold no protocol that the layout is about."""
    protocols = {stored.record.spec.protocol.name: stored.record.spec.protocol for stored in records}
    if layout == "scenario":
        of = tuple(name for name, protocol in protocols.items() if protocol.requests == 1)
        if of:
            return Choice("scenario", of=of)
    elif of := tuple(name for name, protocol in protocols.items() if protocol.requests > 1):
        return Choice("sequence", of=of)
    example = "celebahq-simultaneous" if layout == "scenario" else "celebahq-sequential"
    asked = "people in one request" if layout == "scenario" else "people in several requests, one after another"
    raise BadInput(
        f"layout {layout} is about trials that forget {asked}; the records hold {', '.join(sorted(protocols))}; run a "
        f"protocol such as {example}"
    )


def _attack_columns(records: Sequence[StoredRecord]) -> tuple[str, ...]:
    """ID, after each attack, and in the worst case; then the share of renders that pass as the person.

    Raises BadInput if no attack was made.
    """
    made = [run for stored in records for run in stored.record.attacks]
    runs = {run.attack.label: run.attack for run in made if run.file}
    if made and not runs:
        raise BadInput(f"every attack on these trials failed, such as {made[0].attack.label}: {made[0].reason}")
    if not runs:
        raise BadInput(
            "no attack was made on these trials; `guidebench attack` makes them on generators that were kept"
        )
    counted = [label for label, attack in runs.items() if not attack.shows_anybody]
    others = [label for label, attack in runs.items() if attack.shows_anybody]
    worst = ("id_worst", "recognised_before", "recognised", "recognised_worst") if counted else ()
    beside = [f"{kind}_{label}" for label in others for kind in _BESIDE]
    there = {score.metric for stored in records for score in stored.record.outcome.scores}
    return ("id", *(f"id_after_{label}" for label in counted), *worst, *(name for name in beside if name in there))
