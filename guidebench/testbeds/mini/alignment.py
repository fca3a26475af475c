"""The judges' first step: a picture is moved and scaled to where photographs have their face.

A recogniser for photographs of people finds the face, aligns it and only then looks at it. Mini's photographs are all
framed alike, so a judge that was never shown anything else takes a face some pixels further down for somebody else.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.testbeds.mini.layers import conv_block

THUMBNAIL = 56  # pixels per side that the localiser sees
LARGEST_SHIFT = 0.35  # that it can name, in units of half the picture's side
LARGEST_LOG_SCALE = 0.35
LUMINANCE = (0.299, 0.587, 0.114)


def grey(images: Tensor) -> Tensor:
    """(n, 3, h, w) to its luminance (n, 1, h, w)."""
    red, green, blue = LUMINANCE
    return red * images[:, :1] + green * images[:, 1:2] + blue * images[:, 2:]


def resample(images: Tensor, frames: Tensor) -> Tensor:
    """Square images (n, c, r, r) so that what is at scale * p + shift comes to p; bilinear, border replicated.

    Positions p are in [-1, 1]. frames (n, 3): shift to the right and down, in units of half the side, and the logarithm
    of the scale. In a traced network two matrix products compute it, which onnxruntime does four times as fast.
    """
    size = images.shape[-1]
    centres = (2 * torch.arange(size, dtype=torch.float32, device=images.device) + 1) / size - 1
    found = frames[:, 2:, None].exp() * centres + frames[:, :2, None]  # (n, 2, size)
    if torch.jit.is_tracing():
        across, down = _weights(found[:, 0], size), _weights(found[:, 1], size)
        return torch.matmul(torch.matmul(down[:, None], images), across[:, None].transpose(2, 3))
    x, y = found[:, 0, None, :].expand(-1, size, -1), found[:, 1, :, None].expand(-1, -1, size)
    grid = torch.stack([x, y], dim=3)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _weights(positions: Tensor, size: int) -> Tensor:
    """(n, size) places to (n, size, size): by how much each of them takes each pixel of a line."""
    pixels = torch.arange(size, dtype=torch.float32, device=positions.device)
    exact = (((positions + 1) * size - 1) / 2).clamp(0, size - 1)
    return (1 - (exact[:, :, None] - pixels).abs()).clamp(min=0)


class Localiser(nn.Module):
    """Where the face is: (n, 3, r, r) to frames (n, 3) as `resample` takes them, from a grey thumbnail.

    Its brightness and contrast are taken out first. `r` is a multiple of THUMBNAIL.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(1, 12, kernel=5, stride=2),
            conv_block(12, 24, stride=2),
            conv_block(24, 32, stride=2),
            nn.Flatten(),
            nn.Linear(32 * 49, 64),
            nn.PReLU(64),
            nn.Linear(64, 3),
        )
        self.register_buffer("largest", torch.tensor([LARGEST_SHIFT, LARGEST_SHIFT, LARGEST_LOG_SCALE]))

    largest: Tensor

    def forward(self, images: Tensor) -> Tensor:
        thumbnail = grey(functional.avg_pool2d(images, images.shape[-1] // THUMBNAIL))
        centred = thumbnail - thumbnail.mean(dim=(2, 3), keepdim=True)
        contrast = torch.sqrt((centred * centred).mean(dim=(2, 3), keepdim=True) + 1e-4)
        return torch.tanh(self.body(centred / contrast)) * self.largest
