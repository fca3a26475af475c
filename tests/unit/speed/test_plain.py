"""The plain way and ours are the same mathematics: one is the oracle of the other."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from guidebench import seeds
from guidebench.baselines.guide import Guide
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.irse import IRSE50, FixedCropRecognizer
from guidebench.networks.lpips import LPIPS
from guidebench.noise import Noise
from guidebench.speed.plain import PlainLoop, plain_sample
from guidebench.speed.plain_eg3d import PlainEG3D
from guidebench.speed.plain_mini import PlainMini
from guidebench.speed.workloads import WORKLOADS
from guidebench.testbed import Generator, Inverter
from guidebench.testbeds.mini.generator import GeneratorConfig, MiniGenerator
from guidebench.testbeds.mini.testbed import MiniTestbed
from guidebench.unlearner import CameraSampler, Context

CPU = torch.device("cpu")


def tiny_eg3d() -> TriPlaneGenerator:
    """Few channels, 128 px, 16 x 16 rays; noise with an effect."""
    torch.manual_seed(3)
    arguments = {"z_dim": 16, "c_dim": 25, "w_dim": 16, "img_resolution": 128, "channel_base": 512, "channel_max": 8}
    rendering = {
        "superresolution_module": "SuperresolutionHybrid2X",
        "depth_resolution": 6,
        "depth_resolution_importance": 6,
        "ray_start": 2.25,
        "ray_end": 3.3,
        "box_warp": 1,
    }
    generator = TriPlaneGenerator.from_arguments(arguments, rendering, 16)
    return spread(generator)


def tiny_mini() -> MiniGenerator:
    torch.manual_seed(4)
    config = GeneratorConfig(w_dim=40, mapping_width=16, channels=(12, 8, 8), base_resolution=4, resolution=24)
    return spread(MiniGenerator(config))


def spread(generator: Any) -> Any:
    """Parameters that start at 0 get an effect."""
    with torch.no_grad():
        for parameter in generator.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return generator.eval().requires_grad_(False)


KINDS = [(tiny_eg3d, PlainEG3D), (tiny_mini, PlainMini)]


@pytest.mark.parametrize("noise", [Noise.constant, lambda: Noise.random(5)], ids=["constant", "random"])
@pytest.mark.parametrize(("build", "plain"), KINDS, ids=["eg3d", "mini"])
@torch.no_grad()
def test_a_generator_shows_what_its_plain_form_shows(build, plain, noise):
    """In double precision, so that only another formula would show: to 1e-8."""
    generator = build().double()
    codes = generator.map(seeds.normals(range(3), generator.z_dim, "codes").double()).double()
    camera = generator.rig.look_at(0.2, -0.1).double()
    for code in codes.split(1):
        features = generator.synthesize(code, noise=noise())
        wanted_features = plain(generator).features(code, noise())
        assert float((features - wanted_features).abs().max()) < 1e-8
        found = generator.decode(features, code, camera, noise=noise())
        wanted = plain(generator).image(features, code, camera, noise())
        assert float((found - wanted).abs().max()) < 1e-8


def eg3d_with_losses() -> tuple[Generator, Any, Any]:
    torch.manual_seed(5)
    return tiny_eg3d(), FixedCropRecognizer(IRSE50()).eval().requires_grad_(False), LPIPS()


def mini_as_it_ships() -> tuple[Generator, Any, Any]:
    players = MiniTestbed().players()
    return players.generator, players.recognizer, players.perceptual


STEPS = [
    pytest.param(eg3d_with_losses, PlainEG3D, "random", marks=pytest.mark.long),
    (mini_as_it_ships, PlainMini, "random"),
]


@pytest.mark.parametrize(("build", "plain", "noise"), [*STEPS, (mini_as_it_ships, PlainMini, "constant")])
def test_a_step_of_all_codes_at_once_comes_to_the_plain_loop(build, plain, noise):
    """In single precision: the loss to 1e-5, the whole gradient to 1e-3 of its length."""
    source, recognizer, perceptual = build()
    method = Guide(noise=noise)
    context = Context(
        source=source,
        inverter=cast(Inverter, None),
        recognizer=recognizer,
        perceptual=perceptual,
        cameras=CameraSampler(source, 0.3, -0.2),
        streams=seeds.Streams(("plain",)),
        device=CPU,
        progress=lambda step, **scalars: None,
    )
    trained = copy.deepcopy(source)
    backbone = trained.parts()["backbone"].requires_grad_(True)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(1.01)
    latent = context.latents(1, "latent")
    target = method.target_code(latent, source.w_avg)

    def gradient(loss: Tensor) -> Tensor:
        backbone.zero_grad()
        loss.backward()
        return torch.cat([parameter.grad.flatten() for parameter in backbone.parameters()])

    ours = method.losses(trained, latent, target, method.draw(context, 1), context).total
    gradient_of_ours = gradient(ours)
    loop = PlainLoop(method, plain(trained), plain(source), perceptual, recognizer)
    theirs = loop.loss(latent, target, method.draw(context, 1))
    gradient_of_theirs = gradient(theirs)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert float((gradient_of_ours - gradient_of_theirs).norm() / gradient_of_theirs.norm()) < 1e-3
    assert float(gradient_of_theirs.norm()) > 0


@torch.no_grad()
def test_a_sample_by_way_of_a_png_has_the_features_of_a_sample_in_memory(tmp_path):
    """Up to the pixels that rounding moves by one."""
    work = WORKLOADS["mini"](CPU)
    z = seeds.normals([0], work.generator.z_dim, "sample")
    camera = work.generator.rig.look_at(0.1, -0.2)
    plainly = plain_sample(work.plain(work.generator), z, camera, work.features.extractor, tmp_path)
    ours = work.features.features(work.generator.render(work.generator.map(z), camera, noise=Noise.constant()))
    assert float((plainly - torch.as_tensor(ours)).abs().max() / plainly.abs().max()) < 1e-2
