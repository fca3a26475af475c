"""Trains the judges' presence heads: is there a face at all? The rest of each judge stays frozen.

Faces are photographs and generated images, also at extreme codes. The rest are images of scrambled generators,
shuffled patches, faces upside down or blurred beyond recognition, noise, plain and smooth colours. Afterwards the bias
moves the threshold to 0 on calibration images.
"""

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.images import from_uint8, to_uint8
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.recognizers import ArcFaceNetwork, CurricularFaceNetwork, JudgeNetwork, judge_input
from guidebench.testbeds.mini.renderer import RESOLUTION, camera_labels, sample_angles
from guidebench.testbeds.mini.training.data import load_held_out, load_training_images
from guidebench.testbeds.mini.training.edits import moved, random_colours, random_frames
from guidebench.testbeds.mini.training.generated import load_generated, load_generator, render_codes
from guidebench.testbeds.mini.training.loop import Settings, Stage, cosine, load_finished, rng_for, seeded_build

MISSED_FACES = 2e-4  # share of calibration faces that the threshold may refuse
SCRAMBLES = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)  # noise in units of each tensor's root mean square


# --------------------------------------------------------------------------------------------------------------------
# Images without a face, uint8 (n, 3, r, r) each
# --------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def scrambled_images(generator: Generator, count: int, rng: torch.Generator) -> Tensor:
    """Random latents through copies of a generator whose backbone, or all of whose weights, were replaced by noise."""
    parts = []
    versions = 4 * len(SCRAMBLES)
    each = -(-count // versions)
    for version in range(versions):
        broken = copy.deepcopy(generator)
        target = broken.parts()["backbone"] if version % 4 else broken
        scramble(target, SCRAMBLES[version % len(SCRAMBLES)], rng)
        parts.append(_random_images(broken, each, rng))
    return torch.cat(parts)[torch.randperm(each * versions, generator=rng)[:count]]


def scramble(module: nn.Module, strength: float, rng: torch.Generator) -> None:
    """Replace every parameter by normal noise of `strength` times its root mean square (1 where that is zero)."""
    for parameter in module.parameters():
        size = parameter.square().mean().sqrt()
        noise = torch.randn(parameter.shape, generator=rng).to(parameter)
        parameter.copy_(noise * torch.where(size > 0, size, torch.ones_like(size)) * strength)


def _random_images(generator: Generator, count: int, rng: torch.Generator) -> Tensor:
    device = generator.w_avg.device
    ws = generator.map(torch.randn(count, LATENT_DIM, generator=rng).to(device))
    cameras = camera_labels(*sample_angles(count, rng)).to(device)
    return _finite(torch.cat([_render(generator, *pair) for pair in zip(ws.split(16), cameras.split(16), strict=True)]))


def _render(generator: Generator, ws: Tensor, cameras: Tensor) -> Tensor:
    return generator.render(ws, cameras, noise=Noise.constant())


def _finite(images: Tensor) -> Tensor:
    return to_uint8(torch.nan_to_num(images, nan=0.0, posinf=1.0, neginf=-1.0).clamp(-1, 1)).cpu()


def shuffled(images: Tensor, patch: int, rng: torch.Generator) -> Tensor:
    """Cut each image into patches of `patch` pixels and put them back in random order."""
    patches = functional.unfold(images.float(), patch, stride=patch)
    orders = torch.stack([torch.randperm(patches.shape[2], generator=rng) for _ in range(len(images))])
    patches = patches.gather(2, orders[:, None].expand_as(patches))
    return functional.fold(patches, images.shape[-1], patch, stride=patch).to(torch.uint8)


def smooth_noise(count: int, cells: int, rng: torch.Generator) -> Tensor:
    """Random colours on `cells` x `cells`, interpolated; one cell is a plain colour, RESOLUTION are white noise."""
    coarse = torch.rand(count, 3, cells, cells, generator=rng) * 255
    mode = "nearest" if cells in (1, RESOLUTION) else "bicubic"
    return functional.interpolate(coarse, size=(RESOLUTION, RESOLUTION), mode=mode).clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor, cells: int) -> Tensor:
    """What is left of faces at a resolution of `cells` pixels per side."""
    small = functional.adaptive_avg_pool2d(images.float(), cells)
    return functional.interpolate(small, size=(RESOLUTION, RESOLUTION), mode="bicubic").clamp(0, 255).to(torch.uint8)


def upside_down(images: Tensor) -> Tensor:
    """Every other image turned by 180 degrees, the rest mirrored top to bottom."""
    turned = images.flip(2)
    turned[::2] = turned[::2].flip(3)
    return turned


def faceless_images(generator: Generator, photos: Tensor, count: int, rng: torch.Generator) -> dict[str, Tensor]:
    """About `count` images that no detector takes for a face, by kind; half are scrambled.

    `photos` (uint8) give patches, blurs and faces upside down. Patches of 24 pixels, which hold whole eyes, and faces
    upside down are the hardest to refuse, hence the largest shares of the rest.
    """
    share = max(1, count // 20)
    shares = [share, 3 * share, share, 2 * share, 3 * share]
    pick = photos[torch.randint(len(photos), (sum(shares),), generator=rng)].split(shares)
    return {
        "scrambled": scrambled_images(generator, count // 2, rng),
        "patches of 12 pixels": shuffled(pick[0], 12, rng),
        "patches of 24 pixels": shuffled(pick[1], 24, rng),
        "blurred to 2 pixels": blurred(pick[2], 2),
        "blurred to 4 pixels": blurred(pick[3], 4),
        "upside down": upside_down(pick[4]),
        "white noise": smooth_noise(share, RESOLUTION, rng),
        "smooth noise": torch.cat([smooth_noise(max(1, share // 3), cells, rng) for cells in (3, 6, 16)]),
        "plain colours": smooth_noise(share, 1, rng),
    }


# --------------------------------------------------------------------------------------------------------------------
# Images with a face
# --------------------------------------------------------------------------------------------------------------------


def extreme_faces(generator: Generator, count: int, rng: torch.Generator) -> Tensor:
    """Generated faces on the far side of the average, where extrapolating methods end up, and near the average."""
    z = torch.randn(count, LATENT_DIM, generator=rng).to(generator.w_avg.device)
    with torch.no_grad():
        ws = generator.map(z)
    factor = torch.rand(count, 1, 1, generator=rng) * 1.2 - 1.2
    cameras = camera_labels(*sample_angles(count, rng))
    return render_codes(generator, generator.w_avg + factor.to(ws) * (ws - generator.w_avg), cameras)


def degraded(images: Tensor, rng: torch.Generator) -> Tensor:
    """Faces that are still faces: at half the resolution, noisy, in other colours, moved, smaller or larger."""
    return torch.cat([_degraded(from_uint8(part), rng) for part in images.split(100)])


def _degraded(values: Tensor, rng: torch.Generator) -> Tensor:
    soft = functional.interpolate(functional.avg_pool2d(values, 2), scale_factor=2, mode="bilinear")
    values = torch.where(torch.rand(len(values), 1, 1, 1, generator=rng) < 0.3, soft, values)
    values = values + torch.randn(values.shape, generator=rng) * 0.08 * torch.rand(len(values), 1, 1, 1, generator=rng)
    return to_uint8(moved(random_colours(values, rng), random_frames(len(values), rng)))


# --------------------------------------------------------------------------------------------------------------------
# Training
# --------------------------------------------------------------------------------------------------------------------


class PresenceStage(Stage):
    """Logistic regression by a small network on what the frozen judge computes anyway."""

    default_steps = 2_500
    default_batch = 256
    learning_rate = 3e-3
    training_set: str
    build: Callable[[], JudgeNetwork]

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        network = seeded_build(settings.seed, self.training_set, type(self).build).to(self.device)
        load_finished(settings, self.training_set, "network", network)
        self.network = network
        for module in (self.network.presence_norm, self.network.presence):
            module.requires_grad_(True)
        self.networks = {"network": self.network}
        parameters = [*self.network.presence_norm.parameters(), *self.network.presence.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=1e-2)
        optimiser.param_groups[0]["base"] = self.learning_rate
        self.optimisers = {"adamw": optimiser}
        self.faces, self.others = self._training_evidence()

    def evidence(self, images: Tensor) -> Tensor:
        """uint8 images (n, 3, r, r) to what the presence head reads."""
        with torch.no_grad():
            parts = [
                self.network.look(from_uint8(judge_input(from_uint8(part))).to(self.device))[1]
                for part in images.split(64)
            ]
        return torch.cat(parts)

    def _training_evidence(self) -> tuple[Tensor, Tensor]:
        """What the head reads of training images with and without a face."""
        count = 11_000 if self.settings.steps is None else 64
        rng = rng_for(self.settings.seed, f"{self.name}/images", 0)
        photos = load_training_images(self.settings, [self.training_set])["images"]
        photos = photos[torch.randperm(len(photos), generator=rng)[:count]]
        generated = load_generated(self.settings)["images"][: count // 6]
        generator = load_generator(self.settings)
        extreme = extreme_faces(generator, count // 4, rng)
        plain = torch.cat([photos, generated, extreme])
        faces = torch.cat([plain, degraded(plain[::3], rng)])
        others = faceless_images(generator, photos, 2 * count, rng)
        return self.evidence(faces), self.evidence(torch.cat(list(others.values())))

    def logits(self, evidence: Tensor) -> Tensor:
        """(n, inputs) to (n,)."""
        return self.network.presence(self.network.presence_norm(evidence))[:, 0]

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        half = self.batch // 2
        rows = [torch.randint(len(kind), (half,), generator=rng) for kind in (self.faces, self.others)]
        evidence = torch.cat([self.faces[rows[0]], self.others[rows[1]]])
        wanted = torch.cat([torch.ones(half), torch.zeros(half)]).to(self.device)
        self.network.presence_norm.train()
        loss = functional.binary_cross_entropy_with_logits(self.logits(evidence), wanted)
        self.network.presence_norm.eval()
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(cosine(progress, end=0.01))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def finish(self) -> None:
        """Move the threshold to 0: as far up as the calibration faces allow, but no further than half-way."""
        photos = load_held_out(self.settings, "calibration")["images"]
        rng = rng_for(self.settings.seed, f"{self.name}/calibration", 0)
        generated = load_generated(self.settings)["images"][-len(photos) :]
        faces = self.logits(self.evidence(torch.cat([photos, generated])))
        others = faceless_images(load_generator(self.settings), photos, len(photos), rng)
        refused = self.logits(self.evidence(torch.cat(list(others.values()))))
        lowest_face, highest_other = torch.quantile(faces, MISSED_FACES), torch.quantile(refused, 0.999)
        threshold = torch.minimum(lowest_face, (lowest_face + highest_other) / 2)
        last = cast(nn.Linear, self.network.presence[-1])
        last.bias.sub_(threshold)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Share of training faces refused and of faceless training images taken for faces."""
        return {
            "faces_missed": float((self.logits(self.faces) <= 0).float().mean()),
            "others_accepted": float((self.logits(self.others) > 0).float().mean()),
        }


class CurricularFacePresence(PresenceStage):
    """The first judge's."""

    name = "presence-curricularface"
    training_set = "curricularface"
    build = CurricularFaceNetwork


class ArcFacePresence(PresenceStage):
    """The second judge's."""

    name = "presence-arcface"
    training_set = "arcface"
    build = ArcFaceNetwork
