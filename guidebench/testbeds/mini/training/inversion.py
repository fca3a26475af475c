"""Trains the encoder: first to read the renderer's parameters, then to give codes that the generator turns back."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.noise import Noise
from guidebench.testbeds.mini.encoder import HIDDEN, Encoder, EncoderTrunk
from guidebench.testbeds.mini.features import REGRESSED, PerceptualNetwork
from guidebench.testbeds.mini.recognizers import TrainingRecognizer
from guidebench.testbeds.mini.training.data import TRAINING_SETS, load_held_out, load_training_images
from guidebench.testbeds.mini.training.generated import load_generated, load_generator
from guidebench.testbeds.mini.training.loop import (
    Settings,
    Stage,
    cosine,
    load_finished,
    rng_for,
    seeded_build,
    training_noise,
)
from guidebench.testbeds.mini.training.regression import RegressionStage

RIDGE = 1e-2


class EncoderParameters(RegressionStage):
    """Stage 1 needs no generator: the trunk learns all parameters of the photographs."""

    name = "encoder-parameters"
    default_steps = 1_600

    def build(self) -> nn.ModuleList:
        return nn.ModuleList([EncoderTrunk(), nn.Linear(HIDDEN, REGRESSED)])

    def hidden(self, images: Tensor) -> Tensor:
        return cast(EncoderTrunk, self.network)(images)


@torch.no_grad()
def fit_shared_offset(encoder: Encoder, images: Tensor, wanted: Tensor) -> None:
    """Set the shared offset to its ridge regression on what the trunk already sees.

    images: uint8 (n, 3, r, r). wanted: unscaled offsets (n, w_dim), on the encoder's device.
    """
    rows = torch.arange(0, len(wanted), max(1, len(wanted) // 6_000))
    seen = from_uint8(images[rows]).to(wanted.device)
    hidden = torch.cat([encoder.trunk(part) for part in seen.split(100)]).double()
    centred, target = hidden - hidden.mean(dim=0), wanted[rows].double()
    gram = centred.T @ centred + RIDGE * len(rows) * torch.eye(HIDDEN, dtype=torch.float64, device=wanted.device)
    weight = torch.linalg.solve(gram, centred.T @ (target - target.mean(dim=0)))
    encoder.shared.weight.copy_(weight.T)
    encoder.shared.bias.copy_(target.mean(dim=0) - hidden.mean(dim=0) @ weight)


class InversionStage(Stage):
    """Latent regression, and reconstruction through a frozen generator. Subclasses say of what, and set `spread`."""

    learning_rate = 1e-3
    encoder: Encoder
    recognizer: nn.Module
    perceptual: nn.Module
    spread: Tensor  # root mean square of unscaled offsets, ()

    def train_encoder(self, encoder: Encoder) -> None:
        """Says which encoder is trained."""
        self.encoder = encoder
        self.networks = {"network": encoder}
        optimiser = torch.optim.AdamW(encoder.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        optimiser.param_groups[0]["base"] = self.learning_rate
        self.optimisers = {"adamw": optimiser}

    def codes(self, shared: Tensor, by_row: Tensor) -> Tensor:
        """Unscaled offsets (n, w_dim) and (n, num_ws, w_dim) to codes (n, num_ws, w_dim)."""
        return self.encoder.w_avg + (shared[:, None] + by_row) * self.encoder.latent_scale

    def learn(
        self, progress: float, shared: Tensor, wanted: Tensor, by_row: Tensor, rebuilt: Tensor, photos: Tensor
    ) -> dict[str, float]:
        """A step down the losses: of all shared offsets, and of what was rebuilt, beside its photographs."""
        latent = ((shared - wanted) / self.spread).square().mean()
        pixels = (rebuilt - photos).abs().mean() / 2
        looks = self.perceptual(rebuilt, photos).mean()
        person = (1 - (self.recognizer(rebuilt) * self.recognizer(photos)).sum(dim=1)).mean()
        size = (by_row / self.spread).square().mean()
        loss = 0.3 * latent + 5 * pixels + 3 * looks + 1.5 * person + 0.02 * size
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(min(1.0, (self.step + 1) / 100) * cosine(progress, flat=0.2, end=0.01))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"latent": latent.item(), "pixels": pixels.item(), "looks": looks.item(), "person": person.item()}


class EncoderStage(InversionStage):
    """Stage 2: latent regression on photographs and generated images; reconstruction through the frozen generator."""

    name = "encoder"
    default_steps = 2_000
    default_batch = 56  # 5 of 7 are photographs, the rest generated; 1 of 7 is rebuilt through the generator

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        device = self.device
        self.generator = load_generator(settings)
        self.recognizer = load_finished(settings, "recognizer", "network", TrainingRecognizer().to(device))
        self.perceptual = load_finished(settings, "perceptual", "network", PerceptualNetwork().to(device))
        self.data = load_training_images(settings, TRAINING_SETS)
        self.generated = load_generated(settings)
        scale, centre = self.generator.latent_scale, self.generator.w_avg / self.generator.latent_scale
        with torch.no_grad():
            self.wanted = self.generator.mapping(self.data["z"].to(device)) - centre
            self.wanted_generated = self.generator.mapping(self.generated["z"].to(device)) - centre
        self.spread = self.wanted.square().mean().sqrt()

        num_ws, w_dim = self.generator.num_ws, self.generator.w_dim
        encoder = seeded_build(settings.seed, self.name, lambda: Encoder(num_ws, w_dim)).to(device)
        load_finished(settings, EncoderParameters.name, "network", encoder.trunk)
        encoder.w_avg.copy_(self.generator.w_avg)
        encoder.latent_scale.copy_(scale)
        fit_shared_offset(encoder, self.data["images"], self.wanted)
        self.train_encoder(encoder.requires_grad_(True).train())

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        few = slice(0, max(1, self.batch // 7))
        count = max(1, self.batch * 5 // 7)
        rows = torch.randint(len(self.wanted), (count,), generator=rng)
        made = torch.randint(len(self.wanted_generated), (self.batch - count,), generator=rng)
        photos = from_uint8(self.data["images"][rows]).to(self.device)
        generated = from_uint8(self.generated["images"][made]).to(self.device)
        shared, by_row = self.encoder.offsets(torch.cat([photos, generated]))
        wanted = torch.cat([self.wanted[rows], self.wanted_generated[made]])
        cameras = self.data["cameras"][rows[few]].to(self.device)
        rebuilt = self.generator.render(self.codes(shared[few], by_row[few]), cameras, noise=training_noise(rng))
        return self.learn(progress, shared, wanted, by_row[few], rebuilt, photos[few])

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Training recogniser's cosine and L1 of held-out photographs and their inversions, same camera."""
        held_out = load_held_out(self.settings, "development")
        rows = torch.randperm(len(held_out["z"]), generator=rng_for(0, "encoder/evaluate", 0))[:200]
        photos = from_uint8(held_out["images"][rows]).to(self.device)
        cameras = held_out["cameras"][rows].to(self.device)
        self.encoder.eval()
        rebuilt = torch.cat(
            [
                self.generator.render(self.encoder(part), view, noise=Noise.constant())
                for part, view in zip(photos.split(20), cameras.split(20), strict=True)
            ]
        )
        self.encoder.train()
        cosine_of_pairs = functional.cosine_similarity(self.recognizer(rebuilt), self.recognizer(photos)).cpu()
        shifted = held_out["shifted"][rows]
        return {
            "similarity_in_domain": float(cosine_of_pairs[~shifted].mean()),
            "similarity_shifted": float(cosine_of_pairs[shifted].mean()),
            "l1": float((rebuilt - photos).abs().mean() / 2),
        }
