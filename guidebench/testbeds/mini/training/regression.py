"""Trains the perceptual network and the FID network: both read the renderer's parameters off a picture."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.testbeds.mini.features import FID_DIM, MEAN_DISTANCE, REGRESSED, FeatureNetwork, PerceptualNetwork
from guidebench.testbeds.mini.training.data import TRAINING_SETS, load_held_out, load_training_images
from guidebench.testbeds.mini.training.loop import Settings, Stage, cosine, seeded_build


def regression_targets(data: dict[str, Tensor]) -> Tensor:
    """Identity, nuisance, yaw and elevation, each of about unit variance: (n, REGRESSED)."""
    angles = torch.stack([data["yaw"] / 0.28, data["elevation"] / 0.10], dim=1)
    return torch.cat([data["identity"], data["nuisance"].clamp(-2.5, 2.5), angles], dim=1)


class RegressionStage(Stage):
    """Smooth L1 on all parameters; the network's own output feeds a linear head that is thrown away afterwards."""

    default_batch = 64
    training_sets: tuple[str, ...] = TRAINING_SETS
    learning_rate = 3e-3

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        network, head = seeded_build(settings.seed, self.name, self.build)
        self.network, self.head = network.to(self.device).train(), head.to(self.device)
        self.networks = {"network": self.network, "head": self.head}
        parameters = [*self.network.parameters(), *self.head.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.01)
        optimiser.param_groups[0]["base"] = self.learning_rate
        self.optimisers = {"adamw": optimiser}
        self.data = load_training_images(settings, self.training_sets)
        self.targets = regression_targets(self.data)

    def build(self) -> nn.ModuleList:
        """The network and its head."""
        raise NotImplementedError

    def hidden(self, images: Tensor) -> Tensor:
        """What the head reads."""
        raise NotImplementedError

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(self.targets), (self.batch,), generator=rng)
        images = from_uint8(self.data["images"][rows])
        noisy = torch.rand(self.batch, 1, 1, 1, generator=rng) * 0.04
        images = (images + noisy * torch.randn(images.shape, generator=rng)).to(self.device)
        loss = functional.smooth_l1_loss(self.head(self.hidden(images)), self.targets[rows].to(self.device))
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(min(1.0, (self.step + 1) / 30) * cosine(progress, end=0.02))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Mean explained variance over the parameters, on held-out images."""
        held_out = load_held_out(self.settings, "validation")
        self.network.eval()
        images = from_uint8(held_out["images"]).to(self.device)
        predicted = torch.cat([self.head(self.hidden(part)) for part in images.split(100)]).cpu()
        self.network.train()
        wanted = regression_targets(held_out)
        explained = 1 - (predicted - wanted).square().mean(dim=0) / wanted.var(dim=0)
        return {"mean_r2": float(explained.mean())}


class Perceptual(RegressionStage):
    """The perceptual distance's network; scaled afterwards on pairs of held-out photographs."""

    name = "perceptual"
    default_steps = 420

    def build(self) -> nn.ModuleList:
        return nn.ModuleList([PerceptualNetwork(), nn.Linear(128 * 16, REGRESSED)])

    def hidden(self, images: Tensor) -> Tensor:
        return cast(PerceptualNetwork, self.network).maps(images)[-1].flatten(1)

    @torch.no_grad()
    def finish(self) -> None:
        network = cast(PerceptualNetwork, self.network).eval()
        images = from_uint8(load_held_out(self.settings, "validation")["images"]).to(self.device)  # one of each person
        distances = [network(images, images.roll(places, dims=0)) for places in range(1, 6)]
        network.scale.mul_(MEAN_DISTANCE / torch.cat(distances).mean())


class FidFeatures(RegressionStage):
    """The network whose pooled features FID compares; scaled afterwards on real images."""

    name = "fid"
    default_steps = 400

    def build(self) -> nn.ModuleList:
        return nn.ModuleList([FeatureNetwork(), nn.Linear(FID_DIM * 16, REGRESSED)])

    def hidden(self, images: Tensor) -> Tensor:
        maps = cast(FeatureNetwork, self.network).maps(images)
        return functional.avg_pool2d(maps, 2).flatten(1)

    @torch.no_grad()
    def finish(self) -> None:
        network = cast(FeatureNetwork, self.network).eval()
        images = load_held_out(self.settings, "reals")["images"]
        features = torch.cat([network(from_uint8(part).to(self.device)) for part in images.split(100)])
        network.scale.mul_((100 / features.double().var(dim=0).sum()).sqrt().float())
