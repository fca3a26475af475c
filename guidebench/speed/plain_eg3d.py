"""EG3D written plainly: one latent code at a time, in the order of the papers' equations, from the weights of ours.

A yardstick for speed and an oracle for numbers: nothing is batched, folded, cached, cut into chunks or laid out for a
machine. Each convolution multiplies its weights with the style (arXiv 1912.04958, Eq. 1 and 3), planes are read by
`grid_sample`, and the samples of a ray are sorted with their colours before they are integrated (arXiv 2112.07945).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from guidebench.networks import volume_rendering
from guidebench.networks.eg3d import PLANE_CHANNELS, TriPlaneGenerator
from guidebench.networks.stylegan2 import SynthesisBlock, SynthesisLayer, ToRGB, noise_maps
from guidebench.noise import Noise


class PlainEG3D:
    """The renders of a generator that has no noise in its super-resolution, as published ones."""

    def __init__(self, generator: TriPlaneGenerator) -> None:
        self.generator = generator

    def features(self, ws: Tensor, noise: Noise) -> Tensor:
        """(1, num_ws, w_dim) -> tri-planes (1, 96, 256, 256)."""
        synthesis = self.generator.backbone.synthesis
        maps = noise_maps(synthesis.layers(), 1, noise)
        x = image = None
        row = 0
        for block in synthesis.blocks():
            count = block.num_conv
            x, image = _block(block, x, image, ws[:, row : row + count + 1], maps[row : row + count])
            row += count
        assert image is not None
        return image

    def image(self, features: Tensor, ws: Tensor, camera: Tensor, noise: Noise) -> Tensor:
        """Tri-planes of one code seen from a camera (1, 25) -> (1, 3, resolution, resolution)."""
        options, size = self.generator.options, self.generator.neural_rendering_resolution
        jitter = noise.uniform((1, size * size, options.depth_resolution, 1), ws.device)[0, :, :, 0].to(ws)
        positions = self._positions(size * size, noise, ws)
        origins, directions = (rays[0] for rays in volume_rendering.rays_from_labels(camera, size))
        depths = volume_rendering.stratified_depths(options.ray_start, options.ray_end, jitter)
        colours, densities = self._samples(features, origins, directions, depths)
        segments = volume_rendering.segment_weights(densities, depths)
        second = volume_rendering.importance_depths(depths, segments, positions)
        more_colours, more_densities = self._samples(features, origins, directions, second)

        depths, order = torch.cat([depths, second], dim=1).sort(dim=1)
        colours = torch.cat([colours, more_colours], dim=1)
        colours = colours.gather(1, order[..., None].expand_as(colours))
        densities = torch.cat([densities, more_densities], dim=1).gather(1, order)
        weights = volume_rendering.segment_weights(densities, depths)
        middle = (colours[:, :-1] + colours[:, 1:]) / 2
        seen = (weights[..., None] * middle).sum(dim=1)
        if options.white_back:
            seen = seen + 1 - weights.sum(dim=1, keepdim=True)
        rendered = (seen * 2 - 1).T.reshape(1, PLANE_CHANNELS, size, size)

        network, last = self.generator.superresolution, ws[:, -1:].expand(-1, 3, -1)
        wanted = network.kind.expects
        if size < wanted or (size > wanted and network.kind.shrinks_input):
            rendered = functional.interpolate(
                rendered, size=(wanted, wanted), mode="bilinear", align_corners=False, antialias=network.antialias
            )
        x, image = _block(network.block0, rendered, rendered[:, :3], last, [None, None])
        _, image = _block(network.block1, x, image, last, [None, None])
        return image

    def _positions(self, rays: int, noise: Noise, ws: Tensor) -> Tensor:
        count = self.generator.options.depth_resolution_importance
        if noise.is_constant:
            return ((torch.arange(count, dtype=ws.dtype, device=ws.device) + 0.5) / count).expand(rays, -1)
        return noise.uniform((rays, count), ws.device).to(ws)

    def _samples(self, features: Tensor, origins: Tensor, directions: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
        """At depths (k, s) of rays (k, 3): colours (k, s, 32), densities (k, s)."""
        points = (origins[:, None] + depths[..., None] * directions[:, None]).flatten(0, 1)
        where = volume_rendering.project_onto_planes(points[None] * (2 / self.generator.options.box_warp))
        planes = features.view(3, PLANE_CHANNELS, *features.shape[2:])
        found = functional.grid_sample(planes, where[0, :, None], padding_mode="zeros", align_corners=False)
        first, _, second = self.generator.decoder.net
        out = second(functional.softplus(first(found[:, :, 0].mean(dim=0).T)))
        colours = torch.sigmoid(out[:, 1:]) * 1.002 - 0.001
        return colours.view(*depths.shape, -1), out[:, 0].view(depths.shape)


def _block(
    block: SynthesisBlock, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: list[Tensor | None]
) -> tuple[Tensor, Tensor]:
    """Features and picture of the block before, (1, c, r, r) each -> those of this one."""
    if x is None:
        x = _layer(block.conv1, block.const[None], ws[:, 0], noise[0])
    else:
        x = _layer(block.conv0, x, ws[:, 0], noise[0])
        x = _layer(block.conv1, x, ws[:, 1], noise[1])
    if image is not None and block.up:
        image = _low_pass(functional.pad(_zeros_between(image), (2, 1, 2, 1)), block.resample_filter * 4)
    out = _to_rgb(block.torgb, x, ws[:, block.num_conv])
    return x, out if image is None else image + out


def _layer(layer: SynthesisLayer, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
    weight = layer.weight * layer.affine(w)[0, :, None, None]
    weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
    if layer.up:
        x = functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = _low_pass(functional.pad(x, (1, 1, 1, 1)), layer.resample_filter * 4)
    else:
        x = functional.conv2d(x, weight, padding=1)
    if noise is not None:
        x = x + noise.to(x) * layer.noise_strength
    x = functional.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    return x if layer.clamp is None else x.clamp(-layer.clamp, layer.clamp)


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    weight = layer.weight * (layer.affine(w) / math.sqrt(layer.weight.shape[1]))[0, :, None, None]
    y = functional.conv2d(x, weight, layer.bias)
    return y if layer.clamp is None else y.clamp(-layer.clamp, layer.clamp)


def _zeros_between(image: Tensor) -> Tensor:
    """(1, c, h, w) -> (1, c, 2h, 2w), every other pixel 0."""
    count, channels, height, width = image.shape
    spread = functional.pad(image.view(count, channels, height, 1, width, 1), (0, 1, 0, 0, 0, 1))
    return spread.reshape(count, channels, 2 * height, 2 * width)


def _low_pass(x: Tensor, kernel: Tensor) -> Tensor:
    """The (4, 4) filter on every channel, without padding."""
    return functional.conv2d(x, kernel.to(x).expand(x.shape[1], 1, 4, 4), groups=x.shape[1])
