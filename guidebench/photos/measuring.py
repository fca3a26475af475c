"""Computes the statistics of real photographs that ΔFID_real needs, once, with a description of what they are of.

`guidebench.photos.real_images` defines the file format. Tables repeat the description, which names the photographs,
their size, and the digests of the network's weights and of the photographs' contents.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from guidebench import digest, images, places
from guidebench.environment import resolve_device
from guidebench.errors import BadInput
from guidebench.evidence import FrechetStatistics
from guidebench.files import written_aside
from guidebench.metrics.frechet import fit
from guidebench.photos import endings, real_images
from guidebench.testbed import FeatureSource

_log = logging.getLogger(__name__)

INCEPTION = "fid-inception"  # its id in `guidebench.assets.catalogue`
TARGETS = {  # by testbed: asset to install the statistics as, and pixels per side to which photographs are resized
    "eg3d-ffhq": ("ffhq-real", 512),
    "stylegan2-ffhq": ("ffhq-1024-real", 1024),
    "eg3d-afhq": ("afhq-real", 512),
}
_BATCH = 32  # photographs per forward pass
_PART = 32 * _BATCH  # photographs whose features are kept in one file until all are measured; one line of progress each


def make(
    folder: Path | None,
    features: Path | None,
    *,
    count: int | None,
    title: str | None,
    out: Path | None,
    device: str,
    testbed: str,
) -> str:
    """Writes statistics of the photographs in a folder, or of a matrix of features, to ``out``; None: installs them.

    Returns what was done, in one line. testbed: for whose generator, one of TARGETS. count: how many photographs, None:
    all. title: for footnotes, None: the name of the folder or file. Raises BadInput, and MissingAsset without the
    weights of the feature extractor.
    """
    from guidebench.assets import placing

    if (folder is None) == (features is None):
        raise BadInput("give either a FOLDER of photographs or --features FILE.npy")
    if features is not None and count is not None:
        raise BadInput(
            "--count picks photographs from a FOLDER; leave it out with --features, which are used as they are"
        )
    kept = None
    asset, resolution = TARGETS[testbed]
    if folder is not None:
        statistics, description, kept = _measured(folder, count, title or folder.resolve().name, device, resolution)
    else:
        assert features is not None
        statistics, description = _given(features, title or features.name)
    with tempfile.TemporaryDirectory() as aside:
        path = out or Path(aside) / "statistics.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as stream:  # numpy would add an ending to a name
            real_images.write(stream, statistics, description)
        done = f"wrote {path}" if out else placing.add(path, as_id=asset).line
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    return f"{done}; {statistics.count:,} photographs ({description})"


def photographs(folder: Path, count: int | None = None) -> list[Path]:
    """Photograph files anywhere below ``folder``: all, or the first ``count`` by SHA-256 of their names.

    Names are relative to the folder, with forward slashes, so the order of files on disk does not matter. Raises
    BadInput if there are fewer than ``count``, or fewer than two.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; give the folder of the real photographs")
    paths = endings.files_below(folder)
    found = endings.photographs(paths, folder)
    endings.tell_what_is_passed_over(set(paths) - set(found), folder)
    needed = max(2, count or 0)
    if len(found) < needed:
        raise BadInput(
            f"{folder} holds {len(found)} photographs, {needed} are needed; give another folder or a smaller --count"
        )
    found.sort(key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    return found[:count]


def of_photographs(
    files: Sequence[Path],
    source: FeatureSource,
    *,
    device: torch.device | str = "cpu",
    resolution: int,
    kept: Path | None = None,
) -> tuple[FrechetStatistics, str]:
    """Statistics of square photographs, resized to ``resolution``, and the digest of their contents in any order.

    kept: a folder, for this feature extractor and device, that takes features as they are computed, so that the same
    call after an interruption resumes. Raises BadInput, naming the file, if one cannot be used.
    """
    contents = [digest.of_file(path) for path in files]
    return fit(_features(files, contents, source, device, resolution, kept)), digest.of_data(sorted(contents))


def _measured(
    folder: Path, count: int | None, title: str, device: str, resolution: int
) -> tuple[FrechetStatistics, str, Path]:
    """Statistics, their description, and the folder of features that can be removed once they are written."""
    from guidebench import assets
    from guidebench.networks import inception

    files = photographs(folder, count)
    where = resolve_device(device)
    source = inception.feature_source(assets.find(INCEPTION), device=where)
    weights = assets.digest(INCEPTION)[:12]
    about = [str(folder.resolve()), count, weights, str(where), resolution]
    kept = places.cache_folder() / "statistics" / digest.of_data(about)[:16]
    statistics, contents = of_photographs(files, source, device=where, resolution=resolution, kept=kept)
    size = f"resized to {resolution} px (bicubic)"
    return statistics, f"{title}, {size}; {source.description}, weights {weights}; contents {contents[:12]}", kept


def _given(features: Path, title: str) -> tuple[FrechetStatistics, str]:
    from guidebench.networks import inception

    statistics, _ = real_images.read(features, dim=inception.DIM)
    return statistics, f"{title}, given as features {digest.of_file(features)[:12]}; size and crop unknown"


def _features(
    files: Sequence[Path],
    contents: Sequence[str],
    source: FeatureSource,
    device: torch.device | str,
    resolution: int,
    kept: Path | None,
) -> Iterator[np.ndarray]:
    """Features (n, d) of part after part of the files; a part that is kept from an earlier call is not computed again.

    contents: digests of the files; they name the part's file, so that one whose photographs have changed is not taken.
    """
    for start in range(0, len(files), _PART):
        part = slice(start, start + _PART)
        path = kept / f"{digest.of_data([resolution, *contents[part]])[:32]}.npy" if kept else None
        if path and path.is_file():
            features = np.load(path, allow_pickle=False)
        else:
            features = np.concatenate(list(_computed(files[part], source, device, resolution)))
            if path:
                with written_aside(path, "wb") as stream:
                    np.save(stream, features, allow_pickle=False)
        _log.info("%s of %s photographs", f"{min(start + _PART, len(files)):,}", f"{len(files):,}")
        yield features


def _computed(
    files: Sequence[Path], source: FeatureSource, device: torch.device | str, resolution: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(files), _BATCH):
        batch = [images.load(path, resolution, must_be_square=True) for path in files[start : start + _BATCH]]
        yield source.rows(torch.stack(batch).to(device)).cpu().numpy()
