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
from typing import Any, NamedTuple, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.cameras import CameraRig
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.mini import triplanes
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
    """A 3 x 3 convolution with input channels scaled by a style (StyleGAN2), as scale - shared convolution - scale.

    With `double`, the output is upsampled twofold after the convolution, which costs a quarter of upsampling before.
    With `positions`, a learned map of that resolution is added: where things are is not left to the padding.
    """

    kernel = 3

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, double: bool = False, positions: int = 0) -> None:
        super().__init__()
        self.affine = ScaledLinear(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, self.kernel, self.kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.position_map = nn.Parameter(torch.zeros(1, outputs, positions, positions)) if positions else None
        self.gain, self.doubles = 1 / math.sqrt(inputs * self.kernel**2), double

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(n, inputs, r, r), (n, w_dim) to (n, outputs, r or 2r, r or 2r), channels last."""
        style = self.affine(w) * self.gain
        y = functional.conv2d(x * style[:, :, None, None], self.weight, padding=1)
        if self.doubles:
            y = upsample(y)
        norm = (style.square() @ self.weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
        shift = self.bias[None, :, None, None]
        if self.position_map is not None:
            shift = (shift + self.position_map).contiguous(memory_format=torch.channels_last)
        # the activation's gain is applied before it, to fewer numbers
        return functional.leaky_relu_(torch.addcmul(shift * _GAIN, y, norm[:, :, None, None] * _GAIN), 0.2)


class ModulatedOutput(ModulatedConv):
    """A linear map of every pixel, scaled like a convolution but neither normalised nor activated."""

    kernel = 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """(n, inputs, r, r), (n, w_dim) to (n, outputs, r, r), channels last."""
        matrices = (self.affine(w) * self.gain)[:, :, None] * self.weight[:, :, 0, 0].T  # of each code
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)
        return torch.baddbmm(self.bias, pixels, matrices).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


def upsample(x: Tensor) -> Tensor:
    """Bilinear, twofold, channels last."""
    doubled = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    if doubled.requires_grad:
        doubled.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return doubled


class Backbone(nn.Module):
    """Unscaled w+ codes (n, num_ws, w_dim) to the feature tensor (n, 3 x plane_channels + features, R, R).

    The first channels are the xy, zy and xz planes; the rest hold the background feature, equal at all pixels.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels, w_dim, planes = config.channels, config.w_dim, 3 * config.plane_channels
        self.constant = nn.Parameter(torch.randn(1, channels[0], config.base_resolution, config.base_resolution))
        self.first = ModulatedConv(channels[0], channels[0], w_dim)
        self.background = ModulatedOutput(channels[0], config.features, w_dim)
        self.enter, self.refine, self.out = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for level in range(1, len(channels)):
            before, now, size = channels[level - 1], channels[level], config.base_resolution * 2**level
            self.enter.append(ModulatedConv(before, now, w_dim, double=True, positions=size))
            self.refine.append(ModulatedConv(now, now, w_dim, positions=size))
            self.out.append(ModulatedOutput(now, planes, w_dim))

    def forward(self, ws: Tensor) -> Tensor:
        constant = self.constant.contiguous(memory_format=torch.channels_last)
        x = self.first(constant.expand(ws.shape[0], -1, -1, -1), ws[:, 0])
        background = torch.sigmoid(self.background(x.mean(dim=(2, 3), keepdim=True), ws[:, 0]))
        planes: Tensor | None = None
        for level, (enter, refine, out) in enumerate(zip(self.enter, self.refine, self.out, strict=True)):
            x = refine(enter(x, ws[:, 1 + 2 * level]), ws[:, 2 + 2 * level])
            contribution = out(x, ws[:, 3 + 2 * level])
            planes = contribution if planes is None else upsample(planes) + contribution
        assert planes is not None
        last = planes.permute(0, 2, 3, 1)
        everywhere = background.permute(0, 2, 3, 1).expand(*last.shape[:3], -1)
        return torch.cat([last, everywhere], dim=3).permute(0, 3, 1, 2)


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
        sampled = triplanes.look_up(self.table(features), self.locate(features, points))
        return sampled.unflatten(0, points.shape[:2])

    def table(self, features: Tensor) -> Tensor:
        """The planes (n, c, R, R) as `triplanes.look_up` reads them; one code that was expanded is in it once."""
        return triplanes.table(distinct(features)[:, : 3 * self.plane_channels])

    def locate(self, features: Tensor, points: Tensor) -> triplanes.Places:
        """Points (n, m, 3) in the planes of a feature tensor."""
        across = points[..., :2].movedim(-1, 0) / 1.05
        across = 2 * across / (1 + across.abs())  # doubles the planes' resolution in the middle
        coordinates = torch.cat([across, ((points[..., 2] - 0.05) / 0.8)[None]])
        return triplanes.locate(coordinates, features.shape[-1], shared=len(distinct(features)) < len(features))

    def distances(self, sampled: Tensor) -> Tensor:
        """(..., plane_channels) to (...)."""
        return _at_points(self.distance, sampled)[..., 0]

    def distance_table(self, table: Tensor) -> Tensor:
        """A table for `distances_in`: the first layer of the distance is applied to it, if it is still a linear one."""
        first = self.distance[0]
        if not _is_plain_linear(first):
            return table
        return functional.linear(table, first.weight, first.bias / 3)  # a look-up adds three planes

    def distances_in(self, distance_table: Tensor, places: triplanes.Places) -> Tensor:
        """(p,); what `distances` gives of samples at these places."""
        sampled = triplanes.look_up(distance_table, places)
        return (self.distance[1:] if _is_plain_linear(self.distance[0]) else self.distance)(sampled)[:, 0]

    def colours(self, sampled: Tensor) -> Tensor:
        """(..., plane_channels) to features (..., features) in (-0.001, 1.001)."""
        return torch.sigmoid(_at_points(self.colour, sampled)) * 1.002 - 0.001

    def background(self, features: Tensor) -> Tensor:
        """The background feature (n, features) within the feature tensor."""
        return features[:, 3 * self.plane_channels :].mean(dim=(2, 3))


def _is_plain_linear(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a layer does no more than its weights say: a method may have put another in its place, or hooked it."""
    return type(layer) is nn.Linear and not layer._forward_hooks and not layer._forward_pre_hooks


def _perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(width, outputs),
    )


def _at_points(network: nn.Sequential, sampled: Tensor) -> Tensor:
    """A network applied to the last axis; its in-place activations want a matrix that is no view of another tensor."""
    return network(sampled.flatten(0, -2)).unflatten(0, sampled.shape[:-1])


class SuperResolution(nn.Module):
    """A residual on the rendered picture, at its own resolution: rays alias, convolutions repair edges."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        wide, narrow = config.refine_widths
        self.first = ModulatedConv(config.features + 1, wide, config.w_dim)
        self.second = ModulatedConv(wide, narrow, config.w_dim)
        self.colour = ModulatedOutput(narrow, 3, config.w_dim)
        with torch.no_grad():
            self.colour.weight.mul_(0.1)

    def forward(self, rendered: Tensor, w: Tensor) -> Tensor:
        """Rendered features (n, features + 1, r, r) and the last code (n, w_dim) to RGB (n, 3, r, r), about [0, 1]."""
        return rendered[:, :3] + self.colour(self.second(self.first(rendered, w), w), w) * 0.5


class ScaledGenerator(Generator):
    """A mapping network whose codes are scaled once, after training, and a backbone of modulated convolutions."""

    features_are_deterministic = True
    backbone: Any  # a module; each subclass has its own
    latent_scale: Tensor

    def __init__(self, config: GeneratorConfig, mapping: MappingNetwork, backbone: nn.Module) -> None:
        """backbone: its convolutions are `first` and, from the second level on, `refine`."""
        super().__init__()
        self.config = config
        self.z_dim, self.num_ws, self.w_dim = LATENT_DIM, config.num_ws, config.w_dim
        self.resolution = config.resolution
        self.mapping, self.backbone = mapping, backbone
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("latent_scale", torch.ones(()))

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


class MiniGenerator(ScaledGenerator):
    """See the module. Cameras are EG3D's labels on mini's rig; None is the frontal camera."""

    rig = RIG
    backbone: Backbone
    frontal: Tensor

    def __init__(self, config: GeneratorConfig = GeneratorConfig()) -> None:
        super().__init__(config, MappingNetwork(config), Backbone(config))
        self.decoder = PointDecoder(config)
        self.super_resolution = SuperResolution(config)
        self.register_buffer("frontal", RIG.look_at(0.0, 0.0), persistent=False)

    def parts(self) -> Mapping[str, nn.Module]:
        """The backbone holds the background too; the decoder is shared by all points and faces."""
        return {
            "mapping": self.mapping,
            "backbone": self.backbone,
            "decoder": self.decoder,
            "super_resolution": self.super_resolution,
        }

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        """(n, num_ws, w_dim) to (n, 64, 48, 48): 48 plane channels, then 16 constant background channels."""
        return self.backbone(ws / self.latent_scale)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        """Only ray samples draw noise: (n, 64, 48, 48) and codes to (n, 3, 96, 96)."""
        if cameras is None:
            cameras = self.frontal.expand(len(ws), -1)
        with torch.autocast(features.device.type, enabled=False):  # half precision is too coarse for places
            rendered = self.render_rays(features.to(self.w_avg), cameras.to(self.w_avg), noise=noise)
        return self.super_resolution(rendered, ws[:, -1] / self.latent_scale) * 2 - 1

    def render_rays(self, features: Tensor, cameras: Tensor, *, noise: Noise) -> Tensor:
        """Volume rendering: features seen from cameras to (n, features + 1, r, r); the last channel is opacity."""
        count, size, decoder = len(cameras), self.resolution, self.decoder
        table = decoder.table(features)
        with torch.no_grad():
            distance_table = decoder.distance_table(table)
            rays = Rays.through_pixels(cameras, size)
            depth = self._find_surface(features, distance_table, cameras, noise)
            places = decoder.locate(features, rays.at(depth))
            depth = depth - decoder.distances_in(distance_table, places).view_as(depth) * TRUNCATION
            jitter = noise.uniform((count, size * size), features.device) - 0.5
            depth = depth + SAMPLE_OFFSET + jitter * SAMPLE_JITTER
            places = decoder.locate(features, rays.at(depth))
        sampled = triplanes.look_up(table, places).view(count, size * size, -1)
        opacity = torch.sigmoid(DENSITY_SLOPE * decoder.distances(sampled))[..., None]
        background = decoder.background(features)[:, None].expand(-1, size * size, -1)
        blended = self._blend(background, sampled, opacity)
        rendered = torch.cat([blended, opacity], dim=-1)
        return rendered.view(count, size, size, -1).permute(0, 3, 1, 2)

    def _blend(self, background: Tensor, sampled: Tensor, opacity: Tensor) -> Tensor:
        """Colours over background: (n, m, f), (n, m, plane_channels), (n, m, 1) to (n, m, f).

        On a CPU, samples whose opacity would not change the last digit of a colour are left out: a third of them.
        """
        if background.device.type != "cpu":
            return torch.lerp(background, self.decoder.colours(sampled), opacity)
        rows = (opacity.flatten() > torch.finfo(opacity.dtype).eps / 4).nonzero()[:, 0]
        behind, sampled, opacity = (part.flatten(0, 1).index_select(0, rows) for part in (background, sampled, opacity))
        blended = torch.lerp(behind, self.decoder.colours(sampled), opacity)
        return background.flatten(0, 1).index_copy(0, rows, blended).view_as(background)

    def _find_surface(self, features: Tensor, distance_table: Tensor, cameras: Tensor, noise: Noise) -> Tensor:
        """Depth (n, r * r) of the first change of the signed distance's sign, found on a coarser grid of rays."""
        config, count, device = self.config, len(cameras), features.device
        coarse, samples, many = config.coarse_resolution, config.coarse_samples, config.coarse_resolution**2
        spacing = (FAR - NEAR) / samples
        steps = torch.arange(samples, dtype=features.dtype, device=device)[:, None]
        depth = NEAR + spacing * (steps + noise.uniform((count, many, 1), device).view(count, 1, many))
        points = Rays.through_pixels(cameras, coarse).repeat(samples).at(depth.flatten(1))
        distance = self.decoder.distances_in(distance_table, self.decoder.locate(features, points)).view_as(depth)

        enters = (distance[:, 1:] >= 0) & (distance[:, :-1] < 0)
        met, last_outside = enters.max(dim=1, keepdim=True)
        outside = torch.where(met, last_outside, distance.max(dim=1, keepdim=True).indices)
        inside = torch.where(met, outside + 1, outside)
        low, high = distance.gather(1, outside), distance.gather(1, inside)
        share = torch.where(met, -low / (high - low).clamp_min(1e-4), torch.zeros_like(low)).clamp(0, 1)
        found = (depth.gather(1, outside) + share * spacing).view(count, 1, coarse, coarse)

        size = (self.resolution, self.resolution)
        nearest = functional.interpolate(found, size=size)
        linear = functional.interpolate(found, size=size, mode="bilinear", align_corners=False)
        return torch.where((linear - nearest).abs() < 0.08, linear, nearest).flatten(1)


class Rays(NamedTuple):
    """Rays of a batch of cameras, or of one that all codes share. Coordinates come first, as arithmetic is fast so."""

    origins: Tensor  # (3, n or 1, 1)
    directions: Tensor  # (3, n or 1, m), unit vectors

    @classmethod
    def through_pixels(cls, cameras: Tensor, resolution: int) -> "Rays":
        """Through the centres of all pixels, row by row."""
        origins, directions = rays_from_labels(distinct(cameras), pixel_centres(resolution, cameras.device))
        return cls(origins.T[..., None].contiguous(), directions.movedim(-1, 0).contiguous())

    def repeat(self, times: int) -> "Rays":
        """All rays, then all of them again, and so on."""
        return Rays(self.origins, self.directions.repeat(1, 1, times))

    def at(self, depth: Tensor) -> Tensor:
        """Points (n, m, 3) at depth (n, m)."""
        return (self.origins + depth * self.directions).movedim(0, -1)


def distinct(rows: Tensor) -> Tensor:
    """The rows of a batch; one of them where it is a single row that was expanded."""
    return rows[:1] if rows.stride(0) == 0 else rows
