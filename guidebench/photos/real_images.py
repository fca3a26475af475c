"""FID features of real photographs, read from a file of features or of their mean and covariance.

A file of features is one array (N, d), as ``.npy`` or under the name ``features`` in an ``.npz``. A file of statistics
is an ``.npz`` with ``mean`` (d,), ``covariance`` (d, d, ddof 1) and ``count``. Either ``.npz`` may hold a text
``description`` that tables repeat: how many photographs, of which size and crop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from guidebench import archives
from guidebench.archives import Arrays, BadArchive
from guidebench.errors import BadInput, in_one_line
from guidebench.evidence import FrechetStatistics
from guidebench.files import open_regular
from guidebench.text import one_line

_HOLDS = "an array (N, d) of features, or mean, covariance and count"
_NO_DESCRIPTION = "source and crop not stated in the file"
_NAMES = ("features", "mean", "covariance", "count", "description")
_ZIP, _NUMPY = b"PK\x03\x04", b"\x93NUM"  # how an .npz and a .npy file begin
_UNPACKED_FLOOR, _UNPACKED_PER_BYTE = 2**26, 20  # bytes that a file may unpack to: for any file, and per byte of it
_MOST_PHOTOGRAPHS = 10**9
_LONGEST_DESCRIPTION = 500  # characters; one that `guidebench data statistics` writes has about 200
_LISTED, _LONGEST_NAME = 6, 60  # names of arrays that an error lists, and characters of each
_ROUNDING = 1e-6  # of a covariance that was computed in float32, relative to its trace


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
        names = ", ".join(name[:_LONGEST_NAME] for name in sorted(arrays)[:_LISTED])
        raise BadInput(f"{path} holds {names or 'nothing'}; give {_HOLDS}")
    description = _text(path, arrays["description"]) if "description" in arrays else _NO_DESCRIPTION
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


def _arrays(path: str | Path) -> Mapping[str, Any]:
    """The arrays of a file that are used, by name; of those with other names None."""
    try:
        with open_regular(path) as stream:
            start = stream.read(len(_ZIP))
            stream.seek(0)
            if start == _NUMPY:
                return {"features": archives.array(stream, os.fstat(stream.fileno()).st_size)}
        if start == _ZIP:
            return _of_archive(path)
        reason = "it is neither a .npy nor an .npz file"
    except OSError as error:
        reason = error.strerror or str(error)
    except MemoryError:
        reason = "it does not fit into memory"
    except BadArchive as error:
        reason = f"it {error}"
    except Exception as error:  # numpy raises errors of its own for every kind of damage
        reason = in_one_line(error)[:200]
    raise BadInput(f"{path} cannot be read as numpy arrays ({reason}); give {_HOLDS}")


def _of_archive(path: str | Path) -> Mapping[str, Any]:
    with archives.opened(path) as archive:
        arrays = Arrays(archive)
        used = [name for name in _NAMES if name in arrays]
        limit = _UNPACKED_FLOOR + _UNPACKED_PER_BYTE * Path(path).stat().st_size
        archives.check_amount([arrays.unpacked(name) for name in used], most_files=len(_NAMES), most_bytes=limit)
        return {name: arrays[name] if name in used else None for name in arrays}


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
    number, matrix = int(count.reshape(())), covariance.astype(np.float64)
    if not 2 <= number <= _MOST_PHOTOGRAPHS:
        raise BadInput(f"{path} says that it is of {number:,} photographs; make the file again")
    if not _is_covariance(matrix):
        raise BadInput(
            f"{path} holds a covariance that no numbers have: not symmetric, or negative; make the file again"
        )
    return FrechetStatistics(mean.astype(np.float64), matrix, number)


def _is_covariance(matrix: np.ndarray) -> bool:
    """Whether a matrix (d, d) is symmetric and, up to the rounding of float32, positive semidefinite."""
    scale = float(np.abs(matrix).max())
    with np.errstate(over="ignore"):
        total = float(np.trace(matrix))
    if not math.isfinite(total) or not np.allclose(matrix, matrix.T, rtol=0, atol=_ROUNDING * scale):
        return False
    lifted = matrix + np.eye(len(matrix)) * (_ROUNDING * total + np.finfo(np.float64).tiny)
    try:
        np.linalg.cholesky(lifted)
    except np.linalg.LinAlgError:
        return False
    return True


def _text(path: str | Path, stored: np.ndarray) -> str:
    """A description, in characters that a table may hold."""
    if stored.dtype.kind != "U" or stored.size != 1:
        raise BadInput(
            f"{path} holds a description {stored.dtype} {stored.shape} instead of a text; make the file again"
        )
    text = one_line(str(stored.reshape(())))
    return text if len(text) <= _LONGEST_DESCRIPTION else f"{text[:_LONGEST_DESCRIPTION]}…"


def _check_finite(path: str | Path, *arrays: np.ndarray) -> None:
    if any(array.dtype.kind != "f" or not np.isfinite(array).all() for array in arrays):
        raise BadInput(f"{path} holds numbers that are not finite; make the file again")
