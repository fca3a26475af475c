"""Trains the generator by supervised distillation of the renderer, in two stages.

Points: no picture is rendered at all; the field is given its signed distance, colour, albedo and masks at points on and
around the surface. That brings eyes, brows, mouths and glasses within minutes. Images: pictures are rendered and
compared, while the point losses go on at half weight.
"""

import copy
from collections.abc import Iterable
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.mini.features import PerceptualNetwork
from guidebench.testbeds.mini.generator import (
    FAR,
    LATENT_NORM,
    NEAR,
    TRUNCATION,
    MappingNetwork,
    MiniGenerator,
    ModulatedConv,
)
from guidebench.testbeds.mini.parameters import LATENT_DIM
from guidebench.testbeds.mini.renderer import RESOLUTION, rays_from_labels
from guidebench.testbeds.mini.training.data import TRAINING_SETS, PointBatches, load_held_out
from guidebench.testbeds.mini.training.loop import (
    Settings,
    Stage,
    cosine,
    load_finished,
    rng_for,
    seeded_build,
    training_noise,
)

AVERAGE_DECAY = 0.998
GRID = 2 * RESOLUTION  # rays per side that the cached points were drawn from
FACE_WINDOW = (slice(21, 87), slice(21, 75))  # rows and columns of the face within 96 x 96, for reporting


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised by Newton-Schulz iterations (K. Jordan, 2024); for convolutions."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(list(parameters), {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of root mean square 0.4 lr."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 0.05)
                update = parameter.grad.lerp(momentum, 0.95).flatten(1)
                update = update / (update.norm() + 1e-8)
                for _ in range(4):
                    gram = update @ update.T
                    update = 3.4445 * update + (-4.7750 * gram + 2.0315 * gram @ gram) @ update
                size = 0.4 * max(update.shape) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * size)


def charbonnier(error: Tensor) -> Tensor:
    """A smooth absolute value."""
    return (error * error + 1e-5).sqrt()


def gradient_error(error: Tensor) -> Tensor:
    """Charbonnier of the horizontal and vertical differences of an error image."""
    across = charbonnier(error[..., 1:] - error[..., :-1]).mean()
    return across + charbonnier(error[..., 1:, :] - error[..., :-1, :]).mean()


def face_weight(size: int) -> Tensor:
    """Weights (size, size) of mean 1 that favour the face window."""
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    weight = 1 + 2.5 * torch.exp(-((x / 0.5) ** 4 + ((y - 0.1) / 0.5) ** 4))
    return weight / weight.mean()


def point_loss(generator: MiniGenerator, features: Tensor, batch: dict[str, Tensor], rng: torch.Generator) -> Tensor:
    """Signed distance near the surface and in free space; colour, albedo and masks at the surface; background."""
    decoder, device = generator.decoder, features.device
    depth = batch["depth"].float()
    colours, targets = batch["colours"].float() / 255, batch["targets"].float() / 255
    hit = depth < FAR + 1
    pixels = batch["pixels"].long()
    positions = torch.stack([pixels % GRID, pixels.div(GRID, rounding_mode="floor")], dim=-1)
    origins, directions = rays_from_labels(batch["cameras"], (positions + 0.5) / GRID)

    surface = torch.where(hit, depth, torch.full_like(depth, FAR + 0.2))
    near_surface = (torch.randn(depth.shape, generator=rng).to(device) * 0.03).clamp(-0.06, 0.06)
    share, coin = (torch.rand(depth.shape, generator=rng).to(device) for _ in range(2))
    anywhere = torch.where(coin < 0.5, surface + (share - 0.45) * 0.4, NEAR + share * (surface - NEAR))
    anywhere = anywhere.clamp(NEAR, FAR)
    points = [origins[:, None] + at[..., None] * directions for at in (surface + near_surface, anywhere)]
    sampled = decoder.sample(features, torch.cat(points, dim=1))

    distance = decoder.distances(sampled)
    wanted = (torch.cat([near_surface, anywhere - surface], dim=1) / TRUNCATION).clamp(-1, 1)
    known = torch.cat([hit, torch.ones_like(hit)], dim=1)
    wrong_side = functional.softplus(-12 * distance * wanted.sign()) * (wanted.abs() > 0.15)
    geometry = ((charbonnier(distance - wanted) + 0.3 * wrong_side) * known).mean()

    seen = decoder.colours(sampled[:, : depth.shape[1]])
    on_surface = hit[..., None].float()
    lit = (charbonnier(seen[..., :3] - colours) * on_surface).mean()
    albedo = (charbonnier(seen[..., 3:6] - targets[..., :3]) * on_surface).mean()
    masks = ((seen[..., 6:13] - targets[..., 3:]).abs() * on_surface).mean()
    missed = 1 - on_surface
    background_error = charbonnier(decoder.background(features)[:, None, :3] - colours) * missed
    background = background_error.sum() / (missed.sum() * 3 + 1)
    return lit + 0.5 * albedo + 1.5 * masks + 0.5 * geometry + background


GeneratorType = TypeVar("GeneratorType", bound=Generator)


class GeneratorStage(Stage, Generic[GeneratorType]):
    """A generator of mini's layers in training: the network, its running average, and the optimisers."""

    learning_rate: float
    flat: float  # share of the run at full learning rate
    end: float  # factor that the learning rate ends at

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        generator = seeded_build(settings.seed, "generator", self.build).to(self.device)
        self.generator = generator.train()
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.networks = {"generator": self.generator, "average": self.average}
        self.optimisers = self._build_optimisers()

    def build(self) -> GeneratorType:
        """The network with its initial weights."""
        raise NotImplementedError

    def _build_optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Muon for 3 x 3 convolutions; Adam for the rest, affine and mapping layers faster, a decoder slower."""
        generator, parts = self.generator, self.generator.parts()
        modulated = [module for module in generator.modules() if isinstance(module, ModulatedConv)]
        convolutions = [module.weight for module in modulated if module.weight.shape[-1] == 3]
        groups: list[tuple[float, list[nn.Parameter]]] = [
            (5.0, [parameter for module in modulated for parameter in module.affine.parameters()]),
            (5.0, list(cast(MappingNetwork, parts["mapping"]).layers.parameters())),
        ]
        if "decoder" in parts:
            groups.append((0.4, list(parts["decoder"].parameters())))
        placed = {id(parameter) for parameter in convolutions}
        placed |= {id(parameter) for _factor, parameters in groups for parameter in parameters}
        groups.append((1.0, [parameter for parameter in generator.parameters() if id(parameter) not in placed]))
        rate = self.learning_rate
        adam = torch.optim.Adam(
            [{"params": parameters, "base": rate * factor} for factor, parameters in groups],
            lr=rate,
            betas=(0.9, 0.99),
        )
        muon = Muon(convolutions, lr=rate)
        muon.param_groups[0]["base"] = rate
        return {"adam": adam, "muon": muon}

    def update(self, loss: Tensor, progress: float) -> None:
        """Back-propagate, step both optimisers and the running average."""
        self.set_learning_rate(min(1.0, (self.step + 1) / 50) * cosine(progress, flat=self.flat, end=self.end))
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        decay = min(AVERAGE_DECAY, (2 + self.step) / (21 + self.step))
        with torch.no_grad():
            averages: list[Tensor] = list(self.average.parameters())
            current: list[Tensor] = list(self.generator.parameters())
            torch._foreach_lerp_(averages, current, 1 - decay)

    def finish(self) -> None:
        """Set the average code and the scale of the latent space."""
        rng = rng_for(self.settings.seed, "generator/codes", 0)
        latent_scale = self.average.get_buffer("latent_scale")
        with torch.no_grad():
            codes = self.average.parts()["mapping"](torch.randn(20_000, LATENT_DIM, generator=rng).to(self.device))
            centre = codes.mean(dim=0)
            mean_norm = (codes - centre).norm(dim=1).mean() * self.average.num_ws**0.5
            latent_scale.copy_(LATENT_NORM / mean_norm)
            self.average.w_avg.copy_(centre * latent_scale)


class MiniGeneratorStage(GeneratorStage[MiniGenerator]):
    """What both stages of mini's generator share: photographs with points, and the measurements."""

    rays: int  # of each image, for the point losses
    training_sets: tuple[str, ...] = TRAINING_SETS

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.batches = PointBatches(settings, self.training_sets)

    def build(self) -> MiniGenerator:
        return MiniGenerator()

    def evaluate(self) -> dict[str, float]:
        """Against the renderer, same latent and camera, on held-out images (64 on the way, 400 at the end)."""
        held_out = load_held_out(self.settings, "validation")
        count = len(held_out["z"]) if self.step >= self.steps else 64
        return compare_with_renderer(self.average, {key: value[:count] for key, value in held_out.items()})


@torch.no_grad()
def compare_with_renderer(generator: Generator, held_out: dict[str, Tensor]) -> dict[str, float]:
    """PSNR in dB (mean over images, peak 1), L1 and gradient error of the generator's pictures in [0, 1]."""
    errors, gradients = [], []
    for first in range(0, len(held_out["z"]), 16):
        rows = slice(first, first + 16)
        ws = generator.map(held_out["z"][rows].to(generator.w_avg))
        cameras = held_out["cameras"][rows].to(ws) if generator.rig is not None else None
        images = generator.render(ws, cameras, noise=Noise.constant()).clamp(-1, 1).cpu()
        wanted = from_uint8(held_out["images"][rows])
        errors.append((images - wanted) / 2)
        gradients.append((wanted[..., 1:] - wanted[..., :-1]) / 2)
    error = torch.cat(errors)
    face = error[:, :, FACE_WINDOW[0], FACE_WINDOW[1]]
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    return {
        "psnr_db": psnr(error),
        "l1": float(error.abs().mean()),
        "face_psnr_db": psnr(face),
        "face_l1": float(face.abs().mean()),
        "gradient_error": float(across / torch.cat(gradients).abs().mean()),
    }


def psnr(error: Tensor) -> float:
    """Mean over images of the peak signal-to-noise ratio of errors in units of the peak."""
    return float((-10 * error.square().mean(dim=(1, 2, 3)).log10()).mean())


class GeneratorPoints(MiniGeneratorStage):
    """Stage 1: points only, of the people whose photographs are rendered first."""

    name = "generator-points"
    default_steps = 6_000
    default_batch = 16
    learning_rate, flat, end, rays = 0.016, 0.35, 0.2, 512
    training_sets = TRAINING_SETS[:2]

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        batch = self.batches.draw(self.batch, self.rays, rng)
        ws = self.generator.map(batch["z"])
        features = self.generator.synthesize(ws, noise=Noise.constant())
        loss = point_loss(self.generator, features, batch, rng)
        self.update(loss, progress)
        return {"loss": loss.item()}


class GeneratorImages(MiniGeneratorStage):
    """Stage 2: pictures, and points at half weight. The batch doubles at 60 %."""

    name = "generator-images"
    default_steps = 4_400
    default_batch = 8
    learning_rate, flat, end, rays = 0.006, 0.3, 0.02, 384

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        load_finished(settings, GeneratorPoints.name, "average", self.average)
        trained = self.average.state_dict()
        trained["latent_scale"] = torch.ones(())  # codes are scaled after training only
        trained["w_avg"] = torch.zeros_like(trained["w_avg"])
        for network in (self.generator, self.average):
            network.load_state_dict(trained)
        self.perceptual = load_finished(settings, "perceptual", "network", PerceptualNetwork())
        self.weight = face_weight(RESOLUTION).to(self.device)

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        batch = self.batches.draw(self.batch * (2 if progress > 0.6 else 1), self.rays, rng)
        generator, noise = self.generator, training_noise(rng)
        ws = generator.map(batch["z"])
        features = generator.synthesize(ws, noise=noise)
        points = point_loss(generator, features, batch, rng)

        rendered = generator.render_rays(features, batch["cameras"], noise=noise)
        images = generator.super_resolution(rendered, ws[:, -1])
        wanted = (batch["images"] + 1) / 2
        error = images - wanted
        picture = (charbonnier(error) * self.weight).mean()
        raw = (charbonnier(rendered[:, :3] - wanted) * self.weight).mean()
        edges = gradient_error(error) + 0.5 * gradient_error(functional.avg_pool2d(error, 2))
        loss = 0.5 * points + picture + 0.25 * raw + 0.5 * edges
        if self.step % 2:
            loss = loss + 1.25 * self.perceptual(images * 2 - 1, batch["images"]).mean()
        self.update(loss, progress)
        return {"loss": loss.item(), "points": points.item(), "picture": picture.item()}
