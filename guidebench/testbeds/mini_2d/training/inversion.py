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
from guidebench.testbeds.mini.training.inversion import InversionStage, fit_shared_offset
from guidebench.testbeds.mini.training.loop import Settings, load_finished, seeded_build
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d.generator import Mini2DGenerator
from guidebench.testbeds.mini_2d.training.data import load_pictures


class EncoderStage(InversionStage):
    """Starts from the trunk of mini's encoder, which has learned to see faces and their pose already."""

    name = "encoder"
    default_steps = 700
    default_batch = 40  # 1 of 4 is rebuilt through the generator

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
        self.train_encoder(encoder.train())

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        few = slice(0, max(1, self.batch // 4))
        rows = torch.randint(len(self.wanted), (self.batch,), generator=rng)
        pictures = from_uint8(self.data["images"][rows])
        noisy = torch.rand(self.batch, 1, 1, 1, generator=rng) * 0.04
        seen = (pictures + noisy * torch.randn(pictures.shape, generator=rng)).to(self.device)
        shared, by_row = self.encoder.offsets(seen)
        rebuilt = self.generator.render(self.codes(shared[few], by_row[few]), noise=Noise.constant())
        wanted = self.wanted[rows]
        return self.learn(progress, shared, wanted, by_row[few], rebuilt, pictures[few].to(self.device))

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
