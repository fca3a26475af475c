"""Trains the encoder: latent regression on pictures of known z, and reconstruction through the frozen generator."""

import torch
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.noise import Noise
from guidebench.testbeds.mini.encoder import Encoder
from guidebench.testbeds.mini.features import PerceptualNetwork
from guidebench.testbeds.mini.generator import GeneratorConfig
from guidebench.testbeds.mini.recognizers import TrainingRecognizer
from guidebench.testbeds.mini.training.data import load_held_out
from guidebench.testbeds.mini.training.inversion import fit_shared_offset
from guidebench.testbeds.mini.training.loop import Settings, Stage, cosine, load_finished, seeded_build
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d.generator import Mini2DGenerator
from guidebench.testbeds.mini_2d.training.data import load_pictures


class EncoderStage(Stage):
    """Starts from the trunk of mini's encoder, which has learned to see faces and their pose already."""

    name = "encoder"
    default_steps = 700
    default_batch = 40  # 1 of 4 is rebuilt through the generator
    learning_rate = 1e-3

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        device, mini = self.device, WeightsFolder()
        generator = load_finished(settings, "generator", "average", Mini2DGenerator().to(device))
        assert isinstance(generator, Mini2DGenerator)
        self.generator = generator
        self.recognizer = mini.load_into(TrainingRecognizer(), "recognizer").to(device)
        self.perceptual = mini.load_into(PerceptualNetwork(), "perceptual").to(device)
        self.data = load_pictures(settings)
        with torch.no_grad():
            codes = generator.map(self.data["z"].to(device))[:, 0]
            self.wanted = (codes - generator.w_avg) / generator.latent_scale
        self.spread = self.wanted.square().mean().sqrt()

        encoder = seeded_build(settings.seed, self.name, lambda: Encoder(generator.num_ws, generator.w_dim)).to(device)
        shape = GeneratorConfig()
        of_mini = mini.load_into(Encoder(shape.num_ws, shape.w_dim), "encoder")
        encoder.trunk.load_state_dict(of_mini.trunk.state_dict())
        encoder.w_avg.copy_(generator.w_avg)
        encoder.latent_scale.copy_(generator.latent_scale)
        fit_shared_offset(encoder.eval(), self.data["images"], self.wanted)
        self.encoder = encoder.train()
        self.networks = {"network": encoder}
        optimiser = torch.optim.AdamW(encoder.parameters(), lr=self.learning_rate, weight_decay=1e-4)
        optimiser.param_groups[0]["base"] = self.learning_rate
        self.optimisers = {"adamw": optimiser}

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        few = slice(0, max(1, self.batch // 4))
        rows = torch.randint(len(self.wanted), (self.batch,), generator=rng)
        pictures = from_uint8(self.data["images"][rows])
        noisy = torch.rand(self.batch, 1, 1, 1, generator=rng) * 0.04
        seen = (pictures + noisy * torch.randn(pictures.shape, generator=rng)).to(self.device)
        shared, by_row = self.encoder.offsets(seen)
        latent = ((shared - self.wanted[rows]) / self.spread).square().mean()

        codes = self.encoder.w_avg + (shared[few, None] + by_row[few]) * self.encoder.latent_scale
        rebuilt = self.generator.render(codes, noise=Noise.constant())
        wanted = pictures[few].to(self.device)
        pixels = (rebuilt - wanted).abs().mean() / 2
        looks = self.perceptual(rebuilt, wanted).mean()
        person = (1 - (self.recognizer(rebuilt) * self.recognizer(wanted)).sum(dim=1)).mean()
        size = (by_row[few] / self.spread).square().mean()
        loss = 0.3 * latent + 5 * pixels + 3 * looks + 1.5 * person + 0.02 * size
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(min(1.0, (self.step + 1) / 100) * cosine(progress, flat=0.2, end=0.01))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"latent": latent.item(), "pixels": pixels.item(), "looks": looks.item(), "person": person.item()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Training recogniser's cosine and L1 of held-out photographs by the renderer and their inversions."""
        held_out = load_held_out(self.settings, "held-out")
        photos = from_uint8(held_out["images"]).to(self.device)
        self.encoder.eval()
        rebuilt = torch.cat(
            [self.generator.render(self.encoder(part), noise=Noise.constant()) for part in photos.split(20)]
        )
        self.encoder.train()
        cosines = functional.cosine_similarity(self.recognizer(rebuilt), self.recognizer(photos)).cpu()
        shifted = held_out["shifted"]
        return {
            "similarity_in_domain": float(cosines[~shifted].mean()),
            "similarity_shifted": float(cosines[shifted].mean()),
            "l1": float((rebuilt - photos).abs().mean() / 2),
        }
