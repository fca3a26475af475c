"""Mini's generator: a miniature EG3D (arXiv 2112.07945) that draws 96 x 96 faces on a CPU.

z -> mapping -> w+ codes -> modulated backbone -> tri-planes and a background feature -> density and colour at points
-> volume rendering along rays -> a residual network at full resolution. What differs from EG3D, and why:

- The background is a feature that the backbone makes, so that a method that trains only the backbone can reach it.
- The backbone learns position maps instead of drawing noise, so synthesis is deterministic.
- Density is a truncated signed distance with a decoder of its own, smaller than that of colour. 32 x 32 rays look for
  the surface, 96 x 96 rays step onto it, both without gradients; then each of them shades one sample just behind it.
- The planes' x and y axes are warped to spend most of their resolution on the middle of the face.
- Codes are scaled once, after training, so that the paper's distances fit: the mean of |w - w_avg| over num_ws x w_dim
  numbers is LATENT_NORM, which makes the paper's d = 30 half and its alpha_max = 15 a quarter of that mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.cameras import CameraRig
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.mini.parameters import LATENT_DIM, MIXING, VISIBLE_PARAMETERS
from guidebench.testbeds.mini.renderer import (
    CAMERA_RADIUS,
    FOCAL,
    PRINCIPAL_POINT,
    RESOLUTION,
    pixel_centres,
    rays_from_labels,
)

LATENT_NORM = 60.0
RIG = CameraRig(radius=CAMERA_RADIUS, pivot=(0.0, 0.0, 0.0), focal=FOCAL, principal=PRINCIPAL_POINT)

NEAR, FAR = CAMERA_RADIUS - 0.75, CAMERA_RADIUS + 0.9  # where rays are sampled, as distance from the camera
TRUNCATION = 0.15  # of the signed distance, in head units
SAMPLE_OFFSET = 0.03  # how far behind the surface a ray is shaded
SAMPLE_JITTER = 0.02  # width of the jitter of the shaded samples
DENSITY_SLOPE = 24.0  # opacity is sigmoid(slope x signed distance in units of TRUNCATION)
_GAIN = math.sqrt(2)


@dataclass(frozen=True)
class GeneratorConfig:
    """The shape of the generator; stored with its weights."""

    w_dim: int = 96
    mapping_layers: int = 3
    mapping_width: int = 128
    base_resolution: int = 6
    channels: tuple[int, ...] = (160, 112, 64, 32)  # one entry a level; each level doubles the resolution
    plane_channels: int = 16
    distance_width: int = 16
    colour_width: int = 32
    features: int = 16  # of a rendered ray: RGB first, then what training supervises, then free ones
    refine_widths: tuple[int, int] = (24, 16)
    coarse_resolution: int = 32
    coarse_samples: int = 10
    resolution: int = RESOLUTION

    @property
    def num_ws(self) -> int:
        """Rows of a latent code: one for the constant's layer, two a level, one shared by the last outputs."""
        return 2 * len(self.channels)


class ScaledLinear(nn.Module):
    """A linear layer with StyleGAN's run-time weight scaling; `rate` multiplies its effective learning rate."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0, active: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.gain, self.rate, self.active = rate / math.sqrt(inputs), rate, active

    def forward(self, x: Tensor) -> Tensor:
        y = functional.linear(x, self.weight * self.gain, self.bias * self.rate)
        return functional.leaky_relu(y, 0.2) * _GAIN if self.active else y


class MappingNetwork(nn.Module):
    """z (n, 64) to unscaled w (n, w_dim): a linear skip plus a small network that starts at zero.

    The skip starts as the map to the renderer's parameters, which spares the backbone from disentangling them first.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        widths = [LATENT_DIM] + [config.mapping_width] * (config.mapping_layers - 1) + [config.w_dim]
        last = len(widths) - 2
        layers = [ScaledLinear(widths[i], widths[i + 1], rate=0.1, active=i < last) for i in range(last + 1)]
        self.layers = nn.ModuleList(layers)
        self.skip = ScaledLinear(LATENT_DIM, config.w_dim)
        with torch.no_grad():
            layers[-1].weight.zero_()
            self.skip.weight[:VISIBLE_PARAMETERS] = MIXING[:, :VISIBLE_PARAMETERS].T * math.sqrt(LATENT_DIM)
            self.skip.weight[VISIBLE_PARAMETERS:] *= 0.3

    def forward(self, z: Tensor) -> Tensor:
        x = z
        for layer in self.layers:
            x = layer(x)
        return x + self.skip(z)


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by a style (StyleGAN2), as scale - shared convolution - scale.

    With `double`, the output is upsampled twofold after the convolution, which costs a quarter of upsampling before.
    With `positions`, a learned map of that resolution is added: where things are is not left to the padding.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        *,
        kernel: int = 3,
        double: bool = False,
        demodulate: bool = True,
        active: bool = True,
        positions: int = 0,
    ) -> None:
        super().__init__()
        self.affine = ScaledLinear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.position_map = nn.Parameter(torch.zeros(1, outputs, positions, positions)) if positions else None
        self.gain = 1 / math.sqrt(inputs * kernel * kernel)
        self.padding, self.doubles, self.demodulate, self.active = kernel // 2, double, demodulate, active

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(n, inputs, r, r), (n, w_dim) to (n, outputs, r or 2r, r or 2r)."""
        style = self.affine(w)
        kernel = self.weight * self.gain
        y = functional.conv2d(x * style[:, :, None, None], kernel, padding=self.padding)
        if self.demodulate:
            norm = (style.square() @ kernel.square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
            y = y * norm[:, :, None, None]
        if self.doubles:
            y = upsample(y)
        shift = self.bias[None, :, None, None]
        y = y + (shift if self.position_map is None else shift + self.position_map)
        return functional.leaky_relu(y, 0.2) * _GAIN if self.active else y


def upsample(x: Tensor) -> Tensor:
    """Bilinear, twofold."""
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Backbone(nn.Module):
    """Unscaled w+ codes (n, num_ws, w_dim) to the feature tensor (n, 3 x plane_channels + features, R, R).

    The first channels are the xy, zy and xz planes; the rest hold the background feature, equal at all pixels.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels, w_dim, planes = config.channels, config.w_dim, 3 * config.plane_channels
        self.constant = nn.Parameter(torch.randn(1, channels[0], config.base_resolution, config.base_resolution))
        self.first = ModulatedConv(channels[0], channels[0], w_dim)
        self.background = ModulatedConv(channels[0], config.features, w_dim, kernel=1, demodulate=False, active=False)
        self.enter, self.refine, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(1, len(channels)):
            before, now, size = channels[level - 1], channels[level], config.base_resolution * 2**level
            self.enter.append(ModulatedConv(before, now, w_dim, double=True, positions=size))
            self.refine.append(ModulatedConv(now, now, w_dim, positions=size))
            self.out.append(ModulatedConv(now, planes, w_dim, kernel=1, demodulate=False, active=False))

    def forward(self, ws: Tensor) -> Tensor:
        x = self.first(self.constant.expand(ws.shape[0], -1, -1, -1), ws[:, 0])
        background = torch.sigmoid(self.background(x.mean(dim=(2, 3), keepdim=True), ws[:, 0]))
        planes: Tensor | None = None
        for level, (enter, refine, out) in enumerate(zip(self.enter, self.refine, self.out, strict=True)):
            x = refine(enter(x, ws[:, 1 + 2 * level]), ws[:, 2 + 2 * level])
            contribution = out(x, ws[:, 3 + 2 * level])
            planes = contribution if planes is None else upsample(planes) + contribution
        assert planes is not None
        return torch.cat([planes, background.expand(-1, -1, *planes.shape[2:])], dim=1)


class PointDecoder(nn.Module):
    """What is at a point in space: signed distance (positive inside, in units of TRUNCATION) and features."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.plane_channels = config.plane_channels
        self.distance = _perceptron(config.plane_channels, config.distance_width, 1)
        self.colour = _perceptron(config.plane_channels, config.colour_width, config.features)
        with torch.no_grad():
            cast(nn.Linear, self.distance[-1]).bias.fill_(-0.5)

    def sample(self, features: Tensor, points: Tensor) -> Tensor:
        """The sum of the three planes (n, c, R, R) at points (n, m, 3): (n, m, plane_channels)."""
        count, many = points.shape[:2]
        across = points[..., :2] / 1.05
        across = 2 * across / (1 + across.abs())  # doubles the planes' resolution in the middle
        x, y = across.unbind(dim=-1)
        z = (points[..., 2] - 0.05) / 0.8
        where = torch.stack([torch.stack([x, y], -1), torch.stack([z, y], -1), torch.stack([x, z], -1)], dim=1)
        planes = features[:, : 3 * self.plane_channels].reshape(count * 3, self.plane_channels, *features.shape[2:])
        sampled = functional.grid_sample(
            planes, where.view(count * 3, many, 1, 2), mode="bilinear", padding_mode="border", align_corners=False
        )
        return sampled.view(count, 3, self.plane_channels, many).sum(dim=1).transpose(1, 2).contiguous()

    def distances(self, sampled: Tensor) -> Tensor:
        """(n, m, plane_channels) to (n, m)."""
        return self.distance(sampled)[..., 0]

    def colours(self, sampled: Tensor) -> Tensor:
        """(n, m, plane_channels) to features (n, m, features) in (-0.001, 1.001)."""
        return torch.sigmoid(self.colour(sampled)) * 1.002 - 0.001

    def background(self, features: Tensor) -> Tensor:
        """The background feature (n, features) within the feature tensor."""
        return features[:, 3 * self.plane_channels :].mean(dim=(2, 3))


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


class SuperResolution(nn.Module):
    """A residual on the rendered picture, at its own resolution: rays alias, convolutions repair edges."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        wide, narrow = config.refine_widths
        self.first = ModulatedConv(config.features + 1, wide, config.w_dim)
        self.second = ModulatedConv(wide, narrow, config.w_dim)
        self.colour = ModulatedConv(narrow, 3, config.w_dim, kernel=1, demodulate=False, active=False)
        with torch.no_grad():
            self.colour.weight.mul_(0.1)

    def forward(self, rendered: Tensor, w: Tensor) -> Tensor:
        """Rendered features (n, features + 1, r, r) and the last code (n, w_dim) to RGB (n, 3, r, r), about [0, 1]."""
        return rendered[:, :3] + self.colour(self.second(self.first(rendered, w), w), w) * 0.5


class MiniGenerator(Generator):
    """See the module. Cameras are EG3D's labels on mini's rig; None is the frontal camera."""

    features_are_deterministic = True
    latent_scale: Tensor
    frontal: Tensor

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.num_ws, self.w_dim = LATENT_DIM, config.num_ws, config.w_dim
        self.resolution, self.rig = config.resolution, RIG
        self.mapping = MappingNetwork(config)
        self.backbone = Backbone(config)
        self.decoder = PointDecoder(config)
        self.super_resolution = SuperResolution(config)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("latent_scale", torch.ones(()))
        self.register_buffer("frontal", RIG.look_at(0.0, 0.0), persistent=False)

    def parts(self) -> Mapping[str, nn.Module]:
        """The backbone holds the background too; the decoder is shared by all points and faces."""
        return {
            "mapping": self.mapping,
            "backbone": self.backbone,
            "decoder": self.decoder,
            "super_resolution": self.super_resolution,
        }

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        """The last convolution of each resolution, by resolution."""
        sizes = [self.config.base_resolution * 2**level for level in range(len(self.config.channels))]
        modules = [self.backbone.first, *self.backbone.refine]
        return {
            f"b{size}": (module, channels)
            for size, module, channels in zip(sizes, modules, self.config.channels, strict=True)
        }

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """(n, 64) to (n, num_ws, w_dim). The mapping network is not conditioned on cameras; `condition` is ignored."""
        w = self.mapping(z) * self.latent_scale
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if psi != 1.0:
            rows = slice(0, cutoff)
            ws[:, rows] = self.w_avg + psi * (ws[:, rows] - self.w_avg)
        return ws

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) to (n, 64, 48, 48): 48 plane channels, then 16 constant background channels."""
        return self.backbone(ws / self.latent_scale)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Only ray samples draw noise: (n, 64, 48, 48) and codes to (n, 3, 96, 96)."""
        if cameras is None:
            cameras = self.frontal.expand(len(ws), -1)
        rendered = self.render_rays(features, cameras.to(features), noise=noise)
        return self.super_resolution(rendered, ws[:, -1] / self.latent_scale) * 2 - 1

    def render_rays(self, features: Tensor, cameras: Tensor, *, noise: Noise) -> Tensor:
        """Volume rendering: features seen from cameras to (n, features + 1, r, r); the last channel is opacity."""
        count, size, decoder = len(cameras), self.resolution, self.decoder
        with torch.no_grad():
            origins, directions = rays_from_labels(cameras, pixel_centres(size, features.device))
            depth = self._find_surface(features, cameras, noise)
            depth = depth - decoder.distances(decoder.sample(features, _along(origins, directions, depth))) * TRUNCATION
            jitter = noise.uniform((count, size * size), features.device) - 0.5
            depth = depth + SAMPLE_OFFSET + jitter * SAMPLE_JITTER
            points = _along(origins, directions, depth)
        sampled = decoder.sample(features, points)
        opacity = torch.sigmoid(DENSITY_SLOPE * decoder.distances(sampled))[..., None]
        blended = torch.lerp(decoder.background(features)[:, None], decoder.colours(sampled), opacity)
        return torch.cat([blended, opacity], dim=-1).transpose(1, 2).reshape(count, -1, size, size)

    def _find_surface(self, features: Tensor, cameras: Tensor, noise: Noise) -> Tensor:
        """Depth (n, r * r) of the first change of the signed distance's sign, found on a coarser grid of rays."""
        config, count, device = self.config, len(cameras), features.device
        coarse, samples, rays = config.coarse_resolution, config.coarse_samples, config.coarse_resolution**2
        spacing = (FAR - NEAR) / samples
        steps = torch.arange(samples, dtype=torch.float32, device=device)
        depth = NEAR + spacing * (steps + noise.uniform((count, rays, 1), device))
        origins, directions = rays_from_labels(cameras, pixel_centres(coarse, device))
        points = origins[:, None, None] + depth[..., None] * directions[:, :, None]
        distance = self.decoder.distances(self.decoder.sample(features, points.flatten(1, 2)))
        distance = distance.view(count, rays, samples)

        enters = (distance[..., 1:] >= 0) & (distance[..., :-1] < 0)
        met = enters.any(dim=-1, keepdim=True)
        outside = torch.where(met, enters.float().argmax(dim=-1, keepdim=True), distance.argmax(dim=-1, keepdim=True))
        inside = torch.where(met, outside + 1, outside)
        low, high = distance.gather(-1, outside), distance.gather(-1, inside)
        share = torch.where(met, -low / (high - low).clamp_min(1e-4), torch.zeros_like(low)).clamp(0, 1)
        found = (depth.gather(-1, outside) + share * spacing).view(count, 1, coarse, coarse)

        size = (self.resolution, self.resolution)
        nearest = functional.interpolate(found, size=size)
        linear = functional.interpolate(found, size=size, mode="bilinear", align_corners=False)
        return torch.where((linear - nearest).abs() < 0.08, linear, nearest).flatten(1)


def _along(origins: Tensor, directions: Tensor, depth: Tensor) -> Tensor:
    """Points (n, m, 3) at depth (n, m) of rays from origins (n, 3) in directions (n, m, 3)."""
    return origins[:, None] + depth[..., None] * directions
