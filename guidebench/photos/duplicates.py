"""Photographs of one person that are nearly the same picture: a probe that equals the forgotten one probes nothing.

Two pictures are alike if the brightness differences between neighbouring cells of a 32 x 32 grid correlate by more
than 0.75. Of one of GUIDE's five crops and its copies, recompressed, resized, a quarter brighter or moved by 2 %,
these correlate by 0.8 to 1; of different ones of the five, which show one person, by 0.5 at most.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from PIL import Image

_log = logging.getLogger(__name__)

_GRID = 32  # cells per side
_ALIKE = 0.75
_FLAT = 1.0  # grey levels; a picture whose cells differ by less shows nothing

# Pairs of images of CelebA-HQ that show one photograph twice, as its users have reported them.
KNOWN_PAIRS = (
    (234, 235),
    (3329, 3330),
    (5162, 5163),
    (6770, 6771),
    (7384, 7385),
    (7561, 7562),
    (12444, 12445),
    (12885, 12886),
    (13825, 13826),
    (15506, 15507),
    (19199, 19200),
    (20134, 20135),
    (24646, 24647),
)


def known_pairs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """The pairs of `KNOWN_PAIRS` that are both among these indices of CelebA-HQ.

    >>> known_pairs([7, 235, 234, 3329])
    [(234, 235)]
    """
    return [pair for pair in KNOWN_PAIRS if set(pair) <= set(indices)]


def alike(pictures: Sequence[Image.Image]) -> list[tuple[int, int]]:
    """The pairs of RGB pictures, by their places, that are nearly the same picture."""
    signatures = [_signature(picture) for picture in pictures]
    return [
        (first, second)
        for (first, one), (second, other) in combinations(enumerate(signatures), 2)
        if one is not None and other is not None and float(one @ other) > _ALIKE
    ]


def warn(person: str, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> None:
    """Logs a warning of each pair of a person's photographs, by their places among ``names``."""
    for first, second in pairs:
        _log.warning(
            "%s and %s of %s are nearly the same picture: as probes they measure ID twice; remove one if you can",
            names[first],
            names[second],
            person,
        )


def _signature(picture: Image.Image) -> np.ndarray | None:
    """Brightness differences of neighbouring cells, a unit vector; None for a picture that is flat."""
    grey = np.asarray(picture.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX), dtype=np.float64)
    if np.ptp(grey) < _FLAT:
        return None
    steps = np.concatenate([difference.ravel() for difference in _differences(grey)])
    unit: np.ndarray = steps / np.linalg.norm(steps)
    return unit


def _differences(grey: np.ndarray) -> Iterator[np.ndarray]:
    yield np.diff(grey, axis=0)
    yield np.diff(grey, axis=1)
