"""Edits that leave a person who they are: what judges are trained to overlook, and measured on.

Images (n, 3, r, r) are in [-1, 1] and come back within it.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from guidebench.testbeds.mini.alignment import grey, resample
from guidebench.testbeds.mini.renderer import RESOLUTION


def saturated(images: Tensor, factor: Tensor | float) -> Tensor:
    """Colours `factor` times as far from the grey of equal luminance; 0 leaves grey."""
    luminance = grey(images)
    return (luminance + factor * (images - luminance)).clamp(-1, 1)


def contrasted(images: Tensor, factor: Tensor | float) -> Tensor:
    """All colours `factor` times as far from the grey of the picture's mean luminance."""
    mean = grey(images).mean(dim=(1, 2, 3), keepdim=True)
    return (mean + factor * (images - mean)).clamp(-1, 1)


def moved(images: Tensor, frames: Tensor) -> Tensor:
    """What is at p goes to scale * p + shift, of frames (n, 3) as `resample` takes them.

    Bilinear. What comes in from outside is the border pixel repeated: nothing is invented.
    """
    log_scale = frames[:, 2:]
    return resample(images, torch.cat([-frames[:, :2] * (-log_scale).exp(), -log_scale], dim=1))


def down(images: Tensor, pixels: float) -> Tensor:
    """Moved down by so many of a photograph's RESOLUTION pixels."""
    return moved(images, torch.tensor([[0.0, 2 * pixels / RESOLUTION, 0.0]]).to(images).expand(len(images), -1))


def zoomed(images: Tensor, factor: float) -> Tensor:
    """`factor` times as large, about the middle."""
    return moved(images, torch.tensor([[0.0, 0.0, math.log(factor)]]).to(images).expand(len(images), -1))


EDITS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "grey": lambda images: saturated(images, 0.0),
    "contrast 0.75": lambda images: contrasted(images, 0.75),
    "saturation 0.5": lambda images: saturated(images, 0.5),
    "4 pixels down": lambda images: down(images, 4),
    "8 pixels down": lambda images: down(images, 8),
    "zoom 0.85": lambda images: zoomed(images, 0.85),
}


def random_colours(images: Tensor, rng: torch.Generator) -> Tensor:
    """Three of four images as they are; of the rest, one of four grey, the others with saturation 0.4 to 1.3.

    Contrast 0.7 to 1.2, exposure 0.8 to 1.2.
    """
    edited = images[::4]

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(edited), 1, 1, 1, generator=rng).to(images)

    edited = saturated(edited, between(0.4, 1.3) * (between(0, 1) >= 0.25))
    edited = contrasted(edited, between(0.7, 1.2))
    edited = ((edited + 1) * between(0.8, 1.2) - 1).clamp(-1, 1)
    images = images.clone()
    images[::4] = edited
    return images


def random_frames(count: int, rng: torch.Generator) -> Tensor:
    """Frames (count, 3): every third up to 10 pixels to all sides, 0.8 to 1.2 times as large; the rest stay."""
    share = 2 * torch.rand(count, 3, generator=rng) - 1
    share[torch.arange(count) % 3 > 0] = 0
    frames = share * (2 * 10 / RESOLUTION)
    frames[:, 2] = (1 + 0.2 * share[:, 2]).log()
    return frames
