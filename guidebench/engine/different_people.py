"""How alike a judge finds two different people: at or below that, a person counts as forgotten.

Measured on the first photographs of a photo set's people, once for each set and judge; the result lies in the cache.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from guidebench import digest
from guidebench.images import quantise
from guidebench.testbed import Faces, Judges, Testbed, default_cache

MOST_PEOPLE = 40  # 780 pairs
FEWEST_PEOPLE = 10  # 45 pairs; with fewer there is no such line in a table
_VERSION = 1  # raised when the same photographs and weights give other numbers


@dataclass(frozen=True)
class DifferentPeople:
    """What is known about the judges' similarities of different people."""

    judges: Mapping[str, tuple[float, float]]  # judge -> mean and standard deviation (ddof 1) of the cosine
    pairs: Mapping[str, int] = field(default_factory=dict)  # judge -> how many pairs that is; empty: the testbed's own

    @property
    def note(self) -> str:
        """For the record: the number of pairs, or ""."""
        return ", ".join(f"{judge}: {count} pairs" for judge, count in self.pairs.items())


def pair_statistics(vectors: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (ddof 1) of the cosine over all pairs of rows.

    vectors: (n, d) unit rows, one a person, n ≥ 3.
    """
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    values = cosines[np.triu_indices(len(vectors), k=1)]
    return float(values.mean()), float(values.std(ddof=1))


def measure_strangers(faces: Faces, source: str, judges: Judges, testbed: Testbed) -> DifferentPeople:
    """Mean and spread for each judge that finds enough faces, from up to MOST_PEOPLE people of a photo set.

    Read from the cache if these photographs were seen by these judges before.
    """
    names = list(judges.recognizers)
    count = min(faces.sources().get(source, 0), MOST_PEOPLE)
    if count < FEWEST_PEOPLE:
        return DifferentPeople({})
    key = [_VERSION, testbed.conventions, source, faces.manifest(source), count, names, dict(judges.digests)]
    path = (testbed.cache or default_cache()) / "different-people" / f"{digest.of_data(key)}.json"
    known = _read(path)
    if known is None:
        known = _measure(faces, source, judges, testbed.device, count)
        _write(known, path)
    return known


@torch.no_grad()
def _measure(faces: Faces, source: str, judges: Judges, device: torch.device, count: int) -> DifferentPeople:
    rows: dict[str, list[np.ndarray]] = {judge: [] for judge in judges.recognizers}
    for index in range(count):
        photo = quantise(faces.people(source, [index], photos=1)[0].photos[:1].to(device))
        for judge, recognizer in judges.recognizers.items():
            embeddings = recognizer.embed(photo)
            if bool(embeddings.found[0]):
                rows[judge].append(embeddings.vectors[0].cpu().numpy())
    enough = {judge: np.stack(found) for judge, found in rows.items() if len(found) >= FEWEST_PEOPLE}
    return DifferentPeople(
        {judge: pair_statistics(vectors) for judge, vectors in enough.items()},
        {judge: len(vectors) * (len(vectors) - 1) // 2 for judge, vectors in enough.items()},
    )


def _read(path: Path) -> DifferentPeople | None:
    """What `_write` wrote; None if there is nothing, or nothing that can be read."""
    try:
        stored = json.loads(path.read_text())
        judges = {str(judge): (float(mean), float(std)) for judge, (mean, std, _) in stored.items()}
        return DifferentPeople(judges, {str(judge): int(pairs) for judge, (_, _, pairs) in stored.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _write(known: DifferentPeople, path: Path) -> None:
    """Writes aside and renames; a cache that cannot be written costs measuring again and nothing else."""
    stored = {judge: [*pair, known.pairs[judge]] for judge, pair in known.judges.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent)
        with open(handle, "w") as stream:
            json.dump(stored, stream)
        os.replace(aside, path)
    except OSError:
        return
