"""Convolution blocks that mini's small networks share."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

SEEN = 64  # pixels per side that every network but the generator and the judges works on


def as_seen(images: Tensor) -> Tensor:
    """Images (n, 3, h, w) of any size to (n, 3, SEEN, SEEN), bilinear."""
    if images.shape[-2:] == (SEEN, SEEN):
        return images
    return functional.interpolate(images, size=(SEEN, SEEN), mode="bilinear", align_corners=False)


def conv_block(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, PReLU."""
    padding = max(0, (kernel - stride + 1) // 2) if kernel > 3 else kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_block(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.second(self.first(x)))


def residual_pyramid(widths: Sequence[int]) -> list[nn.Module]:
    """Halves the resolution with every width, a residual block between halvings: (n, 3, r, r) to r / 2^len(widths)."""
    blocks: list[nn.Module] = [conv_block(3, widths[0], stride=2)]
    for narrow, wide in pairwise(widths):
        blocks += [ResidualBlock(narrow), conv_block(narrow, wide, stride=2)]
    return blocks
