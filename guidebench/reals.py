"""Statistics of real photographs for ΔFID_real: computed once, described, and kept as a file.

The file is an npz archive: ``mean`` (d,) and ``covariance`` (d, d) in float64, ``count``, ``description`` for the
footnote of tables, ``extractor`` and ``files``, the SHA-256 of the network's weights and of the list of file contents. A
plain matrix of features (n, d), as GUIDE's authors keep them, is read as well.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from guidebench import digest, images
from guidebench.errors import BadInput
from guidebench.metric import FrechetStatistics
from guidebench.metrics.frechet import fit
from guidebench.testbed import FeatureSource

RESOLUTION = 512  # pixels a side, as EG3D draws; photographs of another size are resized to it
_BATCH = 32  # photographs that are featurised at once
_SAY_EVERY = 1000  # photographs between two lines of progress
_ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}


def photographs(folder: Path, count: int | None = None) -> list[Path]:
    """Photograph files anywhere below ``folder``; of more than ``count``, those whose names have the first SHA-256.

    Names are relative to the folder, with forward slashes, so that no order of files matters. Raises BadInput if there
    are fewer than asked for, or fewer than two.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder; give the folder of the real photographs")
    found = [path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file()]
    if len(found) < max(2, count or 0):
        raise BadInput(
            f"{folder} holds {len(found)} photographs, {max(2, count or 0)} are needed; give another folder or --count"
        )
    found.sort(key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    return found[:count]


def of_photographs(
    files: Sequence[Path], source: FeatureSource, device: torch.device | str = "cpu", resolution: int = RESOLUTION
) -> tuple[FrechetStatistics, str]:
    """Statistics of square photographs, resized to ``resolution``, and the digest of their contents.

    The order of the files changes neither by more than rounding. Raises BadInput, naming the file, if one cannot be
    taken.
    """
    contents = digest.of_data(sorted(digest.of_file(path) for path in files))
    return fit(_features(files, source, device, resolution)), contents


def of_features(path: Path) -> tuple[FrechetStatistics, str]:
    """Statistics of a file that holds a matrix of features (n, d), and the digest of the file.

    Raises BadInput, naming the file, if it holds anything else.
    """
    content = _load(path)
    if not isinstance(content, np.ndarray):
        raise BadInput(f"{path} holds an archive, not one matrix of features; `guidebench assets add` takes statistics")
    return _statistics(path, content), digest.of_file(path)


def write(path: Path, statistics: FrechetStatistics, *, description: str, extractor: str, files: str) -> None:
    """Writes the npz file that `read` reads. extractor, files: SHA-256; extractor "" if it is not known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as stream:
        np.savez(
            stream,
            mean=statistics.mean,
            covariance=statistics.covariance,
            count=np.int64(statistics.count),
            description=np.str_(description),
            extractor=np.str_(extractor),
            files=np.str_(files),
        )


def read(path: Path, *, dim: int, extractor: str) -> tuple[FrechetStatistics, str]:
    """Statistics of ``dim`` features and their description, from a file that `write` wrote or a matrix of features.

    extractor: SHA-256 of the weights that the statistics are compared with. Raises BadInput if the file holds
    anything else, or statistics that other weights made.
    """
    content = _load(path)
    if isinstance(content, np.ndarray):
        statistics = _statistics(path, content)
        description = f"{statistics.count:,} feature vectors of unknown photographs, SHA-256 {digest.of_file(path)[:12]}"
    else:
        try:
            statistics = FrechetStatistics(
                np.asarray(content["mean"], np.float64),
                np.asarray(content["covariance"], np.float64),
                int(content["count"]),
            )
            description, made_with = str(content["description"]), str(content["extractor"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unfit(path, f"an archive without usable statistics ({error})") from None
        if made_with and made_with != extractor:
            raise BadInput(
                f"the statistics of {path} were made with other weights of the feature extractor ({made_with[:12]}…, not "
                f"{extractor[:12]}…); `guidebench data statistics` makes them anew"
            )
    shapes = statistics.mean.shape, statistics.covariance.shape
    if shapes != ((dim,), (dim, dim)):
        raise _unfit(path, f"statistics of shapes {shapes[0]} and {shapes[1]} instead of ({dim},) and ({dim}, {dim})")
    if not (np.isfinite(statistics.mean).all() and np.isfinite(statistics.covariance).all() and statistics.count > 1):
        raise _unfit(path, "statistics that are not finite or of fewer than two photographs")
    return statistics, description


def describe(title: str, statistics: FrechetStatistics, files: str, *, resolution: int | None = RESOLUTION) -> str:
    """What a table's footnote says. title: which photographs. resolution: None where only features are known."""
    size = f", resized to {resolution} px (bicubic)" if resolution else ", as features"
    return f"{statistics.count:,} photographs, {title}{size}, SHA-256 {files[:12]}"


def _features(
    files: Sequence[Path], source: FeatureSource, device: torch.device | str, resolution: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(files), _BATCH):
        batch = [images.load(path, resolution, must_be_square=True) for path in files[start : start + _BATCH]]
        yield source.features(torch.stack(batch).to(device))
        done = start + len(batch)
        if done // _SAY_EVERY > start // _SAY_EVERY:
            sys.stderr.write(f"{done:,} of {len(files):,} photographs\n")


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """An array, or the arrays of an archive; nothing in the file is executed."""
    try:
        with open(path, "rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise BadInput(f"cannot read {path}: {error}; give a .npy or .npz file of numbers") from None


def _statistics(path: Path, matrix: np.ndarray) -> FrechetStatistics:
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or len(matrix) < 2 or not np.isfinite(matrix).all():
        raise _unfit(path, f"{matrix.dtype} of shape {matrix.shape}, not two or more rows of finite features")
    return FrechetStatistics.of(matrix)


def _unfit(path: Path, what: str) -> BadInput:
    return BadInput(f"{path} holds {what}; `guidebench data statistics` makes a file that fits")
