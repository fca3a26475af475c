"""What is timed: GUIDE's step and FID's samples on mini, and on EG3D in two sizes with random weights."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from guidebench import seeds
from guidebench.baselines.guide import Guide
from guidebench.errors import BadInput
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.noise import Noise
from guidebench.speed.measure import Work
from guidebench.speed.plain import PlainGenerator, PlainLoop, plain_sample
from guidebench.speed.plain_eg3d import PlainEG3D
from guidebench.speed.plain_mini import PlainMini
from guidebench.testbed import FeatureSource, Generator, Inverter, PerceptualDistance, Recognizer
from guidebench.testbeds.eg3d import EG3DTestbed
from guidebench.unlearner import CameraSampler, Context

YAW, PITCH = 0.26, -0.2  # of the paper's training cameras, radians

# Public settings of ffhqrebalanced512-128, from the documentation and defaults of EG3D's training script.
_FULL_SIZE: dict[str, Any] = {
    "z_dim": 512,
    "c_dim": 25,
    "w_dim": 512,
    "img_resolution": 512,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 32768,
    "channel_max": 512,
    "sr_num_fp16_res": 4,
}
_RENDERING: dict[str, Any] = {
    "superresolution_module": "SuperresolutionHybrid8XDC",
    "depth_resolution": 48,
    "depth_resolution_importance": 48,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}
# A generator so small that the loss networks, which keep their size, take most of a step.
_SMALL = {**_FULL_SIZE, "img_resolution": 128, "channel_base": 2048, "channel_max": 16}
_SMALL_RENDERING = {
    **_RENDERING,
    "superresolution_module": "SuperresolutionHybrid2X",
    "depth_resolution": 12,
    "depth_resolution_importance": 12,
}


@dataclass(frozen=True)
class Workload:
    """The networks of one size, and how the plain way reads their generator."""

    generator: Generator
    recognizer: Recognizer
    perceptual: PerceptualDistance
    features: FeatureSource
    plain: Callable[[Any], PlainGenerator]
    batch: int  # samples that we render at once
    lr: float

    @contextmanager
    def steps(self, device: torch.device) -> Iterator[tuple[Work, Work]]:
        """One step of GUIDE, optimiser included: the plain way, and ours."""
        source, method = self.generator, Guide(lr=self.lr)
        context = Context(
            source=source,
            inverter=cast(Inverter, None),  # GUIDE uses none
            recognizer=self.recognizer,
            perceptual=self.perceptual,
            cameras=CameraSampler(source, YAW, PITCH),
            streams=seeds.Streams(("speed",)),
            device=device,
            progress=lambda step, **scalars: None,
        )
        latent = context.latents(1, "latent")
        target = method.target_code(latent, source.w_avg)
        by_us, plainly = (copy.deepcopy(source) for _ in range(2))
        loop = PlainLoop(method, self.plain(plainly), self.plain(source), self.perceptual, self.recognizer)
        optimizers = [
            torch.optim.Adam(generator.parts()["backbone"].requires_grad_(True).parameters(), lr=self.lr, fused=fused)
            for generator, fused in ((by_us, True), (plainly, False))
        ]
        number = iter(range(1, 1_000_000))

        def ours() -> None:
            optimizers[0].zero_grad()
            if method.backward(by_us, latent, target, context, next(number), method.codes) is None:
                raise BadInput(f"the memory of {device} does not hold a step; choose smaller networks (--testbed)")
            optimizers[0].step()

        def plain() -> None:
            optimizers[1].zero_grad()
            loop.loss(latent, target, method.draw(context, next(number))).backward()
            optimizers[1].step()

        yield plain, ours

    @contextmanager
    def samples(self, device: torch.device) -> Iterator[tuple[Work, Work]]:
        """A batch of FID samples from random numbers to features: the plain way, and ours."""
        generator = self.generator
        z = seeds.normals(range(self.batch), generator.z_dim, "speed/latent", device=device)
        assert generator.rig is not None
        cameras = generator.rig.look_at(seeds.uniforms(range(self.batch), -YAW, YAW, "speed/yaw", device=device), PITCH)
        one_by_one = self.plain(generator)

        with tempfile.TemporaryDirectory() as folder:

            def plain() -> None:
                for row in range(self.batch):
                    rows = slice(row, row + 1)
                    plain_sample(one_by_one, z[rows], cameras[rows], self.features.extractor, Path(folder))

            def ours() -> None:
                with torch.no_grad():
                    images = generator.render(generator.map(z), cameras, noise=Noise.constant())
                    self.features.features(images)

            yield plain, ours


def mini(device: torch.device) -> Workload:
    """The testbed as it ships."""
    from guidebench.testbeds.mini.testbed import MiniTestbed

    testbed = MiniTestbed(device=device)
    players = testbed.players()
    return Workload(
        generator=players.generator,
        recognizer=players.recognizer,
        perceptual=players.perceptual,
        features=testbed.judges().features,
        plain=PlainMini,
        batch=testbed.batch,
        lr=Guide.presets["mini"]["lr"],
    )


def eg3d_small(device: torch.device) -> Workload:
    """EG3D of 128 px, 32 x 32 rays and few channels with the loss networks of the paper, random weights."""
    return _eg3d(_SMALL, _SMALL_RENDERING, 32, device)


def eg3d_full(device: torch.device) -> Workload:
    """EG3D at the size of ffhqrebalanced512-128 with the loss networks of the paper, random weights."""
    return _eg3d(_FULL_SIZE, _RENDERING, 128, device)


def _eg3d(arguments: dict[str, Any], rendering: dict[str, Any], rays: int, device: torch.device) -> Workload:
    from guidebench.networks import inception
    from guidebench.networks.irse import IRSE50, FixedCropRecognizer
    from guidebench.networks.lpips import LPIPS

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = TriPlaneGenerator.from_arguments(arguments, rendering, rays)
        recognizer, perceptual = FixedCropRecognizer(IRSE50()), LPIPS()
        extractor = inception.Extractor(inception.FidInception())
    parts: list[nn.Module] = [generator, recognizer, perceptual, extractor]
    for part in parts:
        part.eval().requires_grad_(False).to(device)
    return Workload(
        generator=generator,
        recognizer=recognizer,
        perceptual=perceptual,
        features=FeatureSource(inception.NAME, extractor, inception.DIM, inception.DESCRIPTION),
        plain=PlainEG3D,
        batch=EG3DTestbed.batch,
        lr=Guide.lr,
    )


WORKLOADS: dict[str, Callable[[torch.device], Workload]] = {
    "mini": mini,
    "eg3d-small": eg3d_small,
    "eg3d-ffhq": eg3d_full,
}
