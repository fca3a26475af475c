"""`guidebench rescore DIR`: metrics recomputed from recorded evidence, so that a later metric needs no new run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from guidebench import registry
from guidebench.commands import common
from guidebench.errors import BadInput, in_one_line
from guidebench.evidence import Evidence
from guidebench.metric import Score, TrialMetric, check_scores
from guidebench.metrics import METRICS, score_all
from guidebench.metrics.attacks import of_attack
from guidebench.store import folders
from guidebench.store.evidence_files import UnreadableEvidence, load_evidence
from guidebench.store.folders import StoredRecord

_log = logging.getLogger(__name__)


def rescore_all(directory: str | Path, metrics: Sequence[TrialMetric] = ()) -> tuple[int, int]:
    """Rewrites the scores of every measured record below ``directory``. Returns how many changed, of how many.

    Trials that failed at a later request have scores of those before, which are rewritten, too. metrics: further ones,
    beside those that ship; recorded scores of others stay. What cannot be computed is logged and its recorded scores
    stay. Raises BadInput if nothing can be scored, StorageError if a record cannot be written.
    """
    from guidebench.reporting.scores import read

    changed = scored = 0
    measured = [item for item in read(directory).records if item.record.is_measured or item.record.outcome.scores]
    for item in measured:
        has_changed = _rescore(item, metrics)
        if has_changed is not None:
            scored += 1
            changed += has_changed
    if not scored:
        raise BadInput(
            f"none of the {len(measured)} measured trials in {directory} can be scored; `guidebench run --fresh` with "
            "the same options measures them again"
        )
    return changed, scored


def _rescore(item: StoredRecord, metrics: Sequence[TrialMetric]) -> bool | None:
    """Whether the scores of a record changed; None: none can be recomputed. Again if it is replaced meanwhile."""
    scores = _scores(item, metrics)
    if scores is None:
        return None
    recorded = item.record.outcome
    outcome = dataclasses.replace(recorded, scores=tuple(_kept_where_equal(scores, recorded.scores)))
    if outcome == recorded:
        return False
    try:
        now = folders.read(item.path)
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read any more: %s", item.path, error)
        return None
    if now.digest != item.record.digest:  # by a run that attacked it, say
        return _rescore(dataclasses.replace(item, record=now), metrics)
    folders.rewrite_record(dataclasses.replace(now, outcome=outcome), item.path)
    return True


def _kept_where_equal(scores: Sequence[Score], recorded: Sequence[Score]) -> list[Score]:
    """Scores, as recorded where they differ by rounding alone: sums depend on the number of threads and the machine."""
    known = {score.place: score for score in recorded}
    return [
        known[score.place] if score.place in known and score.is_close(known[score.place]) else score for score in scores
    ]


def _scores(item: StoredRecord, metrics: Sequence[TrialMetric]) -> list[Score] | None:
    """The scores of a record: recomputed, and as recorded where that is not possible; None: none can be recomputed."""
    try:
        evidence = load_evidence(item.path / "evidence.npz", item.record)
    except UnreadableEvidence as error:
        _log.warning("%s/evidence.npz cannot be read, its scores stay: %s", item.path, error)
        return None
    if tuple(subject.identity for subject in evidence.forgotten) != item.record.spec.people:
        _log.warning("%s/evidence.npz is of %s, its scores stay", item.path, evidence.group)
        return None
    try:
        found = score_all(evidence)
    except Exception as error:  # whatever odd evidence may lead to
        _log.warning("%s cannot be scored, its scores stay: %s", item.path, in_one_line(error))
        return None
    computed = {*METRICS, *(metric.name for label in evidence.attacks for metric in of_attack(label))}
    for metric in metrics:
        try:
            found += _of_user(metric, evidence)
            computed.add(metric.name)
        except Exception as error:  # any code may be in somebody's file
            raised = in_one_line(error)
            _log.warning("%s: metric '%s' raised %s; what was recorded stays", item.path, metric.name, raised)
    return [*found, *(score for score in item.record.outcome.scores if score.metric not in computed)]


def _of_user(metric: TrialMetric, evidence: Evidence) -> list[Score]:
    """The scores of a metric that did not come with guidebench; raises what it raises, ValueError on other things."""
    scores = list(metric.compute(evidence))
    for score in scores:
        if not isinstance(score, Score) or score.metric != metric.name:
            raise ValueError(f"{score!r:.80} is not a score of {metric.name}")
        msgspec.json.encode(score)  # what cannot be recorded is noticed here, and costs this metric only
    check_scores(scores, requests=len(evidence.after))
    return scores


@click.command()
@common.records
@common.metrics
def rescore(directory: Path, metrics: tuple[str, ...]) -> None:
    """Recompute the metrics of recorded trials, without a new run.

    They are computed from the evidence of every record below DIRECTORY.
    """
    changed, total = rescore_all(directory, registry.trial_metrics(metrics))
    click.echo(f"{total} records scored from their evidence, {changed} changed")
