"""Pictures by the trained generator, rendered once: the encoder and the presence heads also learn from them."""

import torch
from torch import Tensor

from guidebench import files
from guidebench.images import to_uint8
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.mini.generator import MiniGenerator
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.renderer import camera_labels, sample_angles
from guidebench.testbeds.mini.training.loop import Settings, load_finished, rng_for

COUNT = 4_000


def load_generator(settings: Settings) -> MiniGenerator:
    """The generator as it will be shipped, frozen."""
    generator = MiniGenerator().to(settings.device)
    load_finished(settings, "generator-images", "average", generator)
    return generator


@torch.no_grad()
def render_codes(generator: Generator, ws: Tensor, cameras: Tensor) -> Tensor:
    """Codes (n, num_ws, w_dim) and cameras (n, 25) to uint8 images (n, 3, r, r), in small batches.

    A generator without cameras overlooks them.
    """
    parts = []
    for some, view in zip(ws.split(16), cameras.split(16), strict=True):
        seen_from = view.to(generator.w_avg) if generator.rig is not None else None
        parts.append(to_uint8(generator.render(some.to(generator.w_avg), seen_from, noise=Noise.constant())).cpu())
    return torch.cat(parts)


def render_generated(settings: Settings) -> None:
    """Random latents under in-domain cameras."""
    generator = load_generator(settings)
    count = COUNT if settings.steps is None else 32
    rng = rng_for(settings.seed, "generated", 0)
    z = torch.randn(count, LATENT_DIM, generator=rng)
    cameras = camera_labels(*sample_angles(count, rng))
    with torch.no_grad():
        ws = generator.map(z.to(settings.device)).cpu()
    images = render_codes(generator, ws, cameras)
    with files.written_aside(settings.folder("generated") / "images.pt", "wb") as stream:
        torch.save({"z": z, "cameras": cameras, "images": images}, stream)


def load_generated(settings: Settings) -> dict[str, Tensor]:
    """z (n, 64), cameras (n, 25) and uint8 images (n, 3, r, r)."""
    generated: dict[str, Tensor] = torch.load(settings.folder("generated") / "images.pt", weights_only=True)
    return generated
