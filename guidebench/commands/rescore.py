"""Computes metrics anew from recorded evidence, so that a later metric needs no new run."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

from guidebench.metrics import score_all
from guidebench.store.evidence_files import load_evidence
from guidebench.store.folders import scan, scores_to_data, storage_errors


def rescore_all(directory: str | Path) -> tuple[int, int]:
    """Rewrites the scores of every measured record below ``directory``. Returns how many changed, of how many.

    Evidence that cannot be read is named on stderr and its record left as it is.

    Raises BadInput if there are no records, StorageError if one cannot be written.
    """
    stored, corrupt = scan(directory)
    for broken in corrupt:
        sys.stderr.write(f"guidebench: {broken.path} cannot be read and is left out: {broken.reason}\n")
    measured = [item for item in stored if item.record.status == "measured"]
    changed = unreadable = 0
    for item in measured:
        try:
            scores = scores_to_data(score_all(load_evidence(item.path / "evidence.npz")))
            record = dataclasses.replace(item.record, scores=scores)
            text = record.to_json()
        except Exception as error:  # whatever a damaged file may lead to
            sys.stderr.write(f"guidebench: {item.path}/evidence.npz cannot be read, its scores stay: {error}\n")
            unreadable += 1
            continue
        if scores != list(item.record.scores):
            changed += 1
            with storage_errors(item.path):
                aside = item.path / "record.json.new"
                aside.write_text(text, encoding="utf-8")
                os.replace(aside, item.path / "record.json")
    return changed, len(measured) - unreadable
