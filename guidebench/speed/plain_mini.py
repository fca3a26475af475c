"""Mini's generator written plainly, one latent code at a time; see `guidebench.speed.plain_eg3d`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.noise import Noise
from guidebench.testbeds.mini import generator as mini
from guidebench.testbeds.mini.generator import MiniGenerator, ModulatedConv, ModulatedOutput
from guidebench.testbeds.mini.renderer import pixel_centres, rays_from_labels


class PlainMini:
    """The renders of mini's generator."""

    def __init__(self, generator: MiniGenerator) -> None:
        self.generator = generator

    def features(self, ws: Tensor, noise: Noise) -> Tensor:
        """(1, num_ws, w_dim) -> planes and background feature (1, 64, 48, 48); nothing is drawn."""
        backbone, ws = self.generator.backbone, ws / self.generator.latent_scale
        x = _convolved(backbone.first, backbone.constant, ws[:, 0])
        background = _convolved(backbone.background, x.mean(dim=(2, 3), keepdim=True), ws[:, 0]).sigmoid()
        planes = None
        for level, (enter, refine, out) in enumerate(zip(backbone.enter, backbone.refine, backbone.out, strict=True)):
            x = _convolved(refine, _convolved(enter, x, ws[:, 1 + 2 * level]), ws[:, 2 + 2 * level])
            more = _convolved(out, x, ws[:, 3 + 2 * level])
            planes = more if planes is None else _doubled(planes) + more
        assert planes is not None
        return torch.cat([planes, background.expand(-1, -1, *planes.shape[2:])], dim=1)

    def image(self, features: Tensor, ws: Tensor, camera: Tensor, noise: Noise) -> Tensor:
        """Features of one code seen from a camera (1, 25) -> (1, 3, resolution, resolution)."""
        generator, size = self.generator, self.generator.resolution
        origins, directions = rays_from_labels(camera, pixel_centres(size, features.device))
        with torch.no_grad():
            depth = self._surface(features, camera, noise)
            depth = depth - self._distances(features, origins + depth[..., None] * directions) * mini.TRUNCATION
            jitter = noise.uniform((1, size * size), features.device).to(features) - 0.5
            depth = depth + mini.SAMPLE_OFFSET + jitter * mini.SAMPLE_JITTER
        found = self._sampled(features, origins + depth[..., None] * directions)
        opacity = torch.sigmoid(mini.DENSITY_SLOPE * generator.decoder.distance(found))
        colours = torch.sigmoid(generator.decoder.colour(found)) * 1.002 - 0.001
        background = features[:, 3 * generator.config.plane_channels :].mean(dim=(2, 3))
        blended = background + opacity * (colours - background)
        rendered = torch.cat([blended, opacity], dim=1).T.reshape(1, -1, size, size)

        network, w = generator.super_resolution, ws[:, -1] / generator.latent_scale
        residual = _convolved(network.second, _convolved(network.first, rendered, w), w)
        return (rendered[:, :3] + _convolved(network.colour, residual, w) * 0.5) * 2 - 1

    def _surface(self, features: Tensor, camera: Tensor, noise: Noise) -> Tensor:
        """Depth (1, r * r) of the first change of the signed distance's sign, found on a coarser grid of rays."""
        config, size = self.generator.config, self.generator.resolution
        coarse, samples = config.coarse_resolution, config.coarse_samples
        spacing = (mini.FAR - mini.NEAR) / samples
        steps = torch.arange(samples, dtype=features.dtype, device=features.device)
        drawn = noise.uniform((1, coarse * coarse, 1), features.device).to(features)
        depth = mini.NEAR + spacing * (steps + drawn)
        origins, directions = rays_from_labels(camera, pixel_centres(coarse, features.device))
        points = origins[:, None, None] + depth[..., None] * directions[:, :, None]
        distance = self._distances(features, points.flatten(1, 2)).view(depth.shape)

        enters = (distance[..., 1:] >= 0) & (distance[..., :-1] < 0)
        met = enters.any(dim=2, keepdim=True)
        outside = torch.where(met, enters.float().argmax(dim=2, keepdim=True), distance.argmax(dim=2, keepdim=True))
        low, high = distance.gather(2, outside), distance.gather(2, torch.where(met, outside + 1, outside))
        share = torch.where(met, -low / (high - low).clamp_min(1e-4), 0.0).clamp(0, 1)
        found = (depth.gather(2, outside) + share * spacing).view(1, 1, coarse, coarse)
        nearest = functional.interpolate(found, size=(size, size))
        linear = functional.interpolate(found, size=(size, size), mode="bilinear", align_corners=False)
        return torch.where((linear - nearest).abs() < 0.08, linear, nearest).flatten(1)

    def _distances(self, features: Tensor, points: Tensor) -> Tensor:
        """Signed distances (1, m), in units of TRUNCATION, at points (1, m, 3)."""
        return self.generator.decoder.distance(self._sampled(features, points)).T

    def _sampled(self, features: Tensor, points: Tensor) -> Tensor:
        """The sum of the three planes at points (1, m, 3): (m, plane_channels)."""
        channels = self.generator.config.plane_channels
        across = points[0, :, :2] / 1.05
        x, y = (2 * across / (1 + across.abs())).unbind(dim=1)
        z = (points[0, :, 2] - 0.05) / 0.8
        where = torch.stack([torch.stack(pair, dim=1) for pair in ((x, y), (z, y), (x, z))])
        planes = features[:, : 3 * channels].reshape(3, channels, *features.shape[2:])
        found = functional.grid_sample(planes, where[:, None], padding_mode="border", align_corners=False)
        return found[:, :, 0].sum(dim=0).T


def _convolved(layer: nn.Module, x: Tensor, w: Tensor) -> Tensor:
    """(1, inputs, r, r) -> (1, outputs, r or 2r, r or 2r): the weights times the style, then the convolution."""
    assert isinstance(layer, ModulatedConv)
    ends = isinstance(layer, ModulatedOutput)
    weight = layer.weight * layer.gain * layer.affine(w)[0, :, None, None]
    if not ends:
        weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    y = functional.conv2d(x, weight, padding=layer.kernel // 2)
    y = (_doubled(y) if layer.doubles else y) + layer.bias[:, None, None]
    if layer.position_map is not None:
        y = y + layer.position_map
    return y if ends else functional.leaky_relu(y, 0.2) * math.sqrt(2)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
