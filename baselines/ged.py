"""GED's effective part: forget only along directions in which the generator keeps the other faces, too.

After the released code of GED; no paper is known. GUIDE's target, local and adjacency loss forget; a richer loss at
random codes retains. Each has a gradient of its own, and for the first part of the run a weight moves only where the
two agree in sign: the forgetting gradient passes, the retaining one is not applied. Afterwards both are.

The defaults are those of the released README. What its loss adds without a gradient is left out, because it moves
nothing: everything that compares codes of its encoder (weights 300 and 200, and the rectified cosine within the 0.01
term), whose input is a picture of 8 bits, detached from the generator. Its mask network is left out, too (``--mask
False``): the images of the local and adjacency loss are of the whole codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from guidebench import losses
from guidebench.allocator import pages_kept
from guidebench.baselines.guide import Draws, Guide, extrapolated_target
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner


def agreeing(forget: Tensor, retain: Tensor, threshold: float) -> Tensor:
    """The forgetting gradient of a tensor, zero where its product with the retaining one is not above a threshold.

    >>> agreeing(torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, -1.0, -1.0]), 1e-8).tolist()
    [1.0, -2.0, 0.0]
    """
    return torch.where(forget * retain > threshold, forget, 0.0)


def aligned(forget: Tensor, retain: Tensor, threshold: float) -> Tensor:
    """The forgetting gradient of a tensor, or zero if its cosine with the retaining one is not above a threshold.

    >>> aligned(torch.tensor([1.0, -2.0]), torch.tensor([1.0, 1.0]), 0.1).tolist()
    [0.0, 0.0]
    """
    cosine = nn.functional.cosine_similarity(forget.flatten(), retain.flatten(), dim=0)
    return torch.where(cosine > threshold, forget, 0.0)


@dataclass(frozen=True)
class Retained:
    """What keeps one random face, each term a row per face (n,): x_u by the generator in training, x_s by the source.

    x_f is the forgotten code by the generator in training.
    """

    perceptual: Tensor  # of x_u and x_s
    mse: Tensor  # of their features
    identity: Tensor  # of x_u and x_s
    triplet: Tensor
    colour: Tensor  # mean squared difference of the mean colours of x_u and x_f


@dataclass(frozen=True)
class Ged(Unlearner):
    """Two gradients: GUIDE's local and adjacency loss, filtered by whether retaining other faces agrees."""

    name = "ged"
    summary = "forgets where the gradient of retaining agrees"
    paper = "GED, released code without a paper: github.com/YangZhou1999999999/GED-Unlearning"
    presets = {"mini": {"steps": 25, "lr": 32e-3}, "linear": {"steps": 30, "lr": 2e-2}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}
    bounds = {
        "steps": (0, 1_000_000),
        "lr": (0.0, 10.0),
        "target_distance": (-1e4, 1e4),
        "local_mse": (0.0, 1e6),
        "local_perceptual": (0.0, 1e6),
        "local_identity": (0.0, 1e6),
        "adjacency_mse": (0.0, 1e6),
        "adjacency_perceptual": (0.0, 1e6),
        "adjacency_identity": (0.0, 1e6),
        "adjacency_samples": (1, 1024),
        "alpha_min": (0.0, 1e4),
        "alpha_max": (0.0, 1e4),
        "retain_weight": (0.0, 1e6),
        "retain_samples": (1, 1024),
        "retain_mse": (0.0, 1e6),
        "retain_perceptual": (0.0, 1e6),
        "retain_identity": (0.0, 1e6),
        "separation": (0.0, 1e6),
        "margin": (0.0, 1e3),
        "filter_share": (0.0, 1.0),
        "filter_threshold": (-1e6, 1e6),
        "layer_threshold": (-1.0, 1.0),
    }

    steps: int = 1000
    lr: float = 1e-4  # of Adam, other settings at their usual values
    target_distance: float = 30.0  # d of GUIDE's Eq. 3
    local_mse: float = 0.05
    local_perceptual: float = 2.0
    local_identity: float = 0.2
    adjacency_mse: float = 0.05
    adjacency_perceptual: float = 1.5
    adjacency_identity: float = 1.5
    adjacency_samples: int = 1
    alpha_min: float = 0.0  # the distance α of adjacent codes is uniform in [alpha_min, alpha_max)
    alpha_max: float = 15.0
    retain_weight: float = 4.0
    retain_samples: int = 2  # random codes
    retain_mse: float = 2e-3  # within the retaining loss, of features
    retain_perceptual: float = 1.0
    retain_identity: float = 1.0
    separation: float = 0.01  # within the retaining loss, of the triplet and the colour term
    margin: float = 0.3  # of the triplet
    # As released, max(0, d(x_u, x_f) - d(x_u, x_s) + margin) draws kept faces towards the forgotten one; "corrected"
    # exchanges the two distances.
    triplet: Literal["released", "corrected"] = "released"
    triplet_moves_forgotten: bool = True  # as released, the triplet's gradient passes through the forgotten code, too
    filter: Literal["element", "layer", "none"] = "element"
    filter_share: float = 0.401  # of the steps, from the first on: as released, steps 0 to 400 of 1000
    filter_threshold: float = 1e-8  # of an element's product of gradients, absolute
    layer_threshold: float = 0.1  # of a tensor's cosine of gradients
    noise: Literal["random", "constant"] = "random"  # of the training renders: fresh, or the stored one

    def __post_init__(self) -> None:
        """Raises ValueError if the range of α is empty."""
        _ = self.guide

    @property
    def guide(self) -> Guide:
        """What forgets, and what draws: GUIDE with these weights."""
        return Guide(
            target_distance=self.target_distance,
            local_mse=self.local_mse,
            local_perceptual=self.local_perceptual,
            local_identity=self.local_identity,
            adjacency_mse=self.adjacency_mse,
            adjacency_perceptual=self.adjacency_perceptual,
            adjacency_identity=self.adjacency_identity,
            adjacency_samples=self.adjacency_samples,
            alpha_min=self.alpha_min,
            alpha_max=self.alpha_max,
            global_samples=self.retain_samples,
            noise=self.noise,
        )

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Trains the backbone in place; the source generator is the teacher."""
        (item,) = request.forget
        latent = item.latent.to(context.device)[None]
        target = self.target_code(latent, context.source.w_avg)
        backbone = generator.parts()["backbone"].requires_grad_(True)
        parameters = list(backbone.parameters())
        optimizer = torch.optim.Adam(parameters, lr=self.lr, fused=True)
        filtered = 0 if self.filter == "none" else round(self.filter_share * self.steps)
        with pages_kept():
            for step in range(1, self.steps + 1):
                draws = self.draw(context, step)
                retain_loss, retain = self.retain_gradients(generator, latent, draws, context, step, parameters)
                forget_loss, forget = self.forget_gradients(generator, latent, target, draws, context, parameters)
                combined = self.combined(forget, retain, step <= filtered)
                for parameter, gradient in zip(parameters, combined, strict=True):
                    # laid out as the parameter, which the fused optimiser takes for granted
                    parameter.grad = torch.empty_like(parameter).copy_(gradient)
                optimizer.step()
                context.progress(step, loss=retain_loss + forget_loss, forget=forget_loss, retain=retain_loss)
        optimizer.zero_grad()
        backbone.requires_grad_(False)
        return generator

    def combined(self, forget: Sequence[Tensor], retain: Sequence[Tensor], filtered: bool) -> list[Tensor]:
        """The gradient that is applied, by tensor: the forgetting one where both agree, or the sum of both."""
        if not filtered:
            return [own + other for own, other in zip(forget, retain, strict=True)]
        pairs = zip(forget, retain, strict=True)
        if self.filter == "layer":
            return [aligned(own, other, self.layer_threshold) for own, other in pairs]
        return [agreeing(own, other, self.filter_threshold) for own, other in pairs]

    def draw(self, context: Context, step: int) -> Draws:
        """The randomness of one step: GUIDE's."""
        return self.guide.draw(context, step)

    def target_code(self, latent: Tensor, average: Tensor) -> Tensor:
        """The code w_t whose source face the forgotten one shall get, see `extrapolated_target`."""
        return extrapolated_target(latent, average, self.target_distance)

    def target(self, item: ForgetItem, source: Generator) -> Tensor:
        """The code w_t, for picture sheets."""
        return self.target_code(item.latent.to(source.w_avg.device)[None], source.w_avg)[0]

    def forget_gradients(
        self,
        generator: Generator,
        latent: Tensor,
        target: Tensor,
        draws: Draws,
        context: Context,
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """GUIDE's local and adjacency loss, and its gradients."""
        batch = self.guide.batch(latent, target, draws)
        loss = self.guide.losses_of(generator, batch.rows(range(batch.near)), context).total
        return loss.detach(), _gradients(loss, parameters)

    def retain_gradients(
        self,
        generator: Generator,
        latent: Tensor,
        draws: Draws,
        context: Context,
        step: int,
        parameters: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """The loss at random codes, and its gradients."""
        terms = self.retained(generator, latent, draws, context, step)
        kept = (
            self.retain_perceptual * terms.perceptual
            + self.retain_mse * terms.mse
            + self.retain_identity * terms.identity
            + self.separation * (terms.triplet + terms.colour)
        )
        loss = self.retain_weight * kept.sum()
        return loss.detach(), _gradients(loss, parameters)

    def retained(self, generator: Generator, latent: Tensor, draws: Draws, context: Context, step: int) -> Retained:
        """The terms of the retaining loss; a function of its arguments alone."""
        others, near, camera = draws.others, 1 + len(draws.towards), draws.camera
        cameras = camera.expand(len(others), -1) if camera is not None else None
        own = Noise.constant() if self.noise == "constant" else context.noise("train/noise/retain/forgotten", step)
        forgotten = generator.render(latent, camera, noise=own)
        trained, source = (noise.rows(near, len(others)) for noise in draws.render_noise)
        features = generator.synthesize(others, noise=trained)
        images = generator.decode(features, others, cameras, noise=trained)
        with torch.no_grad():
            wanted_features = context.source.synthesize(others, noise=source)
            wanted = context.source.decode(wanted_features, others, cameras, noise=source)

        if self.noise == "random" and not generator.features_are_deterministic:
            # The authors take the features for this term from calls of their own, with noise of their own.
            trained, source = (self._feature_noise(side, context, step) for side in ("trained", "source"))
            features = generator.synthesize(others, noise=trained)
            with torch.no_grad():
                wanted_features = context.source.synthesize(others, noise=source)
        perceptual = losses.perceptual(context.perceptual, images, wanted)
        pulled = forgotten if self.triplet_moves_forgotten else forgotten.detach()
        apart = context.perceptual(images, pulled.expand_as(images))
        sign = 1 if self.triplet == "released" else -1
        colours = images.mean(dim=(2, 3)) - forgotten.detach().mean(dim=(2, 3))
        return Retained(
            perceptual=perceptual,
            mse=losses.feature_distance(features, wanted_features),
            identity=losses.identity(context.recognizer, images, wanted),
            triplet=torch.relu(sign * (apart - perceptual) + self.margin),
            colour=colours.square().mean(dim=1),
        )

    def _feature_noise(self, side: str, context: Context, step: int) -> Noise:
        """Of the features of the random codes."""
        purpose = f"train/noise/features/{side}/global"
        return Noise.random(*(context.streams.key(purpose, step, index) for index in range(self.retain_samples)))


def _gradients(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Of a loss, by parameter; zero where it does not depend on one."""
    return list(torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True))
