"""Trains the generator by supervised distillation: pictures of known z, first at half the resolution, then whole."""

import torch
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.noise import Noise
from guidebench.testbeds.mini.features import PerceptualNetwork
from guidebench.testbeds.mini.training.data import load_held_out
from guidebench.testbeds.mini.training.generator import (
    GeneratorStage,
    charbonnier,
    compare_with_renderer,
    face_weight,
    gradient_error,
)
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d.generator import Mini2DGenerator
from guidebench.testbeds.mini_2d.training.data import load_pictures


class DistilledGenerator(GeneratorStage[Mini2DGenerator]):
    """Up to `half` of the run, the picture so far within the feature tensor is compared; then the whole picture."""

    name = "generator"
    default_steps = 3_600
    default_batch = 16
    learning_rate, flat, end = 0.012, 0.3, 0.02
    half = 0.4

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.data = load_pictures(settings)
        self.perceptual = WeightsFolder().load_into(PerceptualNetwork(), "perceptual").to(self.device)

    def build(self) -> Mini2DGenerator:
        return Mini2DGenerator()

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(self.data["z"]), (self.batch,), generator=rng)
        wanted = from_uint8(self.data["images"][rows]).to(self.device)
        ws, noise = self.generator.map(self.data["z"][rows].to(self.device)), Noise.constant()
        features = self.generator.synthesize(ws, noise=noise)
        if progress < self.half:
            images, wanted = features[:, -3:], functional.avg_pool2d(wanted, 2)
        else:
            images = self.generator.decode(features, ws, noise=noise)
        error = (images - wanted) / 2
        picture = (charbonnier(error) * face_weight(error.shape[-1]).to(self.device)).mean()
        edges = gradient_error(error) + 0.5 * gradient_error(functional.avg_pool2d(error, 2))
        loss = picture + 0.5 * edges
        if self.step % 2 and progress >= self.half:
            loss = loss + 1.25 * self.perceptual(images, wanted).mean()
        self.update(loss, progress)
        return {"loss": loss.item(), "picture": picture.item()}

    def evaluate(self) -> dict[str, float]:
        """Against the renderer's photographs of the same z, of people it was not trained on."""
        held_out = load_held_out(self.settings, "validation")
        count = len(held_out["z"]) if self.step >= self.steps else 64
        return compare_with_renderer(self.average, {key: value[:count] for key, value in held_out.items()})
