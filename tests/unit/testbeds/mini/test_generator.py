"""The generator's interface on untrained weights, and its pictures on those that ship."""

from __future__ import annotations

import math

import pytest
import torch

from guidebench.noise import Noise
from guidebench.speed.plain_mini import PlainMini
from guidebench.testbeds.mini.generator import RIG, GeneratorConfig, MiniGenerator
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
    plain, constant = PlainMini(generator), Noise.constant()

    features = generator.synthesize(ws, noise=Noise.constant())
    images = generator.decode(features, ws, cameras, noise=Noise.constant())
    expected_features = torch.cat([plain.features(code, constant) for code in ws.split(1)])
    expected = torch.cat(
        [
            plain.image(plain.features(code, constant), code, camera, constant)
            for code, camera in zip(ws.split(1), cameras.split(1), strict=True)
        ]
    )
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
