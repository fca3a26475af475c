"""The generator's interface on untrained weights, and its pictures on those that ship."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from guidebench.noise import Noise
from guidebench.testbeds.mini import generator as mini
from guidebench.testbeds.mini.generator import RIG, GeneratorConfig, MiniGenerator
from guidebench.testbeds.mini.renderer import pixel_centres, rays_from_labels
from guidebench.testbeds.mini.training.loop import seeded_build
from guidebench.testbeds.mini.weights_io import WeightsFolder


@pytest.fixture(scope="module")
def generator() -> MiniGenerator:
    built = seeded_build(0, "test", MiniGenerator).eval()
    built.latent_scale.fill_(3.0)
    return built


@pytest.fixture(scope="module")
def codes(generator: MiniGenerator) -> torch.Tensor:
    with torch.no_grad():
        return generator.map(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)))


@torch.no_grad()
def test_shapes_and_types(generator, codes):
    assert (generator.z_dim, generator.num_ws, generator.w_dim, generator.resolution) == (64, 8, 96, 96)
    assert codes.shape == (3, 8, 96) and generator.w_avg.shape == (96,)
    features = generator.synthesize(codes, noise=Noise.constant())
    assert features.shape == (3, 64, 48, 48)
    images = generator.decode(features, codes, RIG.look_at(torch.tensor([0.0, 0.1, 0.2]), 0.0), noise=Noise.constant())
    assert images.shape == (3, 3, 96, 96) and images.dtype == torch.float32 and images.isfinite().all()


@torch.no_grad()
def test_no_camera_means_the_frontal_one(generator, codes):
    frontal = generator.render(codes, RIG.look_at(0.0, 0.0).expand(3, -1), noise=Noise.constant())
    assert torch.equal(generator.render(codes, noise=Noise.constant()), frontal)


@torch.no_grad()
def test_a_batch_equals_its_images(generator, codes):
    """Different convolution kernels may be chosen for other batch sizes: equal to rounding, not to the bit."""
    together = generator.render(codes, noise=Noise.constant())
    alone = torch.cat([generator.render(one[None], noise=Noise.constant()) for one in codes])
    assert torch.allclose(together, alone, atol=2e-3)


@torch.no_grad()
def test_only_decoding_draws_noise(generator, codes):
    noise = Noise.random(5)
    features = generator.synthesize(codes, noise=noise)
    assert generator.features_are_deterministic
    assert torch.equal(noise.uniform((3,)), Noise.random(5).uniform((3,))), "nothing was drawn so far"
    drawn = [generator.decode(features, codes, noise=noise) for _ in range(2)]
    assert not torch.equal(drawn[0], drawn[1])


@torch.no_grad()
def test_truncation_moves_the_first_rows_towards_the_average(generator):
    z = torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    full, half = generator.map(z), generator.map(z, psi=0.5, cutoff=3)
    assert torch.equal(half[:, 3:], full[:, 3:])
    assert torch.allclose(half[:, :3], generator.w_avg + 0.5 * (full[:, :3] - generator.w_avg), atol=1e-6)


@torch.no_grad()
def test_pictures_do_not_depend_on_the_scale_of_the_latent_space(codes):
    images = []
    for scale in (1.0, 7.0):
        generator = seeded_build(0, "test", MiniGenerator).eval()
        generator.latent_scale.fill_(scale)
        images.append(generator.render(codes / 3.0 * scale, noise=Noise.constant()))
    assert torch.allclose(images[0], images[1], atol=1e-3)


def test_the_background_can_be_trained_through_the_backbone_alone(generator, codes):
    """The corner pixel shows background; its gradient must reach the layer that makes it."""
    generator.requires_grad_(True)
    background = generator.decoder.background(generator.synthesize(codes, noise=Noise.constant()))
    (gradient,) = torch.autograd.grad(background.sum(), generator.backbone.background.weight)
    assert generator.parts()["backbone"] is generator.backbone and gradient.abs().max() > 0
    generator.requires_grad_(False)


@torch.no_grad()
def test_blocks_name_modules_with_one_output_tensor_of_the_promised_width(generator, codes):
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, output, name=name: seen.__setitem__(name, output.shape))
        for name, (module, _channels) in generator.blocks().items()
    ]
    generator.synthesize(codes, noise=Noise.constant())
    for hook in hooks:
        hook.remove()
    expected = {name: channels for name, (_module, channels) in generator.blocks().items()}
    assert {name: shape[1] for name, shape in seen.items()} == expected
    assert {name: shape[2] for name, shape in seen.items()} == {"b6": 6, "b12": 12, "b24": 24, "b48": 48}


class Plain:
    """The generator's mathematics for one code, written for the eye; what it computes is what the fast code must."""

    def __init__(self, generator: MiniGenerator) -> None:
        self.generator, self.config = generator, generator.config

    def convolution(self, layer: mini.ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
        """With a kernel of this code's own: (1, inputs, r, r), (w_dim,) -> (1, outputs, r or 2 r, r or 2 r)."""
        outputs = isinstance(layer, mini.ModulatedOutput)
        kernel = layer.weight * layer.gain * layer.affine(w)[:, None, None]
        if not outputs:
            kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        y = functional.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        y = self.doubled(y) if layer.doubles else y
        y = y + layer.bias[:, None, None] + (0 if layer.position_map is None else layer.position_map)
        return y if outputs else math.sqrt(2) * functional.leaky_relu(y, 0.2)

    def doubled(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def features(self, ws: Tensor) -> Tensor:
        """(num_ws, w_dim) -> (1, 64, R, R)."""
        net = self.generator.backbone
        x = self.convolution(net.first, net.constant, ws[0])
        background = torch.sigmoid(self.convolution(net.background, x.mean(dim=(2, 3), keepdim=True), ws[0]))
        planes = None
        for level in range(len(net.out)):
            x = self.convolution(net.enter[level], x, ws[1 + 2 * level])
            x = self.convolution(net.refine[level], x, ws[2 + 2 * level])
            more = self.convolution(net.out[level], x, ws[3 + 2 * level])
            planes = more if planes is None else self.doubled(planes) + more
        return torch.cat([planes, background.expand(-1, -1, *planes.shape[2:])], dim=1)

    def at(self, features: Tensor, points: Tensor) -> Tensor:
        """(m, 3) -> (m, plane_channels)."""
        x, y = (2 * a / (1 + a.abs()) for a in (points[:, 0] / 1.05, points[:, 1] / 1.05))
        z = (points[:, 2] - 0.05) / 0.8
        planes = features[:, : 3 * self.config.plane_channels].chunk(3, dim=1)
        return sum(
            functional.grid_sample(plane, torch.stack(pair, -1)[None, None], padding_mode="border", align_corners=False)
            for plane, pair in zip(planes, [(x, y), (z, y), (x, z)], strict=True)
        )[0, :, 0].T

    def distances(self, features: Tensor, points: Tensor) -> Tensor:
        return self.generator.decoder.distance(self.at(features, points))[:, 0]

    def surface(self, features: Tensor, camera: Tensor) -> Tensor:
        """Where coarse rays first enter, or come closest, interpolated unless neighbours are far apart: (r * r,)."""
        spacing, size, found = (mini.FAR - mini.NEAR) / self.config.coarse_samples, self.config.coarse_resolution, []
        depth = [mini.NEAR + spacing * (step + 0.5) for step in range(self.config.coarse_samples)]
        origins, directions = rays_from_labels(camera, pixel_centres(size))
        for direction in directions[0]:
            inside = self.distances(features, torch.stack([origins[0] + at * direction for at in depth])).tolist()
            enters = [i for i in range(len(depth) - 1) if inside[i] < 0 <= inside[i + 1]]
            closest = depth[max(range(len(depth)), key=inside.__getitem__)]
            if enters:
                low, high = inside[enters[0] : enters[0] + 2]
                closest = depth[enters[0]] + spacing * -low / max(high - low, 1e-4)
            found.append(closest)
        grid, shape = torch.tensor(found, dtype=features.dtype).view(1, 1, size, size), [self.config.resolution] * 2
        near, smooth = (functional.interpolate(grid, shape, mode=mode) for mode in ("nearest", "bilinear"))
        return torch.where((smooth - near).abs() < 0.08, smooth, near).flatten()

    def image(self, ws: Tensor, camera: Tensor) -> Tensor:
        """(num_ws, w_dim) and a label (1, 25) -> (1, 3, r, r)."""
        generator, size, features = self.generator, self.config.resolution, self.features(ws)
        with torch.no_grad():
            origins, directions = rays_from_labels(camera, pixel_centres(size))
            depth = self.surface(features, camera)
            points = origins + depth[:, None] * directions[0]
            depth = depth - self.distances(features, points) * mini.TRUNCATION + mini.SAMPLE_OFFSET
        sampled = self.at(features, origins + depth[:, None] * directions[0])
        opacity = torch.sigmoid(mini.DENSITY_SLOPE * generator.decoder.distance(sampled))
        colours = torch.sigmoid(generator.decoder.colour(sampled)) * 1.002 - 0.001
        background = features[:, 3 * self.config.plane_channels :].mean(dim=(2, 3))
        rendered = torch.cat([opacity * colours + (1 - opacity) * background, opacity], dim=1)
        rendered, net = rendered.T.view(1, -1, size, size), generator.super_resolution
        more = self.convolution(net.second, self.convolution(net.first, rendered, ws[-1]), ws[-1])
        return 2 * (rendered[:, :3] + 0.5 * self.convolution(net.colour, more, ws[-1])) - 1


def shipped(dtype: torch.dtype) -> MiniGenerator:
    """The weights that ship, drawing small pictures."""
    config = GeneratorConfig(resolution=24, coarse_resolution=8)
    return WeightsFolder().load_into(MiniGenerator(config), "generator").to(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-3)])
def test_pictures_features_and_gradients_are_those_of_the_plain_formulas(dtype, tolerance):
    """float32: the layers multiply rounding; the gradients are compared as a whole."""
    generator = shipped(dtype)
    backbone = list(generator.backbone.requires_grad_(True).parameters())
    ws = generator.map(torch.randn(2, 64, generator=torch.Generator().manual_seed(0)).to(dtype))
    cameras = RIG.look_at(torch.tensor([-0.3, 0.2]), -0.2).to(dtype)
    plain, unscaled = Plain(generator), ws / generator.latent_scale

    features = generator.synthesize(ws, noise=Noise.constant())
    images = generator.decode(features, ws, cameras, noise=Noise.constant())
    expected_features = torch.cat([plain.features(code) for code in unscaled])
    expected = torch.cat([plain.image(code, camera[None]) for code, camera in zip(unscaled, cameras, strict=True)])
    assert expected.std() > 0.1
    assert (images - expected).abs().max() < tolerance
    assert (features - expected_features).norm() < tolerance * expected_features.norm()

    gradients = [torch.autograd.grad(some.square().sum(), backbone) for some in (images, expected)]
    found, wanted = (torch.cat([one.flatten() for one in each]) for each in gradients)
    assert wanted.norm() > 0 and (found - wanted).norm() < tolerance * wanted.norm()


@torch.no_grad()
def test_views_of_one_code_are_those_of_its_copies(codes):
    """A code and a camera that are expanded are looked up once; the pictures are the same."""
    generator = seeded_build(0, "test", MiniGenerator).eval()
    cameras = RIG.look_at(torch.tensor([0.0, 0.1, 0.2]), 0.0)
    features = generator.synthesize(codes[:1], noise=Noise.constant())
    for some, same in ((cameras, cameras), (cameras[:1].expand(3, -1), cameras[:1].repeat(3, 1))):
        expanded = generator.decode(
            features.expand(3, -1, -1, -1), codes[:1].expand(3, -1, -1), some, noise=Noise.constant()
        )
        copied = generator.decode(features.repeat(3, 1, 1, 1), codes[:1].repeat(3, 1, 1), same, noise=Noise.constant())
        assert torch.allclose(expanded, copied, atol=1e-5)


@torch.no_grad()
def test_a_generator_that_diverged_draws_no_numbers(codes):
    """The engine tells from the picture; nothing fails on the way to it."""
    generator = seeded_build(0, "test", MiniGenerator).eval()
    features = generator.synthesize(codes, noise=Noise.constant())
    features[1] = math.nan
    images = generator.decode(features, codes, noise=Noise.constant())
    assert images[1].isnan().any() and images[[0, 2]].isfinite().all()


@torch.no_grad()
def test_under_autocast_rays_stay_in_single_precision():
    """bfloat16 cannot tell one pixel of a plane from its neighbour; the convolutions bear it."""
    generator = shipped(torch.float32)
    codes = generator.map(torch.randn(2, 64, generator=torch.Generator().manual_seed(0)))
    exact = generator.render(codes, noise=Noise.constant())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = generator.render(codes, noise=Noise.constant())
    assert (coarse - exact).abs().mean() < 0.02
