"""The records that one figure shows: measured trials of one protocol, with their scores under one judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from guidebench.errors import BadInput, unknown_name
from guidebench.evidence import DifferentPeople, Evidence
from guidebench.reporting import scores, selection, statistics
from guidebench.reporting.plots.style import Look, looks_of
from guidebench.reporting.selection import Variant
from guidebench.store.arrays import UnreadableEvidence
from guidebench.store.evidence_files import load_evidence
from guidebench.store.folders import StoredRecord


@dataclass(frozen=True)
class Trials:
    """Measured trials that belong in one figure."""

    directory: str
    stored: tuple[StoredRecord, ...]  # by row, then by group and seed
    judge: str

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Their scores, as `guidebench.reporting.scores.COLUMNS` says; those over several trials are left out."""
        return scores.from_records(self.stored, {})

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Rows, in the order of tables: the ladder first."""
        return tuple(sorted({Variant.of(item.record) for item in self.stored}, key=selection.row_order))

    @property
    def methods(self) -> tuple[Variant, ...]:
        """Rows that are neither floor nor ceiling. Raises BadInput if there is none."""
        found = tuple(one for one in self.variants if not self.of(one)[0].record.spec.method.floor)
        if not found:
            raise BadInput(f"{self.directory} holds floors only; measure a method, such as `--method guide`")
        return found

    @cached_property
    def looks(self) -> dict[Variant, Look]:
        """How each row is drawn."""
        return looks_of(self.variants)

    def of(self, variant: Variant) -> list[StoredRecord]:
        """The trials of a row."""
        return [item for item in self.stored if Variant.of(item.record) == variant]

    def scores(self, variant: Variant, metric: str, *, judged: bool = True) -> pd.DataFrame:
        """A row's scores of one metric after the last request of each trial."""
        keys = {item.record.key for item in self.of(variant)}
        label = self.frame["key"].isin(keys) & (self.frame["label"] == variant.label)
        return statistics.select(self.frame[label], metric, self.judge if judged else None)

    @property
    def different_people(self) -> DifferentPeople | None:
        """How alike the judge finds different people, where that was measured."""
        judges = [judge for item in self.stored for judge in item.record.instrument.judges]
        return next((one.different_people for one in judges if one.name == self.judge and one.different_people), None)

    def worst_first(self, people: Iterable[str]) -> list[str]:
        """Forgotten people by their ID, the most like before first; those without one last.

        Averaged over methods, each counted from its own mean, so that a method that lacks somebody changes no order.
        """
        found = [self.scores(one, "id").dropna(subset=["value"]) for one in self.methods]
        centred = pd.concat([own.assign(value=own["value"] - own["value"].mean()) for own in found])
        means = centred.groupby("identity")["value"].mean().to_dict()
        return sorted(people, key=lambda name: (-means.get(name, float("-inf")), name))

    @property
    def provenance(self) -> str:
        """One line that says where the numbers are from."""
        spec = self.stored[0].record.spec
        version = self.stored[0].record.instrument.weights_version
        groups = len({item.record.spec.group for item in self.stored})
        seeds = len({item.record.spec.seed for item in self.stored})
        several = any(len(item.record.spec.people) > 1 for item in self.stored)
        people = f"{groups} {'group' if several else 'person' if groups == 1 else 'people'}"
        people += "s" if several and groups > 1 else ""
        testbed = f"{spec.testbed} {version}" if version else spec.testbed
        parts = [testbed, spec.protocol.name, self.judge, f"{people}, {seeds} seed{'s' if seeds > 1 else ''}"]
        return " · ".join([*parts, *(["conventions: published"] if spec.protocol.conventions == "published" else [])])


def chosen_people(worst_first: Sequence[str], most: int) -> list[str]:
    """Whom a figure shows if it cannot show all: the worst, the median, then the next worst ones; never hand-picked.

    >>> chosen_people(["a", "b", "c", "d", "e", "f", "g"], 4)
    ['a', 'd', 'b', 'c']
    """
    median = worst_first[len(worst_first) // 2]
    return list(dict.fromkeys([worst_first[0], median, *worst_first]))[:most]


def load(
    directory: str | Path,
    *,
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    method: Sequence[str] = (),
    weights: str | None = None,
    judge: str | None = None,
    keys: Set[str] | None = None,
) -> Trials:
    """The measured trials below a directory that pass, refused if they do not belong together.

    judge: None: the leading one. method: names or labels; none: all. keys: of the trials that may be taken; None: all.
    Raises BadInput.
    """
    chosen = selection.Filter(testbed, conventions, protocol, list(method) or None, weights)
    records = [item for item in scores.read(directory).records if keys is None or item.record.key in keys]
    kept = selection.of_one_protocol(records, chosen, directory)
    measured = [item for item in kept if item.record.is_measured]
    if not measured:
        raise BadInput(f"{directory} holds failed trials only; `guidebench status {directory}` shows why they failed")
    judges = selection.judges_of(item.record for item in measured)
    if judge is not None and judge not in judges:
        raise unknown_name("judge", judge, judges, command=None)
    measured.sort(key=lambda item: (Variant.of(item.record).label, item.record.spec.group, item.record.spec.seed))
    return Trials(str(directory), tuple(measured), judge or (judges[0] if judges else ""))


def evidence_of(stored: StoredRecord, *, attacks: bool = False) -> Evidence:
    """What judges saw in a trial. Raises BadInput if its file is gone or damaged."""
    try:
        return load_evidence(stored.path / "evidence.npz", stored.record if attacks else None)
    except UnreadableEvidence as error:
        raise BadInput(f"{stored.path}: {error}; measure the trial again with --fresh") from None
