"""SUGAR: several people at once, each pulled towards a face of their own that a small network finds.

SUGAR, WACV 2026, arXiv 2512.06562, in three stages for each request. The last one is `Guide`'s training with other
targets and other means to keep the rest as it is:

A. A network φ (`guidebench.baselines.latent_map`) learns where the people go. The target w_t(w) = w̄ - d · φ(w - w̄) /
   ‖φ(w - w̄)‖ shall look different (perceptual distance) and yet be close in feature space, both as the original shows
   them.
B. How much each weight matters for faces at random (Fisher information).
C. Training: GUIDE's local loss at the forgotten codes and at codes near them, with the target that φ gives for each of
   these, and elastic weights (`guidebench.baselines.elastic`) in place of GUIDE's global loss.

Defaults are those of the authors' scripts, except where the released code does something else than what it is for.
These differences are fields, with the released behaviour as their other value: ``lengths`` and ``fisher``. They and the
reasons are in docs/methods.md.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from guidebench import losses
from guidebench.baselines.elastic import Elastic, squared_gradients
from guidebench.baselines.guide import Batch, Draws, Guide, adjacent_shift, forgotten_codes, unit
from guidebench.baselines.latent_map import LatentMap
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest

_log = logging.getLogger(__name__)

Aim = Callable[[Tensor], Tensor]  # codes (n, num_ws, w_dim) -> their targets
_STAGE_BEFORE = 0  # the step under which progress is reported before training begins


@dataclass(frozen=True)
class MapDraws:
    """All that is random in one epoch of stage A."""

    order: Tensor  # (P,) the people's places in the request, as they come
    camera: Tensor | None  # (1, 25), shared by all
    noise: tuple[Noise, Noise]  # a row for each of the people: of the forgotten faces, of their targets


@dataclass(frozen=True)
class MapLosses:
    """Means over the people of a mini-batch, without weights and without gradient."""

    mse: Tensor
    identity: Tensor
    perceptual: Tensor


@dataclass(frozen=True)
class Sugar(Guide):
    """The published method: learned targets, local and adjacency loss, elastic weights."""

    name = "sugar"
    summary = "learned targets and elastic weights, for many people (SUGAR)"
    paper = "SUGAR, WACV 2026, arXiv 2512.06562"
    presets = {"mini": {"steps": 25, "lr": 4e-3}, "linear": {"steps": 30, "lr": 2e-2}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}
    bounds = {
        **Guide.bounds,
        "map_epochs": (0, 1_000_000),
        "map_lr": (0.0, 10.0),
        "map_patience": (1, 1_000_000),
        "map_min_delta": (0.0, 1e6),
        "map_mse": (0.0, 1e6),
        "map_perceptual": (0.0, 1e6),
        "map_identity": (0.0, 1e6),
        "fisher_samples": (1, 1024),
        "fisher_distance": (0.0, 1e4),
        "fisher_mse": (0.0, 1e6),
        "ewc_weight": (0.0, 1e15),
    }

    lr: float = 2e-4
    target_distance: float = 20.0  # d
    global_loss: bool = False
    learned_target: bool = True  # False: no stage A, targets by target_kind
    map_epochs: int = 50  # of stage A, each one pass through the people
    map_lr: float = 2e-4  # of Adam for φ, times the number of people in a mini-batch
    map_patience: int = 20  # epochs without a lower loss after which φ is taken as it is
    map_min_delta: float = 1e-3  # what counts as lower
    map_mse: float = 1e-2  # weights of φ's loss: of the squared difference of features, which shall be small
    map_perceptual: float = 1.0  # of the perceptual distance, which shall be large
    map_identity: float = 0.1  # of the identity term: no gradient, as released; it only moves the loss of map_patience
    fisher: Literal["sampled", "anchored", "released"] = "sampled"  # how F is estimated, see `fisher_information`
    fisher_samples: int = 2  # random codes for each person
    fisher_distance: float = 40.0  # of these codes from the average
    fisher_mse: float = 1e-2  # weight of the squared difference of features whose Fisher information it is
    ewc_weight: float = 50.0  # λ
    lengths: Literal["person", "batch"] = "person"  # "batch": one norm and one α for all codes of a mini-batch
    adjacency_pose: Literal["camera", "frontal"] = "camera"  # under which the codes w_i of Eq. 5 are mapped from z

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Stages A, B and C. Elastic weights are anchored at the generator that is given, targets at the original."""
        latents = forgotten_codes(request, context)
        aim = self.targets_of(latents, context)
        information = self.fisher_information(generator, latents, context) if self.ewc_weight else {}
        elastic = Elastic(self.trained(generator), information, self.ewc_weight)

        def batch(step: int, people: slice) -> Batch:
            chosen = latents[people]
            return self.aimed(chosen, aim, self.draw(context, step, len(chosen)))

        return self.train(generator, len(latents), batch, context, elastic.pull)

    def target(self, item: ForgetItem, source: Generator) -> Tensor | None:  # type: ignore[override]  # see below
        """The code w_t where it is not learned. A learned one belongs to a request, so that no picture sheet has it."""
        return None if self.learned_target else super().target(item, source)

    # Stage A: where the people go.

    def targets_of(self, latents: Tensor, context: Context) -> Aim:
        """What gives the targets of codes: φ once it has learned, or a rule. latents: (P, num_ws, w_dim)."""
        average = context.source.w_avg
        if not self.learned_target:
            return lambda codes: self.target_code(codes, average)
        network = self.learned_map(latents, context)
        return lambda codes: self.learned_target_code(network, codes, average)

    def learned_target_code(self, network: LatentMap, codes: Tensor, average: Tensor) -> Tensor:
        """w_t(w) = w̄ - d · φ(w - w̄) / ‖φ(w - w̄)‖, the norm over all numbers of a code.

        codes: (n, num_ws, w_dim). average: broadcasts against it. Returns (n, num_ws, w_dim).
        """
        return average - self.target_distance * unit(network(codes - average))

    def learned_map(self, latents: Tensor, context: Context) -> LatentMap:
        """φ after stage A, frozen. latents: (P, num_ws, w_dim)."""
        network = self.first_map(context)
        at_once = min(self.people_at_once, len(latents))
        optimizer = torch.optim.Adam(network.parameters(), lr=self.map_lr * at_once, fused=True)
        lowest, waited = math.inf, 0
        for epoch in range(1, self.map_epochs + 1):
            draws = self.draw_map(context, epoch, len(latents))
            found = []
            for chosen in self.mini_batches(len(latents)):
                optimizer.zero_grad()
                found.append(self.map_losses(network, latents, draws, chosen, context))
                optimizer.step()
            loss = torch.stack([self.map_loss(one) for one in found]).sum()
            context.progress(_STAGE_BEFORE, map_epoch=epoch, map_loss=loss)
            now = float(loss)
            waited = 0 if now < lowest - self.map_min_delta else waited + 1
            lowest = min(lowest, now)
            if waited >= self.map_patience:
                break
        return network.requires_grad_(False)

    def first_map(self, context: Context) -> LatentMap:
        """φ before it learns."""
        return LatentMap.drawn(context.streams.at("train/map/weights")).to(context.device)

    def draw_map(self, context: Context, epoch: int, people: int) -> MapDraws:
        """The randomness of one epoch."""
        return MapDraws(
            order=torch.randperm(people, generator=context.streams.at("train/map/order", epoch)),
            camera=context.cameras.sample(1, context.noise("train/map/camera", epoch)),
            noise=(
                self._noise(context, "train/map/noise/forgotten", epoch, people),
                self._noise(context, "train/map/noise/target", epoch, people),
            ),
        )

    def map_losses(
        self, network: LatentMap, latents: Tensor, draws: MapDraws, chosen: slice, context: Context
    ) -> MapLosses:
        """One mini-batch of stage A; gradients are added to those of φ. One face at a time passes the generator.

        latents: (P, num_ws, w_dim). chosen: places in the epoch's order.
        """
        source, places = context.source, draws.order[chosen].tolist()
        targets = self.learned_target_code(network, latents[places], source.w_avg)
        codes = targets.detach().requires_grad_()
        rows: list[Tensor] = []
        for row, place in enumerate(places):
            face, there = latents[place : place + 1], codes[row : row + 1]
            of_face, of_target = (noise.rows(place, 1) for noise in draws.noise)
            with torch.no_grad():
                features = source.synthesize(face, noise=of_face)
                image = source.decode(features, face, draws.camera, noise=of_face)
            target_features = source.synthesize(there, noise=of_target)
            target_image = source.decode(target_features, there, draws.camera, noise=of_target)
            mse = losses.feature_distance(target_features, features)
            perceptual = losses.perceptual(context.perceptual, target_image, image)
            ((self.map_mse * mse - self.map_perceptual * perceptual).sum() / len(places)).backward()
            with torch.no_grad():
                identity = losses.identity(context.recognizer, image, target_image)
            rows.append(torch.stack([mse.detach(), identity, perceptual.detach()]))
        targets.backward(codes.grad)
        return MapLosses(*torch.cat(rows, dim=1).mean(dim=1))

    def map_loss(self, found: MapLosses) -> Tensor:
        """L_φ = a · mse - (b · sg[a · mse]) · identity - c · perceptual, with the weights a, b, c of the fields."""
        close = self.map_mse * found.mse
        return close - self.map_identity * close * found.identity - self.map_perceptual * found.perceptual

    # Stage B: how much each weight matters.

    def fisher_information(self, generator: Generator, latents: Tensor, context: Context) -> dict[str, Tensor]:
        """F of every parameter of the backbone by name, the mean over random codes around the average.

        "sampled": the Fisher information itself, of features with Gaussian noise whose negative logarithm of the
        likelihood is ``fisher_mse`` · mse: F_n = 2 · fisher_mse · mean_k (∂features_k/∂θ_n)², for each code by one
        random sign vector.
        "anchored": the square of the gradient of fisher_mse · mse between the generator and the original. It is 0
        where nothing was unlearned before and features draw no noise, and else due to noise.
        "released": the same, with a step of Adam away from the original after each code.
        """
        codes = self.fisher_codes(latents, context)
        copied = copy.deepcopy(generator)
        trained = self.trained(copied).requires_grad_(True)
        away = torch.optim.Adam(trained.parameters(), lr=self.lr, fused=True) if self.fisher == "released" else None
        found = squared_gradients(trained, self.fisher_losses(copied, codes, context), len(codes), away)
        total = torch.stack([value.sum() for value in found.values()]).sum()
        context.progress(_STAGE_BEFORE, fisher=total)
        if not bool(total):
            _log.warning(
                "sugar: the Fisher information is 0, so nothing holds the weights; its estimate fisher=%s needs a "
                "generator whose features draw noise, or --set fisher=sampled",
                self.fisher,
            )
        return found

    def fisher_codes(self, latents: Tensor, context: Context) -> Tensor:
        """(P · fisher_samples, num_ws, w_dim) random codes ``fisher_distance`` from the average.

        Person by person; where their order matters, in random order.
        """
        count = self.fisher_samples
        towards = context.latents(len(latents) * count, "train/fisher/latent")
        away = (towards - latents.repeat_interleave(count, dim=0)).unflatten(0, (len(latents), count))
        lengths = (1, 2, 3) if self.lengths == "batch" else (2, 3)
        codes = context.source.w_avg + self.fisher_distance * unit(away, lengths).flatten(0, 1)
        if self.fisher == "released":
            return codes[torch.randperm(len(codes), generator=context.streams.at("train/fisher/order"))]
        return codes

    def fisher_noise(self, context: Context, sample: int) -> tuple[Noise, Noise]:
        """Of the generator and of the original, at one code."""
        return (
            self._noise(context, "train/fisher/noise/trained", sample, 1),
            self._noise(context, "train/fisher/noise/source", sample, 1),
        )

    def fisher_losses(self, generator: Generator, codes: Tensor, context: Context) -> Iterator[Tensor]:
        """For each code a scalar, the mean of whose squared gradients is F.

        "sampled": √(2 · fisher_mse / K) · Σ_k ±features_k over K features. Signs at random have the identity matrix as
        their covariance, so that the products of different features cancel in the mean.
        """
        for sample, code in enumerate(codes):
            trained, source = self.fisher_noise(context, sample)
            features = generator.synthesize(code[None], noise=trained)
            if self.fisher == "sampled":
                turned = context.noise("train/fisher/signs", sample).uniform(features.shape, context.device) < 0.5
                yield math.sqrt(2 * self.fisher_mse / features.numel()) * torch.where(turned, -features, features).sum()
            else:
                with torch.no_grad():
                    wanted = context.source.synthesize(code[None], noise=source)
                yield -self.fisher_mse * losses.feature_distance(features, wanted).sum()

    # Stage C: GUIDE's training, with other codes.

    def aimed(self, latents: Tensor, aim: Aim, draws: Draws) -> Batch:
        """The codes of a step, with the targets of each, adjacent or not. latents: (P, num_ws, w_dim)."""
        shift = self.shift(latents, draws)
        near = latents.repeat_interleave(len(shift) // len(latents), dim=0) + shift
        with torch.no_grad():
            targets = aim(torch.cat([latents, near]))
        return Batch.of(latents, targets[: len(latents)], shift, targets[len(latents) :], draws)

    def shift(self, latents: Tensor, draws: Draws) -> Tensor:
        """The steps Δ to the adjacent codes, (P·N_a, num_ws, w_dim). latents: (P, num_ws, w_dim)."""
        people, count = len(latents), len(draws.towards) // len(latents)
        repeated = latents.repeat_interleave(count, dim=0)
        if self.lengths == "person":
            return adjacent_shift(repeated, draws.towards, draws.alpha)
        away = (draws.towards - repeated).unflatten(0, (people, count))
        return (draws.alpha[:count, None, None] * unit(away, (0, 2, 3))).flatten(0, 1)

    def draw(self, context: Context, step: int, people: int = 1) -> Draws:
        """As GUIDE draws; what the adjacent codes are moved towards may be mapped under the camera of the step."""
        draws = super().draw(context, step, people)
        if self.adjacency_pose == "frontal" or draws.camera is None or not len(draws.towards):
            return draws
        z = context.noise("train/adjacency/latent", step).normal(
            (len(draws.towards), context.source.z_dim), context.device
        )
        with torch.no_grad():
            towards = context.source.map(z, condition=draws.camera.expand(len(z), -1))
        return dataclasses.replace(draws, towards=towards)

    def _noise(self, context: Context, purpose: str, number: int, rows: int) -> Noise:
        """Of a batch, with a stream for each of its rows."""
        if self.noise == "constant":
            return Noise.constant()
        return Noise.random(*(context.streams.key(purpose, number, row) for row in range(rows)))
