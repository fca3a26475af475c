"""StyleGAN2's blocks: recorded pictures with drawn weights, their mathematics by hand, and what every option does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch_noise import TorchNoise

from guidebench.errors import BadInput
from guidebench.networks import stylegan2
from guidebench.networks.stylegan2 import StyleGAN2Generator, SynthesisLayer, ToRGB, noise_maps
from guidebench.noise import Noise

MODELS = ("tiny64", "tiny32_cond")
# Fused and unfused modulation differ by 5e-6 in the reference itself; its README recommends 2e-4 and 1e-5.
IMAGE_TOLERANCE, CODE_TOLERANCE = 2e-5, 5e-6


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "stylegan2.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, golden: dict[str, np.ndarray], recipe: ModuleType) -> tuple[str, Any]:
    name = request.param
    generator = StyleGAN2Generator(**json.loads(str(golden[f"{name}_config"])))
    return name, recipe.fill(generator, str(golden[f"{name}_salt"]), "stylegan")


def small(**synthesis: Any) -> StyleGAN2Generator:
    torch.manual_seed(0)
    settings = {"channel_base": 128, "channel_max": 8, **synthesis}
    generator = StyleGAN2Generator(8, 0, 8, 16, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=settings)
    with torch.no_grad():
        for layer in generator.synthesis.layers():
            layer.noise_strength.fill_(0.3)
    return generator.requires_grad_(False)


def test_keys_and_shapes_are_the_stored_ones(model, golden):
    name, generator = model
    shapes = {key: list(value.shape) for key, value in generator.state_dict().items()}
    assert shapes == json.loads(str(golden[f"{name}_keys"]))


def test_codes_are_the_recorded_ones(model, golden):
    name, generator = model
    z, c = (torch.from_numpy(golden[f"{name}_{key}"]) for key in "zc")
    ws = generator.map(z, condition=c)
    assert (ws == ws[:, :1]).all()
    np.testing.assert_allclose(ws[:, 0], golden[f"{name}_w"], atol=CODE_TOLERANCE, rtol=0)
    truncated = generator.map(z, condition=c, psi=0.5, cutoff=4)
    np.testing.assert_allclose(truncated[:, 3:5], golden[f"{name}_w_psi05_cut4"], atol=CODE_TOLERANCE, rtol=0)


def test_pictures_are_the_recorded_ones_in_every_noise_mode(model, golden):
    name, generator = model
    z, c = (torch.from_numpy(golden[f"{name}_{key}"]) for key in "zc")
    ws, stride = generator.map(z, condition=c), 3 if name == "tiny64" else 2
    seeded = TorchNoise(int(golden[f"{name}_seed"]))
    pictures = {
        "image_const": generator.synthesize(ws, noise=Noise.constant()),
        "image_none": generator.synthesize(ws, noise=None),
        "image_random_seeded": generator.synthesize(ws, noise=seeded),
        "forward_psi07": generator.synthesize(generator.map(z, condition=c, psi=0.7), noise=Noise.constant()),
    }
    for kind, picture in pictures.items():
        expected = golden[f"{name}_{kind}"]
        np.testing.assert_allclose(picture[:, :, ::stride, ::stride], expected, atol=IMAGE_TOLERANCE, rtol=0)


def by_hand(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Eqs. 1 and 3 of the StyleGAN2 paper: modulate the weights of every sample, divide by their norm, convolve."""
    style = w @ layer.affine.weight.T / math.sqrt(w.shape[1]) + layer.affine.bias
    pictures = []
    for sample, scale in zip(x, style, strict=True):
        weight = layer.weight * scale[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.up:
            spread = torch.zeros(len(sample), 2 * sample.shape[1], 2 * sample.shape[2], dtype=x.dtype)
            spread[:, ::2, ::2] = sample
            # A convolution with the 3 x 3 kernel, then the low-pass of gain 4, which is centred half a pixel off.
            wide = functional.conv2d(functional.pad(spread, (2, 2, 2, 2))[None], weight.flip(2, 3))
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype) / 4
            kernel = torch.outer(taps, taps).expand(len(weight), 1, 4, 4)
            y = functional.conv2d(functional.pad(wide, (1, 1, 1, 1)), kernel, groups=len(weight))
            y = y[:, :, : spread.shape[1], : spread.shape[2]]
        else:
            y = functional.conv2d(sample[None], weight, padding=1)
        pictures.append(y)
    y = torch.cat(pictures) + layer.bias[:, None, None]
    return functional.leaky_relu(y, 0.2) * math.sqrt(2)


@pytest.mark.parametrize("up", [False, True])
def test_scaling_inputs_and_outputs_equals_scaling_the_weights_of_every_sample(up):
    torch.manual_seed(1)
    layer = SynthesisLayer(6, 5, 7, 16 if up else 8, up=up)
    torch.nn.init.normal_(layer.bias)
    x, w = torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    with torch.no_grad():
        assert torch.allclose(layer(x, w), by_hand(layer, x, w), atol=1e-5)


def test_upsampling_weighs_neighbours_three_to_one():
    kernel = stylegan2.fir_kernel()
    up = stylegan2.upsample(torch.tensor([[[[0.0, 16.0, 0.0]]]]), kernel)[0, 0]
    assert torch.allclose(up[0], 0.75 * torch.tensor([0.0, 4.0, 12.0, 12.0, 4.0, 0.0]))
    assert torch.allclose(
        stylegan2.upsample(torch.ones(1, 2, 6, 6), kernel)[:, :, 1:-1, 1:-1], torch.ones(1, 2, 10, 10)
    )


def test_the_output_of_a_layer_has_unit_variance_whatever_the_style():
    """What demodulation is for: inputs of unit variance, any style, and an output of unit variance before the ReLU."""
    torch.manual_seed(2)
    layer = SynthesisLayer(64, 64, 16, 64)
    w = torch.stack([torch.randn(16) * 0.1, torch.randn(16) * 30])
    with torch.no_grad():
        y = layer(torch.randn(2, 64, 64, 64), w) / math.sqrt(2)
        before = torch.where(y < 0, y / 0.2, y)[:, :, 1:-1, 1:-1]
    assert torch.allclose(before.std(dim=(1, 2, 3)), torch.ones(2), atol=0.05)


def test_orig_is_skip_without_the_earlier_ways_out():
    skip, orig = small(architecture="skip"), small(architecture="orig")
    state = skip.state_dict()
    assert set(orig.state_dict()) == {key for key in state if "torgb" not in key or ".b16." in key}
    orig.load_state_dict({key: state[key] for key in orig.state_dict()})
    for block in skip.synthesis.blocks()[:-1]:
        block.torgb.weight.zero_()
        block.torgb.bias.zero_()
    ws = torch.randn(2, skip.num_ws, 8)
    pictures = [generator.synthesize(ws, noise=Noise.constant()) for generator in (skip, orig)]
    assert torch.allclose(*pictures, atol=1e-6)


def test_resnet_adds_a_bypass():
    generator = small(architecture="resnet")
    ws = torch.randn(2, generator.num_ws, 8)
    before = generator.synthesize(ws, noise=None)
    generator.synthesis.b16.skip.weight.zero_()
    assert not torch.allclose(before, generator.synthesize(ws, noise=None), atol=1e-2)


def test_a_batch_equals_its_members():
    generator = small()
    ws = torch.randn(3, generator.num_ws, 8)
    batch = generator.synthesize(ws, noise=Noise.constant())
    single = torch.cat([generator.synthesize(w[None], noise=Noise.constant()) for w in ws])
    assert torch.allclose(batch, single, atol=1e-5)  # convolutions may add up in another order


def test_generators_with_noise_of_one_key_draw_alike():
    generator = small()
    ws = torch.randn(2, generator.num_ws, 8)
    first, second, third = (generator.synthesize(ws, noise=Noise.random(key)) for key in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.allclose(first, third, atol=1e-2)


def test_noise_maps_follow_the_order_and_sizes_of_the_layers():
    generator = small()
    maps = noise_maps(generator.synthesis.layers(), 2, Noise.random(1))
    assert [tuple(each.shape) for each in maps if each is not None] == [(2, 1, r, r) for r in (4, 8, 8, 16, 16)]
    expected = Noise.random(1).normal((2, 1, 4, 4))
    assert torch.equal(maps[0], expected)


def test_truncation_moves_the_first_rows_to_the_average():
    generator = small()
    generator.mapping.w_avg.normal_()
    z = torch.randn(2, 8)
    free, held = generator.map(z), generator.map(z, psi=0.0, cutoff=2)
    assert torch.equal(held[:, :2], generator.w_avg.expand(2, 2, 8))
    assert torch.equal(held[:, 2:], free[:, 2:])
    assert torch.allclose(generator.map(z, psi=0.25), generator.w_avg + 0.25 * (free - generator.w_avg), atol=1e-6)


def test_a_condition_changes_the_codes_and_must_be_given(golden):
    generator = StyleGAN2Generator(**json.loads(str(golden["tiny32_cond_config"]))).requires_grad_(False)
    z = torch.randn(1, 32)
    first, second = (generator.map(z, condition=torch.eye(4)[i : i + 1]) for i in (0, 1))
    assert not torch.allclose(first, second, atol=1e-3)
    with pytest.raises(ValueError, match=r"condition .*\b4\b"):
        generator.map(z)


def test_the_clamp_bounds_activations_and_their_gradients():
    torch.manual_seed(3)
    layer = SynthesisLayer(4, 4, 4, 8, clamp=0.5)
    x, w = torch.randn(1, 4, 8, 8, requires_grad=True), torch.randn(1, 4)
    y = layer(x, w)
    assert y.abs().max() == 0.5
    (gradient,) = torch.autograd.grad(y[y.abs() == 0.5].sum(), x)
    assert not gradient.any()


def test_half_precision_agrees_with_single_and_survives_large_inputs():
    """Inputs at the clamp of 256 would sum to 6e5 here, beyond float16; 1 % is 10 rounding steps of 2^-10."""
    torch.manual_seed(4)
    layer = SynthesisLayer(256, 16, 8, 16, up=True, clamp=256.0).requires_grad_(False)
    x, w = torch.full((1, 256, 8, 8), 256.0), torch.randn(1, 8) * 20
    single, half = layer(x, w), layer(x.half(), w)
    assert half.dtype == torch.float16 and half.isfinite().all()
    assert torch.allclose(half.float(), single, rtol=1e-2, atol=1e-2 * float(single.abs().max()))


def test_the_way_out_scales_the_inputs_of_every_sample_by_its_style():
    """A 1x1 convolution of maps that the style scales, in float64; in half precision, the same within 1 %."""
    layer, draw = ToRGB(6, 3, 8).double().requires_grad_(False), torch.Generator().manual_seed(5)
    x, w = (torch.randn(shape, dtype=torch.float64, generator=draw) for shape in ((2, 6, 5, 4), (2, 8)))
    styles = layer.affine(w) / math.sqrt(6)
    expected = functional.conv2d(x * styles[:, :, None, None], layer.weight, layer.bias)
    for maps in (x, x.contiguous(memory_format=torch.channels_last)):
        assert torch.allclose(layer(maps, w), expected, rtol=0, atol=1e-12)
    half = layer.float()(x.half(), w.float())
    assert half.dtype == torch.float16 and torch.allclose(half.double(), expected, atol=1e-2)


def test_frozen_layers_of_many_channels_give_what_trained_ones_do():
    """Winograd's convolution stands in where weights are frozen."""
    layer, draw = SynthesisLayer(128, 128, 8, 32).double(), torch.Generator().manual_seed(6)
    x, w = (torch.randn(shape, dtype=torch.float64, generator=draw) for shape in ((2, 128, 32, 32), (2, 8)))
    trained = layer(x, w).detach()
    assert torch.allclose(layer.requires_grad_(False)(x, w), trained, rtol=0, atol=1e-11)


def test_blocks_of_the_highest_resolutions_are_half_precision_on_cuda_only():
    generator = small(num_fp16_res=2, conv_clamp=256)
    assert [block.half_on_cuda for block in generator.synthesis.blocks()] == [False, True, True]
    assert generator.synthesize(torch.randn(1, generator.num_ws, 8), noise=None).dtype == torch.float32


@pytest.mark.parametrize("architecture", ["skip", "orig", "resnet"])
def test_gradients_reach_every_weight(architecture):
    generator = small(architecture=architecture).requires_grad_(True)
    picture = generator.synthesize(generator.map(torch.randn(2, 8)), noise=Noise.constant())
    picture.square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in generator.parameters())


def test_the_gradient_is_that_of_the_function():
    torch.manual_seed(5)
    layer = SynthesisLayer(3, 2, 4, 6, up=True).double()
    x = torch.randn(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(1, 1, 6, 6, dtype=torch.float64)

    def output(x, weight, strength, bias):
        values = {"weight": weight, "noise_strength": strength, "bias": bias}
        return torch.func.functional_call(layer, values, (x, torch.ones(1, 4, dtype=torch.float64), noise))

    weights = [layer.weight, layer.noise_strength, layer.bias]
    assert torch.autograd.gradcheck(output, (x, *weights))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "relu"}, "activation = 'relu'.*'lrelu'"),
        ({"use_noise": False}, "use_noise = False"),
        ({"architecture": "dense"}, "architecture 'dense'.*skip, orig, resnet"),
        ({"attention": True}, "synthesis .*attention = True"),
    ],
)
def test_arguments_of_another_network_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        StyleGAN2Generator(8, 0, 8, 16, synthesis_kwargs=settings)
