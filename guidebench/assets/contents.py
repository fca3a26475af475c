"""Opens a file once with the code that will use it: another network's file is refused when it is added, not in a run.

Only files without a published digest need this; a digest is the stronger check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from guidebench.assets.catalogue import ASSETS, Asset
from guidebench.errors import GuidebenchError, in_one_line


def problem(asset_id: str, path: Path) -> str:
    """Why a file is not what the asset must hold, in one line that names the file, or ""."""
    try:
        if use := USES.get(asset_id):
            use(path)
    except GuidebenchError as error:
        return str(error)
    except ImportError as error:
        return f"{path} cannot be checked ({in_one_line(error)}); `guidebench doctor` shows the repair"
    return ""


def _generator(path: Path) -> None:
    from guidebench.networks import eg3d

    eg3d.load(path)


def _encoder(path: Path) -> None:
    import torch

    from guidebench.networks import goae

    goae.load(path, torch.zeros(512))


def _average(path: Path) -> None:
    from guidebench.networks import goae

    goae.average_code(path, 512)


def _judge(path: Path) -> None:
    from guidebench.networks import irse

    irse.load_ir_101(path)


def _real_images(path: Path) -> None:
    from guidebench.networks import inception
    from guidebench.photos import real_images

    real_images.read(path, dim=inception.DIM)


def _stylegan2(path: Path) -> None:
    from guidebench.networks import stylegan2_files

    stylegan2_files.load(path)


def _style_encoder(path: Path) -> None:
    from guidebench.networks import e4e

    e4e.load(path)


def _pack(asset: Asset) -> Callable[[Path], None]:
    def use(path: Path) -> None:
        from guidebench.networks import arcface

        detector, recogniser = asset.members
        arcface.load(path / detector, path / recogniser)

    return use


USES: Mapping[str, Callable[[Path], None]] = {
    "eg3d-ffhq": _generator,
    "eg3d-w-avg": _average,
    "goae": _encoder,
    "eg3d-afhq": _generator,
    "goae-afhq": _encoder,
    "afhq-real": _real_images,
    "curricularface": _judge,
    "ffhq-real": _real_images,
    "stylegan2-ffhq": _stylegan2,
    "stylegan2-ffhq-pt": _stylegan2,
    "stylegan2-ffhq-tf": _stylegan2,
    "psp": _style_encoder,
    "ffhq-1024-real": _real_images,
    **{asset.id: _pack(asset) for asset in ASSETS if asset.format == "onnx-pack"},
}
