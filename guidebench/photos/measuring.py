"""Computes the statistics of real photographs that ΔFID_real needs, once, with a description of what they are of.

`guidebench.photos.real_images` defines the file format. Tables repeat the description, which names the photographs,
their size, and the digests of the network's weights and of the photographs' contents.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from guidebench import digest, images
from guidebench.environment import resolve_device
from guidebench.errors import BadInput
from guidebench.evidence import FrechetStatistics
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
_LOG_EVERY = 1000  # photographs per line of progress


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
    asset, resolution = TARGETS[testbed]
    if folder is not None:
        statistics, description = _measured(folder, count, title or folder.resolve().name, device, resolution)
    else:
        assert features is not None
        statistics, description = _given(features, title or features.name)
    with tempfile.TemporaryDirectory() as aside:
        path = out or Path(aside) / "statistics.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as stream:  # numpy would add an ending to a name
            real_images.write(stream, statistics, description)
        done = f"wrote {path}" if out else placing.add(path, as_id=asset).line
    return f"{done}; {statistics.count:,} photographs ({description})"


def photographs(folder: Path, count: int | None = None) -> list[Path]:
    """Photograph files anywhere below ``folder``: all, or the first ``count`` by SHA-256 of their names.

    Names are relative to the folder, with forward slashes, so the order of files on disk does not matter. Raises
    BadInput if there are fewer than ``count``, or fewer than two.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder; give the folder of the real photographs")
    paths = list(folder.rglob("*"))
    found = endings.photographs(paths, folder)
    endings.tell_what_is_passed_over(paths, folder)
    needed = max(2, count or 0)
    if len(found) < needed:
        raise BadInput(
            f"{folder} holds {len(found)} photographs, {needed} are needed; give another folder or a smaller --count"
        )
    found.sort(key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    return found[:count]


def of_photographs(
    files: Sequence[Path], source: FeatureSource, *, device: torch.device | str = "cpu", resolution: int
) -> tuple[FrechetStatistics, str]:
    """Statistics of square photographs, resized to ``resolution``, and the digest of their contents in any order.

    Raises BadInput, naming the file, if one cannot be used.
    """
    contents = digest.of_data(sorted(digest.of_file(path) for path in files))
    return fit(_features(files, source, device, resolution)), contents


def _measured(
    folder: Path, count: int | None, title: str, device: str, resolution: int
) -> tuple[FrechetStatistics, str]:
    from guidebench import assets
    from guidebench.networks import inception

    files = photographs(folder, count)
    where = resolve_device(device)
    source = inception.feature_source(assets.find(INCEPTION), device=where)
    statistics, contents = of_photographs(files, source, device=where, resolution=resolution)
    weights = assets.digest(INCEPTION)[:12]
    size = f"resized to {resolution} px (bicubic)"
    return statistics, f"{title}, {size}; {source.description}, weights {weights}; contents {contents[:12]}"


def _given(features: Path, title: str) -> tuple[FrechetStatistics, str]:
    from guidebench.networks import inception

    statistics, _ = real_images.read(features, dim=inception.DIM)
    return statistics, f"{title}, given as features {digest.of_file(features)[:12]}; size and crop unknown"


def _features(
    files: Sequence[Path], source: FeatureSource, device: torch.device | str, resolution: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(files), _BATCH):
        batch = [images.load(path, resolution, must_be_square=True) for path in files[start : start + _BATCH]]
        yield source.features(torch.stack(batch).to(device))
        done = start + len(batch)
        if done // _LOG_EVERY > start // _LOG_EVERY:
            _log.info("%s of %s photographs", f"{done:,}", f"{len(files):,}")
