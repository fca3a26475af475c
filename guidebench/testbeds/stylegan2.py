"""The testbed `stylegan2-ffhq`: a 2-D generator, StyleGAN2 at 1024 px, with the encoders e4e or pSp.

GUIDE's supplement shows its method on StyleGAN2 (Figure 8, GUIDE-SG2) without settings, so that every choice here is
guidebench's; docs/stylegan2-ffhq.md lists them. Losses and judges are those of `guidebench.testbeds.published`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench import assets, digest
from guidebench.assets.catalogue import named
from guidebench.errors import BadInput
from guidebench.evidence import Seen
from guidebench.networks import e4e, stylegan2_files
from guidebench.networks.stylegan2 import StyleGAN2Generator, noise_maps
from guidebench.noise import Noise
from guidebench.photos.faces import ManifestFaces
from guidebench.testbed import Faces, Generator, Inverter, PerceptualDistance, Players, Recognizer
from guidebench.testbeds.published import DETECTORS, PublishedTestbed

SIZES = {"resolution": 1024, "num_ws": 18, "w_dim": 512}  # of the published network
FEATURE_SIDE = 256  # pixels; EG3D's backbone, which is the same network up to here, ends at this resolution
CODE_SCALE = math.sqrt(14 / 18)  # of codes here, relative to StyleGAN2's: a row moves as far as one of EG3D's 14
LOSS_SIDE = 512  # pixels of the images that the training losses see, as in the paper's experiment
GENERATORS = ("stylegan2-ffhq", "stylegan2-ffhq-pt", "stylegan2-ffhq-tf")  # assets, each of which will do
ENCODERS = ("e4e", "psp")
_log = logging.getLogger(__name__)


class FaceGenerator(Generator):
    """StyleGAN2 of the architecture "skip" as a generator without cameras.

    Its features are what has been computed at one resolution: the feature maps, and behind them the picture so far
    (n, channels + 3, s, s). Latent codes are StyleGAN2's times ``code_scale``, and so is the average.
    """

    rig = None

    def __init__(self, network: StyleGAN2Generator, *, feature_side: int, code_scale: float) -> None:
        """feature_side: pixels. Raises ValueError if the network draws no pictures on its way to that resolution."""
        super().__init__()
        self.mapping, self.synthesis = network.mapping, network.synthesis
        self.z_dim, self.num_ws, self.w_dim, self.resolution = (
            network.z_dim,
            network.num_ws,
            network.w_dim,
            network.resolution,
        )
        self.code_scale = code_scale
        self._split = self.synthesis.resolutions.index(feature_side) + 1
        if network.c_dim or not all(block.has_rgb for block in self.synthesis.blocks()):
            raise ValueError("only an unconditional StyleGAN2 of the architecture 'skip' is supported")

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]  # no second tensor: the mapping network's own
        """(w_dim,) the average latent code."""
        return self.mapping.w_avg * self.code_scale

    def parts(self) -> Mapping[str, nn.Module]:
        """The backbone is the whole synthesis network, as it is the synthesis network that GUIDE trains of EG3D."""
        return {"mapping": self.mapping, "backbone": self.synthesis}

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The last convolution of each resolution, by resolution."""
        convolutions = [block.conv1 for block in self.synthesis.blocks()]
        return {f"b{last.resolution}": (last, len(last.bias)) for last in convolutions}

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, z_dim) -> latent codes (n, num_ws, w_dim) float32. There are no camera labels to condition on."""
        return self.mapping(z, psi=psi, cutoff=cutoff) * self.code_scale

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) -> (n, channels + 3, s, s) float32."""
        maps, picture = self._run(0, self._split, None, None, ws, noise)
        return torch.cat([maps, picture], dim=1)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Features -> images (n, 3, resolution, resolution). Raises ValueError if it is asked for a camera's view."""
        if cameras is not None:
            raise ValueError("a 2-D generator has one view and takes no cameras")
        _, picture = self._run(self._split, None, features[:, :-3], features[:, -3:], ws, noise)
        return picture

    def _run(
        self, start: int, stop: int | None, maps: Tensor | None, picture: Tensor | None, ws: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Some of the blocks; their noise is drawn in the order of the layers, as if all blocks were run at once."""
        before, blocks = self.synthesis.blocks()[:start], self.synthesis.blocks()[start:stop]
        layers = [layer for block in blocks for layer in block.layers()]
        row, drawn = sum(block.num_conv for block in before), iter(noise_maps(layers, len(ws), noise))
        ws = ws / self.code_scale
        for block in blocks:
            own = [next(drawn) for _ in range(block.num_conv)]
            maps, picture = block(maps, picture, ws[:, row : row + block.num_conv + 1], own)
            row += block.num_conv
        assert maps is not None and picture is not None
        return maps.to(picture.dtype), picture


class PhotoInverter(Inverter):
    """e4e or pSp, with codes scaled as the generator's."""

    def __init__(self, network: e4e.StyleInverter, code_scale: float) -> None:
        super().__init__()
        self.network, self.code_scale = network, code_scale

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1], aligned as FFHQ -> absolute codes (n, num_ws, w_dim). rng: not used."""
        return self.network.invert(images) * self.code_scale


class SmallerRecognizer(Recognizer):
    """A training recogniser that sees images averaged down to the size of the paper's experiment."""

    def __init__(self, network: Recognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, d) unit rows, differentiable."""
        rows: Tensor = self.network(averaged(images))
        return rows

    @torch.no_grad()
    def embed(self, images: Tensor) -> Seen[Tensor]:
        """As the network's."""
        return self.network.embed(averaged(images))


class SmallerDistance(PerceptualDistance):
    """A perceptual distance of images averaged down to the size of the paper's experiment."""

    def __init__(self, network: PerceptualDistance) -> None:
        super().__init__()
        self.network = network

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 3, h, w), (n, 3, h, w) -> (n,)."""
        distances: Tensor = self.network(averaged(a), averaged(b))
        return distances


def averaged(images: Tensor) -> Tensor:
    """(n, 3, h, w) -> means of squares of pixels, so that LOSS_SIDE are left per side; smaller images as they are."""
    factor = images.shape[-1] // LOSS_SIDE
    return functional.avg_pool2d(images, factor) if factor > 1 else images


class StyleGAN2Testbed(PublishedTestbed):
    """StyleGAN2 with e4e or pSp, and the losses and judges of the paper, from the files in the assets folder."""

    name = "stylegan2-ffhq"
    summary = "2-D: StyleGAN2 at 1024 px with e4e or pSp, weights of your own"
    caption = (
        "Testbed stylegan2-ffhq: the paper's settings on StyleGAN2 were never published; what is trained, the "
        "features, the scale of codes and the size of images in the losses are guidebench's."
    )
    real_asset = "ffhq-1024-real"
    batch = 4  # a 1024 px image passes through maps of 256 MiB each in float32

    @classmethod
    def switches(cls, conventions: str) -> str:
        """See `guidebench.testbed.Testbed.switches`."""
        fresh = {"corrected": "constant and shared before and after", "published": "fresh before and after"}
        return f"encoder in eval mode; {DETECTORS[conventions]}; evaluation noise {fresh[conventions]}"

    def players(self) -> Players:
        """StyleGAN2, e4e or pSp, IR-SE50 on the fixed crop, LPIPS; both losses see images of 512 px.

        The generator's digest is that of its tensors: the three files that it is published in hold the same.
        """
        chosen, encoder = assets.present_of(*GENERATORS), assets.present_of(*ENCODERS)
        network = self._network(chosen)
        digests = {"generator": digest.of_tensors(network.state_dict()), "inverter": assets.digest(encoder)}
        inverter = self._inverter(encoder, network)
        generator = FaceGenerator(network, feature_side=FEATURE_SIDE, code_scale=CODE_SCALE)
        players = self.with_losses(generator, inverter, digests)
        return Players(
            players.generator,
            players.inverter,
            SmallerRecognizer(players.recognizer).eval(),
            SmallerDistance(players.perceptual).eval(),
            players.digests,
        )

    def faces(self) -> Faces:
        """FFHQ and CelebA-HQ as `guidebench data scan` found them."""
        return ManifestFaces(SIZES["resolution"], "ffhq")

    def _network(self, asset: str) -> StyleGAN2Generator:
        path = assets.find(asset)
        network = stylegan2_files.load(path)
        wrong = [
            f"{name} {getattr(network, name)}, not {size}"
            for name, size in SIZES.items()
            if getattr(network, name) != size
        ]
        if wrong or network.c_dim:
            raise BadInput(
                f"{path} is another StyleGAN2 ({'; '.join(wrong) or 'with classes'}); get {named(asset).file}"
            )
        return network

    def _inverter(self, asset: str, network: StyleGAN2Generator) -> PhotoInverter:
        path = assets.find(asset)
        checkpoint = e4e.load(path)
        rows = len(checkpoint.encoder.styles)
        if rows != network.num_ws:
            raise BadInput(
                f"{path} gives codes of {rows} rows, the generator has {network.num_ws}; get {named(asset).file}"
            )
        _compare(stylegan2_files.from_rosinality_names(checkpoint.decoder, path), network, path)
        average = torch.zeros(rows, network.w_dim) if checkpoint.average is None else checkpoint.average
        return PhotoInverter(e4e.StyleInverter(checkpoint.encoder, average), CODE_SCALE)


def _compare(decoder: Mapping[str, Tensor], network: StyleGAN2Generator, path: Path) -> None:
    """Warns if an encoder was trained for another generator than this one, which it also holds."""
    own = dict(network.named_parameters())
    other = [key for key, value in own.items() if key not in decoder or not torch.equal(decoder[key], value.cpu())]
    if other:
        _log.warning(
            "%s was trained for another generator: %d of %d tensors differ, %s first; its codes may not fit",
            path,
            len(other),
            len(own),
            other[0],
        )
