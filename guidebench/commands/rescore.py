"""`guidebench rescore DIR`: metrics recomputed from recorded evidence, so that a later metric needs no new run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import click

from guidebench import files, registry
from guidebench.commands import common
from guidebench.metric import Score, TrialMetric
from guidebench.metrics import METRICS, score_all
from guidebench.store.evidence_files import load_evidence
from guidebench.store.folders import scan, storage_errors
from guidebench.store.record import Record

_log = logging.getLogger(__name__)


def rescore_all(directory: str | Path, metrics: Sequence[TrialMetric] = ()) -> tuple[int, int]:
    """Rewrites the scores of every measured record below ``directory``. Returns how many changed, of how many.

    metrics: further ones, beside those that ship; recorded scores of others stay. Evidence that cannot be read is
    logged and its record left as it is. Raises BadInput if there are no records, StorageError if one cannot be written.
    """
    stored, corrupt = scan(directory)
    for broken in corrupt:
        _log.warning("%s cannot be read and is left out: %s", broken.path, broken.reason)
    changed = scored = 0
    for item in stored:
        if not item.record.is_measured:
            continue
        try:
            evidence = load_evidence(item.path / "evidence.npz")
            scores = (*(found := score_all(evidence, metrics)), *_others(item.record, found))
            outcome = dataclasses.replace(item.record.outcome, scores=scores)
            text = dataclasses.replace(item.record, outcome=outcome).to_json()
        except Exception as error:  # whatever a damaged file may lead to
            _log.warning("%s/evidence.npz cannot be read, its scores stay: %s", item.path, error)
            continue
        scored += 1
        if outcome != item.record.outcome:
            changed += 1
            with storage_errors(item.path):
                files.write_text(text, item.path / "record.json")
    return changed, scored


def _others(record: Record, scores: Sequence[Score]) -> list[Score]:
    """The recorded scores of metrics that are not computed here: those of files that this command was not given."""
    computed = {score.metric for score in scores} | set(METRICS)
    return [score for score in record.outcome.scores if score.metric not in computed]


@click.command()
@common.records
@common.metrics
def rescore(directory: Path, metrics: tuple[str, ...]) -> None:
    """Recompute the metrics of recorded trials, without a new run.

    They are computed from the evidence of every record below DIRECTORY.
    """
    changed, total = rescore_all(directory, registry.trial_metrics(metrics))
    click.echo(f"{total} records scored from their evidence, {changed} changed")
