"""The yardstick: GUIDE's step and FID's samples in the released order of operations, written plainly.

GUIDE's released code (Seo et al., arXiv 2405.09879) treats one latent code after another: features for the squared
difference come from calls of their own, with noise of their own, so that a step makes 6 feature tensors and 10 renders,
of which 3 and 5 have gradients; the parameters of its face recogniser collect gradients that nobody uses. Its
evaluation renders one sample at a time and passes it on as a PNG file. Nothing of guidebench's networks runs here but
their weights and what a generator's mapping network is.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from guidebench.baselines.guide import Draws, Guide
from guidebench.images import to_arrays
from guidebench.networks.irse import IRSE50, FixedCropRecognizer, ResidualUnit, fixed_crop
from guidebench.networks.lpips import LPIPS, TAPS
from guidebench.networks.winograd import Convolution
from guidebench.noise import Noise
from guidebench.testbed import PerceptualDistance, Recognizer

Network = TypeVar("Network", bound=nn.Module)


class PlainGenerator(Protocol):
    """A generator of one code at a time."""

    generator: Any

    def features(self, ws: Tensor, noise: Noise) -> Tensor:
        """(1, num_ws, w_dim) -> its features."""

    def image(self, features: Tensor, ws: Tensor, camera: Tensor, noise: Noise) -> Tensor:
        """Features seen from a camera (1, 25) -> (1, 3, r, r)."""


class PlainLoop:
    """GUIDE's losses code by code and summed, with the weights of a `Guide`'s local loss for all three."""

    def __init__(
        self,
        method: Guide,
        trained: PlainGenerator,
        source: PlainGenerator,
        perceptual: PerceptualDistance,
        recognizer: Recognizer,
    ) -> None:
        self.method, self.trained, self.source = method, trained, source
        self.perceptual, self.recognizer = plain_lpips(perceptual), plain_recognizer(recognizer)

    def loss(self, latent: Tensor, target: Tensor, draws: Draws) -> Tensor:
        """The total loss of a step, with gradient. latent, target: (1, num_ws, w_dim)."""
        near = len(draws.towards)
        loss = self._local(latent, target, 0, draws)
        for place in range(near):
            direction = draws.towards[place : place + 1] - latent
            shift = draws.alpha[place] * direction / direction.norm()
            loss = loss + self._local(latent + shift, target + shift, 1 + place, draws)
        for place in range(len(draws.others)):
            code = draws.others[place : place + 1]
            image, wanted = self._images(code, code, 1 + near + place, draws)
            loss = loss + self.perceptual(image, wanted).mean()
        return loss

    def _local(self, code: Tensor, target: Tensor, row: int, draws: Draws) -> Tensor:
        trained, source = (noise.rows(row, 1) for noise in draws.feature_noise)
        features = self.trained.features(code, trained)
        with torch.no_grad():
            wanted_features = self.source.features(target, source)
        image, wanted = self._images(code, target, row, draws)
        alike = (self.recognizer(image) * self.recognizer(wanted).detach()).sum(dim=1).mean()
        return (
            self.method.local_mse * functional.mse_loss(features, wanted_features)
            + self.method.local_perceptual * self.perceptual(image, wanted).mean()
            + self.method.local_identity * (1 - alike)
        )

    def _images(self, code: Tensor, target: Tensor, row: int, draws: Draws) -> tuple[Tensor, Tensor]:
        assert draws.camera is not None
        trained, source = (noise.rows(row, 1) for noise in draws.render_noise)
        image = self.trained.image(self.trained.features(code, trained), code, draws.camera, trained)
        with torch.no_grad():
            return image, self.source.image(self.source.features(target, source), target, draws.camera, source)


def plain_lpips(perceptual: PerceptualDistance) -> nn.Module:
    """A distance as its paper writes it; mini's is plain already."""
    return PlainLPIPS(perceptual) if isinstance(perceptual, LPIPS) else perceptual


class PlainLPIPS(nn.Module):
    """LPIPS (arXiv 1801.03924, Eq. 1) of one pair of images."""

    def __init__(self, lpips: LPIPS) -> None:
        super().__init__()
        self.lpips = _usual_layout(copy.deepcopy(lpips))

    def forward(self, image: Tensor, wanted: Tensor) -> Tensor:
        """(1, 3, h, w), (1, 3, h, w) -> (1,)."""
        a, b = ((picture - self.lpips.shift) / self.lpips.scale for picture in (image, wanted))
        terms: list[Tensor] = []
        for place, layer in enumerate(self.lpips.features):
            a, b = layer(a), layer(b)
            if place in TAPS:
                weights = self.lpips.get_parameter(f"lin{len(terms)}").view(1, -1, 1, 1)
                units = (maps / (maps.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for maps in (a, b))
                difference = next(units) - next(units)
                terms.append((weights * difference.square()).sum(dim=1).mean(dim=(1, 2)))
        return torch.stack(terms).sum(dim=0)


def plain_recognizer(recognizer: Recognizer) -> nn.Module:
    """A copy whose parameters collect gradients, as those of the released code do."""
    own = _usual_layout(copy.deepcopy(recognizer)).requires_grad_(True)
    return PlainIRSE(own.network) if isinstance(own, FixedCropRecognizer) else own


class PlainIRSE(nn.Module):
    """IR-SE50 behind the fixed crop, layer by layer."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, IRSE50)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 512) unit rows."""
        x = self.network.input_layer(fixed_crop(images))
        for unit in self.network.body:
            assert isinstance(unit, ResidualUnit)
            x = unit.res_layer(x) + unit.shortcut_layer(x)
        return functional.normalize(self.network.output_layer(x), dim=1)


def _usual_layout(module: Network) -> Network:
    """Convolutions as torch does them, on weights as torch's files hold them: channels before rows and columns."""
    for part in module.modules():
        if isinstance(part, Convolution):
            part.__class__ = nn.Conv2d  # type: ignore[assignment]  # the same parameters, without our ways
    return module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's hints lack it


@torch.no_grad()
def plain_sample(plain: PlainGenerator, z: Tensor, camera: Tensor, features: nn.Module, folder: Path) -> Tensor:
    """FID features (1, d) of one sample, by way of a PNG file. z: (1, z_dim). camera: (1, 25)."""
    ws, noise = plain.generator.map(z), Noise.constant()
    (pixels,) = to_arrays(plain.image(plain.features(ws, noise), ws, camera, noise))
    Image.fromarray(pixels).save(folder / "sample.png")
    with Image.open(folder / "sample.png") as file:
        read = torch.from_numpy(np.array(file)).permute(2, 0, 1)[None]
    found: Tensor = features(read.to(z.device))[0]
    return found
