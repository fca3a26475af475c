"""LPIPS on VGG16: how different two images look, as distances between the maps of a classification network.

Zhang et al., arXiv 1801.03924, eq. 1, in its version 0.1 with linear weights; VGG16 after Simonyan and Zisserman,
arXiv 1409.1556, configuration D. Inputs are not resized and not clamped, as GUIDE gives its renders to it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from guidebench.errors import BadInput
from guidebench.networks.checkpoints import state_dict
from guidebench.networks.loading import load_strictly
from guidebench.networks.winograd import Convolution
from guidebench.testbed import PerceptualDistance

SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation, for pixels in [-1, 1]; rounded as in LPIPS 0.1
SCALE = (0.458, 0.448, 0.450)
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG16: convolutions of each stage
TAPS = (3, 8, 15, 22, 29)  # the last ReLU of each stage, by its place among the features
SMALLEST = 16  # pixels per side: the last stage comes after four poolings
EPSILON = 1e-10  # added to the length of a feature vector before dividing by it


class LPIPS(PerceptualDistance):
    """The distance of `forward`; its parameters are frozen, so that the graph holds what the images need and no more.

    An image that needs no gradient (the wanted one of a loss) costs no graph. The keys of the state dict are those of
    torchvision's VGG16 (``features.<i>``) and of the linear weights (``lin<k>``).
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = _vgg16_features()
        for level, widths in enumerate(WIDTHS):
            self.register_parameter(f"lin{level}", nn.Parameter(torch.full((widths[-1],), 1 / widths[-1])))
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
        self.requires_grad_(False).eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 3, h, w), (n, 3, h, w) in about [-1, 1], 16 pixels or more per side -> (n,) distances, 0 if equal.

        Raises ValueError if the shapes differ or are not those of images.
        """
        return self.terms(a, b).sum(dim=1)

    def terms(self, a: Tensor, b: Tensor) -> Tensor:
        """As `forward`, one column for each of the five stages: (n, 5)."""
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < SMALLEST:
            raise ValueError(
                f"LPIPS compares images (n, 3, h, w) of one size, at least {SMALLEST} pixels per side, "
                f"got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        terms = []
        for level, (of_a, of_b) in enumerate(zip(self.maps(a), self.maps(b), strict=True)):
            weights = self.get_parameter(f"lin{level}")
            with _full_precision(weights.device.type):
                terms.append(_Stage.apply(of_a.to(weights.dtype), of_b.to(weights.dtype), weights))
        return torch.stack(terms, dim=1)

    def maps(self, images: Tensor) -> list[Tensor]:
        """(n, 3, h, w) -> the five tapped maps of VGG16, of 64, 128, 256, 512 and 512 channels."""
        values = ((images - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        maps = []
        for place, layer in enumerate(self.features):
            values = layer(values)
            if place in TAPS:
                maps.append(values)
        return maps


def load(vgg_path: str | Path, lin_path: str | Path | None = None) -> LPIPS:
    """LPIPS with the weights of a file, without executing anything in it.

    vgg_path: torchvision's VGG16 (``vgg16-397923af.pth``), or one file that holds an assembled LPIPS. lin_path: the
    linear weights 0.1 of the ``lpips`` package (``lpips/weights/v0.1/vgg.pth``), None for an assembled file. Raises
    `guidebench.errors.BadInput` in one line.
    """
    tensors = dict(state_dict(vgg_path))
    if lin_path is not None:
        tensors |= state_dict(lin_path)
    elif not any(key.startswith("lin") for key in tensors):
        raise BadInput(
            f"{vgg_path} holds no linear weights of LPIPS; name the file lpips/weights/v0.1/vgg.pth of the "
            "lpips package beside it"
        )
    path = vgg_path if lin_path is None else f"{vgg_path} with {lin_path}"
    return load_strictly(LPIPS(), own_names(tensors), path)


def own_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the keys of torchvision, of the package's linear file or of an assembled LPIPS -> by our keys.

    What LPIPS does not use is dropped: VGG16's classifier, the linear weights' second copy (``lins.``) and the input
    scaling. Other keys are kept as they are, for strict loading to name.
    """
    renamed = {}
    for key, value in tensors.items():
        if key.startswith(("classifier.", "lins.", "scaling_layer.")):
            continue
        key = re.sub(r"^net\.slice\d\.", "features.", key)
        linear = re.fullmatch(r"(lin\d)\.model\.1\.weight", key)
        renamed[linear[1] if linear else key] = value.flatten() if linear else value
    return renamed


def _vgg16_features() -> nn.Sequential:
    """Thirteen 3x3 convolutions with ReLUs, a 2x2 maximum between stages; the last pooling is not needed."""
    layers: list[nn.Module] = []
    channels = [3] + [width for stage in WIDTHS for width in stage]
    ends = {sum(len(stage) for stage in WIDTHS[: k + 1]) for k in range(len(WIDTHS) - 1)}
    for count, (before, now) in enumerate(pairwise(channels), start=1):
        layers += [Convolution(before, now), nn.ReLU(inplace=True)]
        if count in ends:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _full_precision(device: str) -> contextlib.AbstractContextManager[object]:
    """No autocast, where there is such a thing."""
    available = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if available else contextlib.nullcontext()


class _Stage(torch.autograd.Function):
    """Maps (n, c, h, w) of two images, weights (c,) -> (n,) means over pixels of the weighted squared differences.

    A pixel's vectors are divided by their lengths before. The gradient of a zero vector is finite. A backward pass of
    its own writes a third of the maps that autograd would.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
        length_a, length_b = (torch.linalg.vector_norm(maps, dim=1, keepdim=True) for maps in (a, b))
        unit_a, unit_b = a / (length_a + EPSILON), b / (length_b + EPSILON)
        difference = unit_a - unit_b
        needs_a, needs_b, _ = ctx.needs_input_grad
        units = unit_a if needs_a else None, unit_b if needs_b else None
        ctx.save_for_backward(*units, difference, length_a, length_b, weights)
        return (difference.square().permute(0, 2, 3, 1) @ weights).mean(dim=(1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        unit_a, unit_b, difference, length_a, length_b, weights = ctx.saved_tensors
        pixels = difference.shape[2] * difference.shape[3]
        slope = difference * (2 / pixels * gradient[:, None] * weights)[:, :, None, None]
        to_a = None if unit_a is None else _through_division(slope, unit_a, length_a)
        to_b = None if unit_b is None else _through_division(-slope, unit_b, length_b)
        return to_a, to_b, None


def _through_division(slope: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """The gradient to vectors, (n, c, h, w), of what has the gradient ``slope`` to them divided by their lengths."""
    longer = length + EPSILON
    turned = (slope * unit).sum(dim=1, keepdim=True) * (longer / length.clamp_min(torch.finfo(length.dtype).tiny))
    return torch.addcmul(slope, unit, turned, value=-1).div_(longer)
