"""Every score computed again from its evidence, and marks that evidence shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from guidebench.engine.marks import MEMORISED, is_memorised
from guidebench.errors import in_one_line
from guidebench.evidence import Evidence
from guidebench.metric import Score
from guidebench.metrics import METRICS, score_all
from guidebench.metrics.attacks import of_attack
from guidebench.store.evidence_files import UnreadableEvidence, load_evidence
from guidebench.store.folders import StoredRecord
from guidebench.submissions.check import Check, counted, each_differs, listed, not_checked, ok

DIGITS = 1e-6  # relative or absolute: more than the order of sums moves, less than any table shows


def check_scores(stored: Sequence[StoredRecord]) -> list[Check]:
    """Whether the scores of all trials follow from their evidence."""
    wrong: list[str] = []
    unknown: set[str] = set()
    later: set[str] = set()
    total = trials = 0
    for item in stored:
        if not item.record.outcome.scores:
            continue
        try:
            evidence = evidence_of(item)
            found = score_all(evidence)
        except (UnreadableEvidence, ValueError) as error:
            wrong.append(f"{called(item)}: {error}")
            continue
        except Exception as error:  # whatever odd evidence may lead to
            wrong.append(f"{called(item)}: its evidence cannot be scored: {in_one_line(error)}")
            continue
        recorded = item.record.outcome.scores
        own = {score.metric for score in recorded}
        known = {*METRICS, *(metric.name for label in evidence.attacks for metric in of_attack(label))}
        unknown |= own - known
        later |= {score.metric for score in found} - own
        difference = next(differences(recorded, found, known), None) or next(_odd_marks(item, evidence), None)
        if difference:
            wrong.append(f"{called(item)}: {difference}")
        else:
            trials += 1
            total += sum(score.metric in known for score in recorded)
    checks = each_differs("scores", wrong)
    if trials:
        says = f"{counted(total, 'score')} of {counted(trials, 'trial')} follow from their evidence"
        checks.insert(0, ok("scores", says))
    if unknown:
        checks.append(not_checked("scores", f"metrics that do not ship: {listed(sorted(unknown))}"))
    if later:
        checks.append(not_checked("scores", f"not recorded, though evidence gives it: {listed(sorted(later))}"))
    return checks


def evidence_of(item: StoredRecord) -> Evidence:
    """The evidence of a trial. Raises UnreadableEvidence, or ValueError if it is not what the record says."""
    record = item.record
    evidence = load_evidence(item.path / "evidence.npz", record)
    if tuple(subject.identity for subject in evidence.forgotten) != record.spec.people:
        raise ValueError(f"its evidence is of {evidence.group}")
    if set(evidence.sights) != {judge.name for judge in record.instrument.judges}:
        raise ValueError(f"its evidence is by {listed(sorted(evidence.sights))}")
    if len(evidence.after) > len(record.spec.requests):
        raise ValueError(f"its evidence is of {len(evidence.after)} requests")
    known = {judge.name: judge.different_people for judge in record.instrument.judges}
    for judge, threshold in evidence.thresholds.items():
        people = known[judge]
        if threshold is not None and (people is None or people.threshold != threshold):
            raise ValueError(f"its evidence has another threshold of {judge} than the record")
    for run in record.attacks:
        if run.file and run.attack.label not in evidence.attacks:
            raise ValueError(f"{run.file} is not of attack {run.attack.label}")
        if run.file and evidence.attacks[run.attack.label].shows_anybody != run.attack.shows_anybody:
            raise ValueError(f"{run.file} says otherwise than the record whether {run.attack.label} can show anybody")
    return evidence


def called(item: StoredRecord) -> str:
    """A trial in a message: its protocol, method and folder."""
    return "/".join(item.path.parts[-3:] if item.record.is_measured else item.path.parts[-4:])


def differences(recorded: Sequence[Score], found: Sequence[Score], known: set[str]) -> Iterator[str]:
    """What does not match between recorded scores and those that were computed now, of known metrics.

    A metric that a record has no score of at all came later, or was left out.
    """
    theirs = {score.place: score for score in recorded if score.metric in known}
    ours = {score.place: score for score in found}
    metrics = {score.metric for score in theirs.values()}
    for place, score in theirs.items():
        again = ours.get(place)
        if again is None:
            yield f"{_what(score)} is {_shown(score)}, its evidence gives none"
        elif not dataclasses.replace(again, reason=score.reason).is_close(score, DIGITS):
            yield f"{_what(score)} is {_shown(score)}, its evidence gives {_shown(again)}"
    for place, score in ours.items():
        if place not in theirs and score.metric in metrics:
            yield f"{_what(score)} is not recorded, its evidence gives {_shown(score)}"


def _what(score: Score) -> str:
    return f"{score.metric} of {score.identity}{f' by {score.judge}' if score.judge else ''}"


def _shown(score: Score) -> str:
    counts = f" (n {score.n}, lost {score.lost_before} and {score.lost_after})"
    return ("no value" if score.value is None else f"{score.value:.6g}") + counts


def _odd_marks(item: StoredRecord, evidence: Evidence) -> Iterator[str]:
    if item.record.is_measured and is_memorised(evidence) != (MEMORISED in item.record.outcome.marks):
        yield f"its evidence {'shows' if is_memorised(evidence) else 'does not show'} that codes were {MEMORISED}"
