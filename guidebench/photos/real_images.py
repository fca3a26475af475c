"""FID features of real photographs, read from a file of features or of their mean and covariance.

A file of features is one array (N, d), as ``.npy`` or under the name ``features`` in an ``.npz``. A file of statistics
is an ``.npz`` with ``mean`` (d,), ``covariance`` (d, d, ddof 1) and ``count``. Either ``.npz`` may hold a text
``description`` that tables repeat: how many photographs, of which size and crop.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from guidebench.errors import BadInput
from guidebench.evidence import FrechetStatistics

_HOLDS = "an array (N, d) of features, or mean, covariance and count"


def read(path: str | Path, *, dim: int) -> tuple[FrechetStatistics, str]:
    """The statistics of real photographs and their description for tables; nothing in the file is executed.

    dim: d. Raises `guidebench.errors.BadInput`, naming the file, if it holds anything else.
    """
    arrays = _arrays(path)
    if "features" in arrays:
        statistics = _fitted(path, arrays["features"], dim)
    elif {"mean", "covariance", "count"} <= arrays.keys():
        statistics = _stored(path, arrays, dim)
    else:
        raise BadInput(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; give {_HOLDS}")
    description = str(arrays["description"]) if "description" in arrays else "source and crop not stated in the file"
    return statistics, f"{statistics.count:,} photographs ({description})"


def write(path: str | Path | BinaryIO, statistics: FrechetStatistics, description: str) -> None:
    """Writes a file of statistics; numpy adds ``.npz`` to a path without it."""
    np.savez(
        path,
        mean=statistics.mean,
        covariance=statistics.covariance,
        count=np.array(statistics.count),
        description=np.array(description),
    )


def _arrays(path: str | Path) -> Mapping[str, np.ndarray]:
    try:
        with open(path, "rb") as stream:
            content = np.load(stream, allow_pickle=False)
            return (
                {"features": content} if isinstance(content, np.ndarray) else {name: content[name] for name in content}
            )
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"{path} cannot be read as numpy arrays ({reason}); give {_HOLDS}") from None


def _fitted(path: str | Path, features: np.ndarray, dim: int) -> FrechetStatistics:
    if features.ndim != 2 or features.shape[1] != dim or len(features) < 2 or features.dtype.kind != "f":
        raise BadInput(
            f"{path} holds features {features.dtype} {features.shape} instead of floats (N, {dim}), N ≥ 2; give those "
            "of the testbed's own feature network"
        )
    _check_finite(path, features)
    return FrechetStatistics.of(features)


def _stored(path: str | Path, arrays: Mapping[str, np.ndarray], dim: int) -> FrechetStatistics:
    mean, covariance, count = (arrays[name] for name in ("mean", "covariance", "count"))
    if mean.shape != (dim,) or covariance.shape != (dim, dim) or count.size != 1 or count.dtype.kind not in "iu":
        raise BadInput(
            f"{path} holds mean {mean.shape}, covariance {covariance.shape} and count {count.dtype} {count.shape} "
            f"instead of ({dim},), ({dim}, {dim}) and one integer"
        )
    _check_finite(path, mean, covariance)
    return FrechetStatistics(mean.astype(np.float64), covariance.astype(np.float64), int(count.reshape(())))


def _check_finite(path: str | Path, *arrays: np.ndarray) -> None:
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in arrays):
        raise BadInput(f"{path} holds numbers that are not finite; make the file again")
