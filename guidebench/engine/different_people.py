"""How alike a judge finds two different people, and from which cosine on it takes two faces for one person.

Measured on the first photographs of a photo set's people, once for each set and judge, and kept in the cache.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import torch

from guidebench import digest, files, places
from guidebench.evidence import DifferentPeople
from guidebench.images import quantise
from guidebench.testbed import Faces, Judges, Testbed

MOST_PEOPLE = 250  # 31,125 pairs
FEWEST_PEOPLE = 10  # 45 pairs; with fewer there is no such line in a table
FEWEST_PAIRS = 20_000  # 201 people; with fewer there is no threshold: it is exceeded by one pair in 1,000
FALSE_ACCEPTS = 1e-3
_BOOTSTRAPS = 1_000
_VERSION = 3  # raised when the same photographs and weights give other numbers, or the file another form


def pair_statistics(vectors: np.ndarray) -> DifferentPeople:
    """Mean and standard deviation (ddof 1) of the cosine over all pairs of rows, and from `FEWEST_PAIRS` the threshold.

    vectors: (n, d) unit rows, one per person, n ≥ 3.
    """
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    values = cosines[np.triu_indices(len(vectors), k=1)]
    known = DifferentPeople(float(values.mean()), float(values.std(ddof=1)), len(values))
    if len(values) < FEWEST_PAIRS:
        return known
    threshold = float(np.quantile(values, 1 - FALSE_ACCEPTS))
    return dataclasses.replace(known, threshold=threshold, threshold_interval=_threshold_interval(cosines))


def _threshold_interval(cosines: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the threshold if people are drawn again, the same at every call.

    cosines: (n, n) of everybody with everybody. Pairs share people, so it is people that are drawn; two draws of one
    person are no pair of strangers.
    """
    draws, found = np.random.default_rng(0), []
    first, second = np.triu_indices(len(cosines), k=1)
    for _ in range(_BOOTSTRAPS):
        people = draws.integers(0, len(cosines), len(cosines))
        a, b = people[first], people[second]
        found.append(np.quantile(cosines[a, b][a != b], 1 - FALSE_ACCEPTS))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


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
        return msgspec.json.decode(files.read_bytes(path), type=dict[str, DifferentPeople])
    except (OSError, msgspec.MsgspecError):
        return None


def _write(known: Mapping[str, DifferentPeople], path: Path) -> None:
    """A cache that cannot be written costs measuring again and nothing else."""
    try:
        files.write_text(msgspec.json.encode(known).decode(), path)
    except OSError:
        return
