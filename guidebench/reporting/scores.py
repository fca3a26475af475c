"""Records as one pandas table: a row per score, failed trials included."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from guidebench.errors import BadInput

if TYPE_CHECKING:
    from guidebench.store.folders import Corrupt, Record, StoredRecord

COLUMNS = {
    "key": "SHA-256 of everything that decides the trial's numbers",
    "status": '"measured" or "failed"; a failed trial is one row without a metric',
    "protocol": "name of the protocol",
    "protocol_digest": "SHA-256 of what the protocol measures; rows of different digests never share a table column",
    "testbed": "name of the testbed",
    "conventions": '"corrected" or "published"',
    "manifest": "digest of the photo set",
    "numerics": "version of guidebench's numerics, as text",
    "weights_version": "of the networks that came with the testbed, as text; missing where nobody numbers them",
    "weights_digest": "SHA-256 of the digests of all networks; rows of different weights never share a table column",
    "method": "registered name of the method",
    "label": "name with overridden fields, as in tables",
    "source_digest": "SHA-256 of the file that defines the method",
    "fields": "all hyper-parameters, as JSON text",
    "preset": "whether the method's preset for this testbed was used",
    "floor": "whether this is a floor or ceiling row: nothing, scramble",
    "training_seen": "False for a checkpoint that other code unlearned",
    "identity": "who was forgotten",
    "seed": "repetition",
    "after_request": "place in the scenario after which was measured; 0 with a single request",
    "metric": "name of the metric; missing for failed trials",
    "judge": "name of the recogniser; missing for metrics without one",
    "value": "the measurement; missing, never zero, where there is none",
    "reason": "why there is no value, or why the trial failed",
    "n": "pairs or samples that the value was computed from",
    "lost_before": "pairs in which no face was found before unlearning",
    "lost_after": "pairs in which a face was found before, none after",
    "strangers_mean": "mean of the judge's cosine of different people",
    "strangers_std": "its standard deviation",
    "seconds_unlearn": "seconds in the method",
    "seconds_evaluate": "seconds of rendering and judging",
    "seconds_total": "seconds of the trial",
    "steps": "progress reports of the method",
    "trainable": "parameters that the method left changed",
    "peak_memory_bytes": "most memory during unlearning, see docs/records.md; missing where it cannot be known",
    "device": "what it ran on, in words",
    "guidebench": "version that wrote the record",
    "commit": "commit of the checkout; missing outside one",
    "created": "UTC, ISO 8601",
    "attempts": "earlier attempts that failed",
    "path": "folder of the record",
}
_TYPES = {
    "value": "Float64",
    "strangers_mean": "Float64",
    "strangers_std": "Float64",
    "seconds_unlearn": "Float64",
    "seconds_evaluate": "Float64",
    "seconds_total": "Float64",
    "peak_memory_bytes": "Int64",
    "preset": "bool",
    "floor": "bool",
    "training_seen": "bool",
    **dict.fromkeys(
        ("seed", "after_request", "n", "lost_before", "lost_after", "steps", "trainable", "attempts"), "int"
    ),
}


@dataclass(frozen=True)
class Loaded:
    """What was found in a directory."""

    frame: pd.DataFrame  # one row per score, columns as in COLUMNS
    records: list[StoredRecord]
    corrupt: list[Corrupt]  # left out, and named on stderr


def load(directory: str | Path) -> pd.DataFrame:
    """All scores below a directory, one row each, with the columns of `COLUMNS`.

    Values are nullable floats: pandas' `mean` leaves missing ones out. Corrupt records are named on stderr and left
    out. Raises BadInput if there is no readable record.
    """
    return read(directory).frame


def read(directory: str | Path) -> Loaded:
    """Scores, records, and the record folders that cannot be read; the latter are named on stderr.

    Raises BadInput if there is no readable record.
    """
    from guidebench.store import folders

    records, corrupt = folders.scan(directory)
    for item in corrupt:
        print(f"left out a corrupt record: {item.path}: {item.reason}", file=sys.stderr)
    if not records:
        raise BadInput(
            f"none of the {len(corrupt)} records in {directory} can be read; delete their folders and run "
            f"`guidebench run --out {directory} …` again: it measures what is absent"
        )
    return Loaded(from_records(records), records, corrupt)


def from_records(records: Iterable[StoredRecord]) -> pd.DataFrame:
    """One row per score of these records; a record without scores is one row without a metric.

    Scores over several trials (`guidebench.metric.CrossMetric`) are computed here, from the evidence of these records.
    """
    records = list(records)
    across = cross_scores(records)
    rows = [row for stored, scores in zip(records, across, strict=True) for row in _rows(stored, scores)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(_TYPES)


def cross_scores(records: Sequence[StoredRecord]) -> list[list[dict[str, Any]]]:
    """For each record its scores over all identities that the same method forgot under the same seed.

    A record whose evidence cannot be read gets null with the reason, and the others are compared without it: their n
    says with how many pairs. Where a protocol forgets one identity only there is nothing to compare and no score.
    """
    from guidebench.evidence import Afterwards
    from guidebench.metric import Score
    from guidebench.metrics import CROSS_METRICS
    from guidebench.store.evidence_files import UnreadableEvidence, load_faces_after

    found: list[list[dict[str, Any]]] = [[] for _ in records]
    for company in _companies([stored.record for stored in records]):
        everybody, unreadable = [], {}
        for identity, place in company.items():
            try:
                everybody.append(Afterwards(identity, load_faces_after(Path(records[place].path) / "evidence.npz")))
            except UnreadableEvidence as error:
                unreadable[identity] = f"its evidence cannot be read: {error}"
        for metric in CROSS_METRICS.values():
            scores = list(metric.compute(everybody))
            for identity, reason in unreadable.items():
                judges = records[company[identity]].record.judges if metric.judged else [None]
                scores += [Score(metric.name, judge, identity, None, reason) for judge in judges]
            for score in scores:
                found[company[score.identity]].append(dataclasses.asdict(score))
    return found


def _companies(records: Sequence[Record]) -> list[dict[str, int]]:
    """Identity -> place in ``records``, for each set of measured trials that agree in all but the identity."""
    companies: dict[str, dict[str, int]] = defaultdict(dict)
    for place, record in enumerate(records):
        if record.status == "measured":
            shared = [record.protocol_digest, record.testbed, record.manifest, record.digests, record.seed]
            method = [record.label, record.source_digest, record.fields, record.versions.get("numerics")]
            companies[json.dumps([*shared, *method], sort_keys=True)][record.identity] = place
    return [
        company
        for company in companies.values()
        if len(company) > 1 or any(records[place].protocol.get("identities", 1) > 1 for place in company.values())
    ]


def _rows(stored: StoredRecord, across: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    record = stored.record
    trial = {
        **{name: getattr(record, name) for name in COLUMNS if hasattr(record, name)},
        "protocol": str(record.protocol.get("name")),
        "numerics": str(record.versions.get("numerics", "")),
        "fields": json.dumps(record.fields, sort_keys=True),
        "after_request": 0,
        "n": 0,
        "lost_before": 0,
        "lost_after": 0,
        **{f"seconds_{name}": record.seconds.get(name) for name in ("unlearn", "evaluate", "total")},
        "guidebench": record.versions.get("guidebench"),
        "attempts": len(record.attempts),
        "path": str(stored.path),
    }
    scores = [*record.scores, *across]
    if not scores:
        return [trial]
    return [trial | _of_strangers(record.strangers.get(score["judge"])) | dict(score) for score in scores]


def _of_strangers(strangers: Sequence[float] | None) -> dict[str, float]:
    return dict(zip(("strangers_mean", "strangers_std"), strangers, strict=True)) if strangers else {}
