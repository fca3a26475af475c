"""How alike a judge finds two different people: at or below that, a person counts as forgotten.

Measured on the first photographs of a photo set's people, once for each set and judge, and kept in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import torch

from guidebench import digest, files, places
from guidebench.evidence import DifferentPeople
from guidebench.images import quantise
from guidebench.testbed import Faces, Judges, Testbed

MOST_PEOPLE = 40  # 780 pairs
FEWEST_PEOPLE = 10  # 45 pairs; with fewer there is no such line in a table
_VERSION = 2  # raised when the same photographs and weights give other numbers, or the file another form


def pair_statistics(vectors: np.ndarray) -> DifferentPeople:
    """Mean and standard deviation (ddof 1) of the cosine over all pairs of rows.

    vectors: (n, d) unit rows, one per person, n ≥ 3.
    """
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    values = cosines[np.triu_indices(len(vectors), k=1)]
    return DifferentPeople(float(values.mean()), float(values.std(ddof=1)), len(values))


def measure_different_people(
    faces: Faces, source: str, judges: Judges, testbed: Testbed
) -> Mapping[str, DifferentPeople]:
    """Mean and spread for each judge that finds enough faces, from up to MOST_PEOPLE people of a photo set.

    Read from the cache if these photographs were seen by these judges before.
    """
    names = list(judges.recognizers)
    count = min(faces.sources().get(source, 0), MOST_PEOPLE)
    if count < FEWEST_PEOPLE:
        return {}
    key = [_VERSION, testbed.conventions, source, faces.manifest(source), count, names, dict(judges.digests)]
    path = (testbed.cache or places.cache_folder()) / "different-people" / f"{digest.of_data(key)}.json"
    known = _read(path)
    if known is None:
        known = _measure(faces, source, judges, testbed.device, count)
        _write(known, path)
    return known


@torch.no_grad()
def _measure(
    faces: Faces, source: str, judges: Judges, device: torch.device, count: int
) -> Mapping[str, DifferentPeople]:
    rows: dict[str, list[np.ndarray]] = {judge: [] for judge in judges.recognizers}
    for index in range(count):
        photo = quantise(faces.people(source, [index], photos=1)[0].photos[:1].to(device))
        for judge, recognizer in judges.recognizers.items():
            seen = recognizer.embed(photo).numpy()
            if seen.found[0]:
                rows[judge].append(seen.vectors[0])
    return {judge: pair_statistics(np.stack(found)) for judge, found in rows.items() if len(found) >= FEWEST_PEOPLE}


def _read(path: Path) -> Mapping[str, DifferentPeople] | None:
    """What `_write` wrote; None if there is nothing, or nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, DifferentPeople])
    except (OSError, msgspec.MsgspecError):
        return None


def _write(known: Mapping[str, DifferentPeople], path: Path) -> None:
    """A cache that cannot be written costs measuring again and nothing else."""
    try:
        files.write_text(msgspec.json.encode(known).decode(), path)
    except OSError:
        return
