"""By how much an attack lowers somebody's result: its trials beside those of the submission that it attacks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from guidebench.reporting.selection import Variant
from guidebench.store.folders import StoredRecord, scan
from guidebench.store.record import Record
from guidebench.submissions.check import Check, counted, differs, not_checked, ok
from guidebench.submissions.opening import Opened

_WORST, _OWN = "id_worst", "id"
_EVIDENCE = "evidence.npz"
_Row = tuple[Hashable, ...]
Trial = tuple[str, str]  # a trial's key and label


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
    trials: int  # that were attacked, and have a value of both
    total: int  # that the row has in the attacked submission
    attacked: tuple[Trial, ...]  # those trials: protocols and labels may be the same on another testbed


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
    claims = {_trial(item.record): item.record for item in theirs}
    totals = Counter(_row(record) for record in claims.values())
    rows: dict[tuple[_Row, str, bool], list[Record]] = {}
    for item in attacked:
        for run in item.record.attacks:
            if (trial := _trial(item.record)) in claims and run.file and run.attack.label in attacks:
                key = (_row(claims[trial]), run.attack.label, run.attack.shows_anybody)
                rows.setdefault(key, []).append(item.record)
    found = []
    for (row, label, shows_anybody), records in rows.items():
        both = {
            _trial(record): (claim, finds, _value(record, f"id_original_{label}"))
            for record in records
            if (claim := _claim(claims[_trial(record)])) is not None
            and (finds := _value(record, f"id_after_{label}")) is not None
        }
        if not both:
            continue
        found.append(
            Lowered(
                protocol=records[0].spec.protocol.name,
                label=records[0].spec.method.label,
                attack=label,
                shows_anybody=shows_anybody,
                claimed=statistics.fmean(claim for claim, _, _ in both.values()),
                found=statistics.fmean(
                    finds if shows_anybody else max(claim, finds) for claim, finds, _ in both.values()
                ),
                original=_mean([original for _, _, original in both.values()]),
                trials=len(both),
                total=totals[row],
                attacked=tuple(both),
            )
        )
    return found


def _trial(record: Record) -> Trial:
    return record.key, record.spec.method.label


def _row(record: Record) -> _Row:
    """What the trials of one row share, on whatever testbed, weights and salt."""
    spec = record.spec
    weights = tuple(sorted(spec.weights.items()))
    same = (spec.testbed, spec.protocol.digest(), spec.numerics, spec.precision, spec.salt, spec.manifest, weights)
    return *same, Variant.of(record)


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
