"""Computes metrics anew from recorded evidence, so that a later metric needs no new run."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from guidebench.metrics import score_all
from guidebench.store import load_evidence, scan, scores_to_data, storage_errors


def rescore_all(directory: str | Path) -> tuple[int, int]:
    """Rewrites the scores of every measured record below ``directory``. Returns how many changed, of how many.

    Raises BadInput if there are no records, StorageError if one cannot be written.
    """
    stored, _ = scan(directory)
    measured = [item for item in stored if item.record.status == "measured"]
    changed = 0
    for item in measured:
        scores = scores_to_data(score_all(load_evidence(item.path / "evidence.npz")))
        if scores != list(item.record.scores):
            changed += 1
            record = dataclasses.replace(item.record, scores=scores)
            with storage_errors(item.path):
                aside = item.path / "record.json.new"
                aside.write_text(record.to_json(), encoding="utf-8")
                os.replace(aside, item.path / "record.json")
    return changed, len(measured)
