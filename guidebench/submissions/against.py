"""By how much an attack lowers somebody's result: its trials beside those of the submission that it attacks."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from guidebench.store.folders import StoredRecord, scan
from guidebench.store.record import Record
from guidebench.submissions.check import Check, counted, differs, not_checked, ok
from guidebench.submissions.opening import Opened

_WORST, _OWN = "id_worst", "id"
_EVIDENCE = "evidence.npz"


@dataclass(frozen=True)
class Lowered:
    """What an attack found of the people of one row, by the leading judge. Cosines are means over people and seeds."""

    protocol: str
    label: str  # of the method
    attack: str  # its label
    shows_anybody: bool  # then what it finds does not enter the worst case
    claimed: float  # the worst ID, or ID, that the attacked submission has of the same trials
    found: float  # the worst ID with the attack; of one that can show anybody, what it finds
    original: float | None  # what it finds of the same people on the original generator
    trials: int  # that were attacked
    total: int  # that the attacked submission has


def check_against(victim: Opened, attack: Opened, stored: Sequence[StoredRecord]) -> list[Check]:
    """Whether the attack was made on the results of a submission, and what it does to them. stored: its trials."""
    theirs = {item.record.key: item for item in scan(victim.folder)[0] if item.record.is_measured}
    both = [item for item in stored if item.record.key in theirs]
    name = victim.file.name
    if not both:
        return [differs("against", f"{name} has none of the trials that were attacked")]
    checks = []
    changed = [
        key
        for key, digest in attack.submission.against.items()
        if key in theirs and theirs[key].record.digest != digest
    ]
    if changed:
        checks.append(
            differs("against", f"{counted(len(changed), 'record')} of {name} were other ones when it was packed")
        )
    again = [item for item in both if not _is_the_same(item.record, theirs[item.record.key].record)]
    if again:
        says = f"{counted(len(again), 'attacked trial')} are not those of {name}, but were measured again"
        checks.append(not_checked("against", says))
    return checks + [
        ok("against", _in_words(one, name)) for one in lowered(list(theirs.values()), stored, attack.submission.attacks)
    ]


def _is_the_same(attacked: Record, theirs: Record) -> bool:
    """Whether an attack was made on the very trial, not on one that repeats it."""
    return attacked.files.get(_EVIDENCE) == theirs.files.get(_EVIDENCE)


def _in_words(one: Lowered, name: str) -> str:
    on = f"{one.label} under {one.protocol}, {one.trials} of {one.total} trials"
    if one.shows_anybody:
        control = "" if one.original is None else f", {one.original:.3f} on the original generator"
        return f"{on}: {one.attack} finds ID {one.found:.3f}{control}; it can show anybody, the worst case stays"
    if one.found > one.claimed:
        return f"{on}: the worst ID rises from {one.claimed:.3f} in {name} to {one.found:.3f} with {one.attack}"
    return f"{on}: the worst ID stays {one.claimed:.3f}, {one.attack} finds nothing above it"


def lowered(
    theirs: Sequence[StoredRecord], attacked: Sequence[StoredRecord], attacks: Collection[str]
) -> list[Lowered]:
    """What attacks find of each row beside what its own submission says, over the trials that both have.

    attacks: labels of those that are submitted; the records may have others, too. A trial's claim is its worst ID, or
    its ID where it was not attacked.
    """
    claims = {item.record.key: item.record for item in theirs}
    totals: dict[tuple[str, str], int] = {}
    for record in claims.values():
        totals[_row(record)] = totals.get(_row(record), 0) + 1
    rows: dict[tuple[tuple[str, str], str, bool], list[Record]] = {}
    for item in attacked:
        for run in item.record.attacks:
            if item.record.key in claims and run.file and run.attack.label in attacks:
                key = (_row(item.record), run.attack.label, run.attack.shows_anybody)
                rows.setdefault(key, []).append(item.record)
    found = []
    for (row, label, shows_anybody), records in rows.items():
        claimed = _mean([_claim(claims[record.key]) for record in records])
        finds = _mean([_value(record, f"id_after_{label}") for record in records])
        if claimed is None or finds is None:
            continue
        worst = _mean([_largest(_claim(claims[record.key]), _value(record, f"id_after_{label}")) for record in records])
        found.append(
            Lowered(
                protocol=row[0],
                label=row[1],
                attack=label,
                shows_anybody=shows_anybody,
                claimed=claimed,
                found=finds if shows_anybody or worst is None else worst,
                original=_mean([_value(record, f"id_original_{label}") for record in records]),
                trials=len(records),
                total=totals[row],
            )
        )
    return found


def _row(record: Record) -> tuple[str, str]:
    return record.spec.protocol.name, record.spec.method.label


def _claim(record: Record) -> float | None:
    worst = _value(record, _WORST)
    return _value(record, _OWN) if worst is None else worst


def _value(record: Record, metric: str) -> float | None:
    """A metric of the forgotten people by the leading judge, mean over them, after the last request."""
    judge, last = record.instrument.judges[0].name, len(record.spec.requests)
    return _mean(
        [
            score.value
            for score in record.outcome.scores
            if (score.metric, score.judge, score.after_request) == (metric, judge, last)
        ]
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _largest(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)
