"""Trains the three recognisers: margin losses over people, plus a head that reads the 24 identity numbers."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.images import from_uint8
from guidebench.testbeds.mini.parameters import IDENTITY_PARAMETERS
from guidebench.testbeds.mini.recognizers import (
    EMBEDDING_DIM,
    JUDGE_SIZE,
    ArcFaceNetwork,
    CurricularFaceNetwork,
    JudgeNetwork,
    TrainingRecognizer,
)
from guidebench.testbeds.mini.training.data import load_held_out, load_training_images
from guidebench.testbeds.mini.training.loop import Settings, Stage, cosine, seeded_build

SCALE = 24.0  # of the cosines in the softmax
MARGIN = 0.3
SPREAD = EMBEDDING_DIM**0.5  # brings unit rows to unit variance for the regression head


class MarginHead(nn.Module):
    """One direction per person; subclasses make the true person's cosine harder to reach."""

    def __init__(self, people: int) -> None:
        super().__init__()
        self.directions = nn.Parameter(torch.randn(people, EMBEDDING_DIM) * 0.1)

    def forward(self, embeddings: Tensor, person: Tensor, margin: float) -> Tensor:
        """Mean cross entropy of unit rows (n, 128) against the people's directions."""
        cosines = functional.linear(embeddings, functional.normalize(self.directions, dim=1)).clamp(-0.999, 0.999)
        true = cosines.gather(1, person[:, None])
        return functional.cross_entropy(SCALE * self.logits(cosines, true, person, margin), person)

    def logits(self, cosines: Tensor, true: Tensor, person: Tensor, margin: float) -> Tensor:
        """Cosines (n, people) with the margin applied; `true` (n, 1) are those of the right people."""
        raise NotImplementedError


def _turned(true: Tensor, margin: float) -> Tensor:
    """cos(angle + margin), continued linearly where angle + margin would pass pi."""
    angle = true.acos()
    return torch.where(angle + margin < math.pi, (angle + margin).cos(), true - 0.3 * margin)


class CosFace(MarginHead):
    """Additive cosine margin (Wang et al., arXiv 1801.09414, eq. 4)."""

    def logits(self, cosines: Tensor, true: Tensor, person: Tensor, margin: float) -> Tensor:
        return cosines.scatter(1, person[:, None], true - margin)


class ArcFace(MarginHead):
    """Additive angular margin (Deng et al., arXiv 1801.07698, eq. 3)."""

    def logits(self, cosines: Tensor, true: Tensor, person: Tensor, margin: float) -> Tensor:
        return cosines.scatter(1, person[:, None], _turned(true, margin))


class CurricularFace(MarginHead):
    """ArcFace whose hard negatives grow in weight as training goes on (Huang et al., arXiv 2004.00288, eq. 5-9)."""

    stage: Tensor

    def __init__(self, people: int) -> None:
        super().__init__(people)
        self.register_buffer("stage", torch.zeros(()))  # the paper's t: a running mean of the true cosines

    def logits(self, cosines: Tensor, true: Tensor, person: Tensor, margin: float) -> Tensor:
        harder = _turned(true, margin)
        with torch.no_grad():
            self.stage.lerp_(true.mean(), 0.01)
        modulated = torch.where(cosines > harder, cosines * (self.stage + cosines), cosines)
        return modulated.scatter(1, person[:, None], harder)


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Noise, exposure, shifts of up to 2 pixels and, for three of ten batches, half the resolution."""
    count = len(images)
    noise = torch.randn(images.shape, generator=rng) * 0.04 * torch.rand(count, 1, 1, 1, generator=rng)
    exposure = (1 + 0.1 * torch.randn(count, 1, 1, 1, generator=rng)).clamp(0.7, 1.3)
    images = (images + noise + 1) * exposure - 1
    if float(torch.rand((), generator=rng)) < 0.3:
        small = functional.avg_pool2d(images, 2)
        images = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    down, right = torch.randint(-2, 3, (2,), generator=rng).tolist()
    return torch.roll(images, (down, right), dims=(2, 3))


class RecognizerStage(Stage):
    """Margin loss + regression of the identity numbers, on one training set's people."""

    default_batch = 64
    learning_rate = 3e-3
    training_set: str

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.data = load_training_images(settings, [self.training_set])
        people, self.person = self.data["person"].unique(return_inverse=True)
        network, margin, regression = seeded_build(settings.seed, self.name, lambda: self.build(len(people)))
        self.network = network.to(self.device).train()
        self.margin_head = cast(MarginHead, margin.to(self.device))
        self.regression = regression.to(self.device)
        self.networks = {"network": self.network, "margin": self.margin_head, "regression": self.regression}
        parameters = [parameter for module in self.networks.values() for parameter in module.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=5e-4)
        optimiser.param_groups[0]["base"] = self.learning_rate
        self.optimisers = {"adamw": optimiser}

    def build(self, people: int) -> nn.ModuleList:
        """Network, margin head, regression head."""
        raise NotImplementedError

    def embed(self, images: Tensor) -> Tensor:
        """Images (n, 3, r, r) in [-1, 1] to unit rows (n, 128)."""
        raise NotImplementedError

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(self.person), (self.batch,), generator=rng)
        images = augment(from_uint8(self.data["images"][rows]), rng).to(self.device)
        embeddings = self.embed(images)
        margin = MARGIN * min(1.0, max(0.0, (progress - 0.15) / 0.35))
        people = self.margin_head(embeddings, self.person[rows].to(self.device), margin)
        wanted = 2 * torch.special.ndtr(self.data["identity"][rows]).to(self.device) - 1
        numbers = functional.smooth_l1_loss(self.regression(embeddings * SPREAD), wanted * math.sqrt(3))
        loss = people + (4.0 if progress < 0.4 else 1.0) * numbers
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(min(1.0, (self.step + 1) / 100) * cosine(progress, end=0.005))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {"people": people.item(), "numbers": numbers.item()}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Verification on held-out people: on in-domain photographs, and on all."""
        held_out = load_held_out(self.settings, "development")
        self.network.eval()
        images = from_uint8(held_out["images"]).to(self.device)
        embeddings = torch.cat([self.embed(part) for part in images.split(100)]).cpu()
        self.network.train()
        plain = ~held_out["shifted"]
        in_domain = verification(embeddings[plain], held_out["person"][plain])
        return {**in_domain, "eer_all": verification(embeddings, held_out["person"])["eer"]}


def verification(embeddings: Tensor, person: Tensor) -> dict[str, float]:
    """Equal error rate over all pairs, and mean cosines of same and different people."""
    similarity = embeddings @ embeddings.T
    upper = torch.ones_like(similarity, dtype=torch.bool).triu(1)
    same = person[:, None] == person[None]
    genuine, impostor = similarity[same & upper].sort().values, similarity[~same & upper].sort().values
    thresholds = torch.linspace(-1, 1, 4_001)
    refused = torch.searchsorted(genuine, thresholds) / len(genuine)
    accepted = 1 - torch.searchsorted(impostor, thresholds) / len(impostor)
    crossing = (refused - accepted).abs().argmin()
    return {
        "eer": float((refused[crossing] + accepted[crossing]) / 2),
        "same_mean": float(genuine.mean()),
        "different_mean": float(impostor.mean()),
        "different_std": float(impostor.std()),
    }


class TrainingRecognizerStage(RecognizerStage):
    """The recogniser that methods may train with."""

    name = training_set = "recognizer"
    default_steps = 2_400

    def build(self, people: int) -> nn.ModuleList:
        return nn.ModuleList([TrainingRecognizer(), CosFace(people), nn.Linear(EMBEDDING_DIM, IDENTITY_PARAMETERS)])

    def embed(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(images))


class JudgeStage(RecognizerStage):
    """Judges see 112 x 112 pixels."""

    default_steps = 2_200

    def embed(self, images: Tensor) -> Tensor:
        size = (JUDGE_SIZE, JUDGE_SIZE)
        resized = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        return cast(JudgeNetwork, self.network).unit(resized)


class CurricularFaceStage(JudgeStage):
    """The first judge."""

    name = training_set = "curricularface"

    def build(self, people: int) -> nn.ModuleList:
        head = nn.Linear(EMBEDDING_DIM, IDENTITY_PARAMETERS)
        return nn.ModuleList([CurricularFaceNetwork(), CurricularFace(people), head])


class ArcFaceStage(JudgeStage):
    """The second judge."""

    name = training_set = "arcface"

    def build(self, people: int) -> nn.ModuleList:
        return nn.ModuleList([ArcFaceNetwork(), ArcFace(people), nn.Linear(EMBEDDING_DIM, IDENTITY_PARAMETERS)])
