"""The testbed `eg3d-ffhq`: the paper's generator, inverter, losses and judges, for users who have the weights.

GUIDE (arXiv 2405.09879, §4.1) forgets people from EG3D at 512 px, and inverts photographs with GOAE. Losses and judges
are those of `guidebench.testbeds.published`. docs/eg3d-ffhq.md lists the steps.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from guidebench import assets
from guidebench.assets.catalogue import named
from guidebench.errors import BadInput
from guidebench.images import to_arrays
from guidebench.networks import eg3d, goae
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.photos.faces import ManifestFaces
from guidebench.testbed import Faces, Inverter, Players
from guidebench.testbeds.published import DETECTORS, PublishedTestbed

SIZES = {"resolution": 512, "neural_rendering_resolution": 128, "num_ws": 14, "w_dim": 512}  # of the published model
PUBLISHED_PIVOT = (0.0, 0.0, 0.0)  # the released code looks the pivot up under a key that does not exist


class PhotoInverter(Inverter):
    """GOAE behind photographs of any size, resized as the released code does."""

    def __init__(self, network: goae.GoaeInverter) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1], cropped as EG3D's training faces -> absolute codes (n, 14, 512).

        rng: the encoder as in training, with stochastic depth and dropout from this stream; None: evaluation mode.
        """
        prepared = torch.cat([goae.prepare(photo) for photo in to_arrays(images)])
        return self.network.invert(prepared.to(images.device), rng=rng)


class EG3DTestbed(PublishedTestbed):
    """Players and judges of the paper, from the files in the assets folder."""

    name = "eg3d-ffhq"
    summary = "the paper's: EG3D at 512 px, with weights of your own"
    caption = (
        "Testbed eg3d-ffhq: the paper's generator, inverter and first judge; the people, the random draws and the real "
        "images of ΔFID_real are not the authors', who published none of them."
    )
    eg3d_crops = True
    real_asset = "ffhq-real"
    generator_asset: ClassVar[str] = "eg3d-ffhq"
    encoder_asset: ClassVar[str] = "goae"
    average_asset: ClassVar[str | None] = "eg3d-w-avg"  # None: the generator's own average
    batch = 4  # a 512 px image passes through maps of 128 MiB each in float32

    @classmethod
    def switches(cls, conventions: str) -> str:
        """See `guidebench.testbed.Testbed.switches`."""
        return {
            "corrected": (
                "cameras look at the pivot that the weights were trained with; encoder in eval mode; "
                f"{DETECTORS[conventions]}; evaluation noise constant and shared before and after"
            ),
            "published": (
                "cameras look at the origin; encoder in train mode, its draws seeded; "
                f"{DETECTORS[conventions]}; evaluation noise fresh before and after"
            ),
        }[conventions]

    def players(self) -> Players:
        """EG3D, GOAE, IR-SE50 on the fixed crop, LPIPS."""
        generator = self._generator()
        inverter = PhotoInverter(goae.load(assets.find(self.encoder_asset), generator.w_avg))
        digests = {"generator": assets.digest(self.generator_asset), "inverter": assets.digest(self.encoder_asset)}
        if self._average() is not None:
            digests["w_avg"] = assets.digest(str(self.average_asset))
        return self.with_losses(generator, inverter, digests)

    def faces(self) -> Faces:
        """FFHQ and CelebA-HQ as `guidebench data scan` found them."""
        return ManifestFaces(SIZES["resolution"], "eg3d")

    def _generator(self) -> TriPlaneGenerator:
        path = assets.find(self.generator_asset)
        generator = eg3d.load(path)
        wrong = [
            f"{name} {getattr(generator, name)}, not {size}"
            for name, size in SIZES.items()
            if getattr(generator, name) != size
        ]
        if wrong:
            raise BadInput(f"{path} is another EG3D model ({'; '.join(wrong)}); get {named(self.generator_asset).file}")
        if average := self._average():
            generator.w_avg.copy_(goae.average_code(average, generator.w_dim))
        if self.conventions == "published":
            assert generator.rig is not None
            generator.rig = dataclasses.replace(generator.rig, pivot=PUBLISHED_PIVOT)
        return generator

    def _average(self) -> Path | None:
        """The file of the average code, where there is one."""
        return None if self.average_asset is None else assets.path_or_none(self.average_asset)
