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
from guidebench.testbeds.mini.training.edits import EDITS, moved, random_colours, random_frames
from guidebench.testbeds.mini.training.loop import Settings, Stage, cosine, seeded_build

SCALE = 24.0  # of the cosines in the softmax
MARGIN = 0.3
SPREAD = EMBEDDING_DIM**0.5  # brings unit rows to unit variance for the regression head
IDENTITY_TARGETS = 2 * IDENTITY_PARAMETERS
FRAME_UNIT = 0.05  # a misplacement of a frame that counts about one: 2.4 pixels of a photograph, 5 % of its size
JITTER = 0.012  # of frames, before the localiser can be relied on


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


def identity_targets(identity: Tensor) -> Tensor:
    """What the regression head predicts of identity numbers (n, 24): two uncorrelated numbers of unit variance each.

    With p the share of people below a number, these are the first two Legendre polynomials of 2p - 1. The first alone
    would make embeddings of mirrored numbers opposite; the second is equal for both, so together they put a mirrored
    person about as far from the person as a stranger is.
    """
    p = torch.special.ndtr(identity)
    return torch.cat([math.sqrt(3) * (2 * p - 1), math.sqrt(5) * (6 * p * p - 6 * p + 1)], dim=1)


def opposites(embeddings: Tensor, ranks: Tensor, level: Tensor | float = 0.0) -> Tensor:
    """By how much people of a batch who are alike in the wrong direction have cosines below a level.

    embeddings: unit rows (n, 128). ranks (n, 24): the odd one of the targets. The mean cosine of all pairs, weighted by
    the square of their ranks' correlation where that is negative; 0 if the mean is above the level.
    """
    weights = (ranks @ ranks.T / ranks.shape[1]).clamp(max=0).square()
    mean = (weights * (embeddings @ embeddings.T)).sum() / weights.sum().clamp(min=1e-6)
    return (level - mean).clamp(min=0)


def degraded(images: Tensor, rng: torch.Generator) -> Tensor:
    """Noise, exposure and, for three of ten batches, half the resolution."""
    count = len(images)
    noise = torch.randn(images.shape, generator=rng) * 0.04 * torch.rand(count, 1, 1, 1, generator=rng)
    exposure = (1 + 0.1 * torch.randn(count, 1, 1, 1, generator=rng)).clamp(0.7, 1.3)
    images = (images + noise + 1) * exposure - 1
    if float(torch.rand((), generator=rng)) < 0.3:
        small = functional.avg_pool2d(images, 2)
        images = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    return images


class RecognizerStage(Stage):
    """Margin loss + regression of the identity numbers, on one training set's people."""

    default_batch = 64
    learning_rate = 3e-3
    opposites_weight = 6.0
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

    def embed_edited(self, images: Tensor, progress: float, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """`embed` of photographs on the CPU that are changed at random, and further losses by name."""
        raise NotImplementedError

    def level(self, embeddings: Tensor) -> Tensor | float:
        """The cosine that people who are opposites should have at least."""
        return 0.0

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        rows = torch.randint(len(self.person), (self.batch,), generator=rng)
        embeddings, further = self.embed_edited(from_uint8(self.data["images"][rows]), progress, rng)
        margin = MARGIN * min(1.0, max(0.0, (progress - 0.15) / 0.35))
        people = self.margin_head(embeddings, self.person[rows].to(self.device), margin)
        wanted = identity_targets(self.data["identity"][rows]).to(self.device)
        read = self.regression(embeddings * SPREAD)
        odd, even = (
            functional.smooth_l1_loss(*pair) for pair in zip(read.chunk(2, dim=1), wanted.chunk(2, dim=1), strict=True)
        )
        loss = people + (4.0 if progress < 0.4 else 1.0) * (odd + even) + sum(further.values())
        if progress >= 0.5:
            further["opposites"] = opposites(embeddings, wanted[:, :IDENTITY_PARAMETERS], self.level(embeddings))
            loss = loss + self.opposites_weight * further["opposites"]
        optimiser = self.optimisers["adamw"]
        self.set_learning_rate(min(1.0, (self.step + 1) / 100) * cosine(progress, end=0.005))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return {name: one.item() for name, one in {"people": people, "odd": odd, "even": even, **further}.items()}

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
        return nn.ModuleList([TrainingRecognizer(), CosFace(people), nn.Linear(EMBEDDING_DIM, IDENTITY_TARGETS)])

    def embed(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(images))

    def embed_edited(self, images: Tensor, progress: float, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Noise, exposure, resolution, shifts of up to 2 pixels."""
        down, right = torch.randint(-2, 3, (2,), generator=rng).tolist()
        changed = torch.roll(degraded(images, rng), (down, right), dims=(2, 3))
        return self.embed(changed.to(self.device)), {}


class JudgeStage(RecognizerStage):
    """Judges see 112 x 112 pixels."""

    default_steps = 3_800
    opposites_weight = 3.0  # with 6 and their own level, mirrored people had a cosine of 0.14

    @property
    def judge(self) -> JudgeNetwork:
        """The network in training."""
        return cast(JudgeNetwork, self.network)

    def embed(self, images: Tensor) -> Tensor:
        return self.judge.unit(resized(images))

    def embed_edited(self, images: Tensor, progress: float, rng: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Also edited in colour and moved. The localiser learns by how much; its answers are used from half-way on."""
        frames = random_frames(len(images), rng)
        edited = moved(random_colours(resized(degraded(images, rng)), rng), frames).to(self.device)
        found = self.judge.localiser(edited)
        misplaced = functional.smooth_l1_loss(found / FRAME_UNIT, frames.to(found) / FRAME_UNIT)
        jittered = frames + JITTER * torch.randn(frames.shape, generator=rng)
        used = jittered.to(found) if progress < 0.5 else found.detach()
        return functional.normalize(self.judge.look_at(edited, used)[0], dim=1), {"misplaced": misplaced}

    def level(self, embeddings: Tensor) -> Tensor | float:
        """The batch's mean; with a fixed level, judges would come to find everybody a little alike."""
        count = len(embeddings)
        return (embeddings.sum(dim=0).square().sum() - count) / (count * (count - 1))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Also the mean cosine of photographs before and after each of `EDITS`."""
        return {**super().evaluate(), **self.survival()}

    @torch.no_grad()
    def survival(self, count: int = 200) -> dict[str, float]:
        """Mean cosine of held-out photographs and what each of `EDITS` makes of them."""
        images = from_uint8(load_held_out(self.settings, "development")["images"][:count]).to(self.device)
        self.network.eval()
        before = self.embed(images)
        cosines = {name: float((before * self.embed(edit(images))).sum(dim=1).mean()) for name, edit in EDITS.items()}
        self.network.train()
        return cosines


def resized(images: Tensor) -> Tensor:
    """To what judges see: (n, 3, JUDGE_SIZE, JUDGE_SIZE)."""
    return functional.interpolate(images, size=(JUDGE_SIZE, JUDGE_SIZE), mode="bilinear", align_corners=False)


class CurricularFaceStage(JudgeStage):
    """The first judge."""

    name = training_set = "curricularface"

    def build(self, people: int) -> nn.ModuleList:
        head = nn.Linear(EMBEDDING_DIM, IDENTITY_TARGETS)
        return nn.ModuleList([CurricularFaceNetwork(), CurricularFace(people), head])


class ArcFaceStage(JudgeStage):
    """The second judge."""

    name = training_set = "arcface"

    def build(self, people: int) -> nn.ModuleList:
        return nn.ModuleList([ArcFaceNetwork(), ArcFace(people), nn.Linear(EMBEDDING_DIM, IDENTITY_TARGETS)])
