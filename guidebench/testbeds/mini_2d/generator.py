"""Mini-2d's generator: a small StyleGAN2 (arXiv 1912.04958) that draws mini's faces at 96 x 96, without cameras.

z -> mapping -> w+ codes -> modulated convolutions with summed RGB outputs. What differs from StyleGAN2, and why:

- Two of the numbers in z are yaw and elevation: they say where mini's renderer would stand.
- Layers are those of mini's backbone: position maps are learned instead of drawing noise, synthesis is deterministic.
- Codes are scaled once, after training, as mini's are: the mean of |w - w_avg| is LATENT_NORM.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guidebench.noise import Noise
from guidebench.testbeds.mini.generator import (
    GeneratorConfig,
    MappingNetwork,
    ModulatedConv,
    ModulatedOutput,
    ScaledGenerator,
    upsample,
)
from guidebench.testbeds.mini.parameters import LATENT_DIM, MIXING, VISIBLE_PARAMETERS

YAW, ELEVATION = VISIBLE_PARAMETERS, VISIBLE_PARAMETERS + 1  # places of the pose among the numbers behind z
# The pose of a random face, in radians: mean and standard deviation as of the protocols' cameras, whose yaw is uniform;
# their elevation is constant, that of faces is nearly so. A photograph from farther aside has a larger number in z.
YAW_STD = math.radians(15.0) / math.sqrt(3)
ELEVATION_MEAN, ELEVATION_STD = math.asin(0.4 / math.pi), 0.05
PHOTOGRAPHED = (0.28, 0.10)  # standard deviations of the pose of photographs: the scale of the pose within w


@dataclass(frozen=True)
class Shape(GeneratorConfig):
    """The shape of the generator; stored with its weights. What mini's shape says of planes and rays is not used."""

    channels: tuple[int, ...] = (192, 128, 80, 48, 24)  # one entry a level; each level doubles the resolution
    feature_level: int = 3  # the level that ends the feature tensor, at 48 x 48


def latent_with_pose(z: Tensor, yaw: Tensor, elevation: Tensor) -> Tensor:
    """z (n, 64) with two of its unseen numbers replaced by the pose, (n,) and (n,) in radians."""
    numbers = z @ MIXING.to(z)
    numbers[:, YAW] = yaw / YAW_STD
    numbers[:, ELEVATION] = (elevation - ELEVATION_MEAN) / ELEVATION_STD
    return numbers @ MIXING.T.to(z)


class PosedMapping(MappingNetwork):
    """Mini's mapping network; its linear skip starts as the map to the renderer's parameters and the pose."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        stds = torch.tensor([YAW_STD, ELEVATION_STD]) / torch.tensor(PHOTOGRAPHED)
        with torch.no_grad():
            self.skip.weight[[YAW, ELEVATION]] = MIXING[:, [YAW, ELEVATION]].T * stds[:, None] * math.sqrt(LATENT_DIM)


class Synthesis(nn.Module):
    """Unscaled w+ codes (n, num_ws, w_dim) to the picture, in two halves: up to the feature tensor, and from there."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        channels, w_dim, self.feature_level = shape.channels, shape.w_dim, shape.feature_level
        self.constant = nn.Parameter(torch.randn(1, channels[0], shape.base_resolution, shape.base_resolution))
        self.first = ModulatedConv(channels[0], channels[0], w_dim)
        self.enter, self.refine, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(1, len(channels)):
            before, now = channels[level - 1], channels[level]
            positions = shape.base_resolution * 2**level if level <= shape.feature_level else 0  # of moderate size
            self.enter.append(ModulatedConv(before, now, w_dim, double=True, positions=positions))
            self.refine.append(ModulatedConv(now, now, w_dim, positions=positions))
            out = ModulatedOutput(now, 3, w_dim)
            with torch.no_grad():
                out.weight.mul_(0.25)
            self.out.append(out)

    def features(self, ws: Tensor) -> Tensor:
        """(n, channels + 3, s, s): the maps at the feature level, and behind them the picture so far."""
        constant = self.constant.contiguous(memory_format=torch.channels_last)
        x = self.first(constant.expand(len(ws), -1, -1, -1), ws[:, 0])
        picture = x.new_zeros(len(ws), 3, *x.shape[2:])
        for level in range(1, self.feature_level + 1):
            x, picture = self._level(level, x, picture, ws)
        return torch.cat([x, picture], dim=1)

    def picture(self, features: Tensor, ws: Tensor) -> Tensor:
        """The feature tensor to (n, 3, resolution, resolution), about [-1, 1]."""
        x, picture = features[:, :-3], features[:, -3:]
        for level in range(self.feature_level + 1, len(self.out) + 1):
            x, picture = self._level(level, x, picture, ws)
        return picture

    def _level(self, level: int, x: Tensor, picture: Tensor, ws: Tensor) -> tuple[Tensor, Tensor]:
        enter, refine, out = self.enter[level - 1], self.refine[level - 1], self.out[level - 1]
        x = refine(enter(x, ws[:, 2 * level - 1]), ws[:, 2 * level])
        return x, upsample(picture) + out(x, ws[:, 2 * level + 1])


class Mini2DGenerator(ScaledGenerator):
    """See the module."""

    rig = None
    backbone: Synthesis

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__(shape, PosedMapping(shape), Synthesis(shape))

    def parts(self) -> Mapping[str, nn.Module]:
        """The backbone is the whole synthesis network, as on `stylegan2-ffhq`."""
        return {"mapping": self.mapping, "backbone": self.backbone}

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) to (n, 51, 48, 48): 48 maps, then the picture so far."""
        return self.backbone.features(ws / self.latent_scale)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Features to (n, 3, 96, 96). Raises ValueError if it is asked for a camera's view."""
        if cameras is not None:
            raise ValueError("a 2-D generator has one view and takes no cameras")
        return self.backbone.picture(features, ws / self.latent_scale)
