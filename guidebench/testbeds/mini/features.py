"""Two networks that see what is in a picture: one for the perceptual distance, another for FID.

Both are trained to read the renderer's parameters and the camera off an image; they share neither architecture nor
weights nor random numbers, so a method that minimises the perceptual distance does not see what FID looks at.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.testbed import PerceptualDistance
from guidebench.testbeds.mini.layers import ResidualBlock, as_seen, conv_block
from guidebench.testbeds.mini.parameters import VISIBLE_PARAMETERS

REGRESSED = VISIBLE_PARAMETERS + 2  # and yaw, elevation
FID_DIM = 128
MEAN_DISTANCE = 0.65  # of photographs of two people, about what LPIPS-VGG says of two faces


class PerceptualNetwork(PerceptualDistance):
    """LPIPS-like: squared differences of channel-normalised maps, summed over four resolutions.

    Images of any size in [-1, 1]; they are compared at 64 x 64. `scale` is set after training such that the mean over
    pairs of photographs of different people is MEAN_DISTANCE: what a weight of the paper's losses then means is of the
    order of what it means with LPIPS.
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 80, 128)
        self.levels = nn.ModuleList(
            nn.Sequential(conv_block(before, now), nn.AvgPool2d(2))
            for before, now in zip(widths[:-1], widths[1:], strict=True)
        )
        self.register_buffer("scale", torch.ones(()))

    def maps(self, images: Tensor) -> list[Tensor]:
        """One map a level, halving the resolution each time."""
        images, maps = as_seen(images), []
        for level in self.levels:
            images = level(images)
            maps.append(images)
        return maps

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 3, h, w), (n, 3, h, w) -> (n,); 0 for equal images, about MEAN_DISTANCE for different faces."""
        distance = torch.zeros(len(a), device=a.device)
        for of_a, of_b in zip(self.maps(a), self.maps(b), strict=True):
            difference = functional.normalize(of_a, dim=1, eps=1e-4) - functional.normalize(of_b, dim=1, eps=1e-4)
            distance = distance + difference.square().sum(dim=1).mean(dim=(1, 2))
        return distance * self.scale


class FeatureNetwork(nn.Module):
    """What FID compares: 128 pooled features of an image in [-1, 1].

    `scale` is set after training such that the total variance of the features of real images is 100: a Fréchet distance
    is then in per cent of the variance among photographs.
    """

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_block(3, 32, kernel=5, stride=2),
            ResidualBlock(32),
            conv_block(32, 64, stride=2),
            ResidualBlock(64),
            conv_block(64, 96, stride=2),
            ResidualBlock(96),
            conv_block(96, FID_DIM, stride=1),
        )
        self.register_buffer("scale", torch.ones(()))

    def maps(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 128, 8, 8); works on 64 x 64 pixels."""
        return self.body(as_seen(images))

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 128)."""
        return self.maps(images).mean(dim=(2, 3)) * self.scale
