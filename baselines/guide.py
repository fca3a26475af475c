"""GUIDE and its ablation ladder: unlearning an identity by pulling its latent code towards another face.

Seo et al., "Generative Unlearning for Any Identity", CVPR 2024, arXiv 2405.09879. One class holds the whole method; the
rows of the paper's Tables 1 and 2 are its configurations. The defaults are the authors' released settings, including
two in which their code differs from their formulas: adjacency and global losses are sums over the samples where Eqs. 7
and 8 take means (``reduction``), and training renders draw fresh noise (``noise``).

Several people in one request are forgotten as SUGAR's code compares GUIDE with itself: each person has a target, the
people pass in mini-batches (``people_at_once``), local and adjacency losses are means over the people of a mini-batch,
and the global loss is there once. A further request starts from the generator that it is given; targets and the global
loss keep to the original.
"""

from __future__ import annotations

import functools
import logging
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from guidebench import losses
from guidebench.allocator import pages_kept
from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner

_log = logging.getLogger(__name__)

# How presets were chosen: docs/presets.md.
_FITTED_ON = {"mini": ("id_others", "id_retain")}
_SETTINGS_TRIED = {"mini": 6}


def extrapolated_target(latent: Tensor, average: Tensor, distance: float) -> Tensor:
    """The un-identifying face of GUIDE's Eq. 3: from the average face, ``distance`` away from the forgotten one.

    w_t = w̄ - d · (w_u - w̄) / ‖w_u - w̄‖, the norm over all num_ws × w_dim numbers of a code.
    latent: (n, num_ws, w_dim). average: broadcasts against it. Returns (n, num_ws, w_dim); a code that is the average
    itself has no opposite and stays where it is.

    >>> extrapolated_target(torch.tensor([[[6.0, 8.0]]]), torch.zeros(1, 2), distance=5.0).tolist()
    [[[-3.0, -4.0]]]
    """
    return average - distance * unit(latent - average)


def adjacent_shift(latent: Tensor, towards: Tensor, alpha: Tensor) -> Tensor:
    """The step Δ of GUIDE's Eq. 5: from the forgotten code towards random codes, α long.

    Δ_i = α_i · (w_i - w_u) / ‖w_i - w_u‖, the norm over all num_ws × w_dim numbers of a code.
    latent: (1 or n, num_ws, w_dim). towards: (n, num_ws, w_dim). alpha: (n,). Returns (n, num_ws, w_dim).
    """
    return alpha[:, None, None] * unit(towards - latent)


def unit(codes: Tensor, dim: tuple[int, ...] = (1, 2)) -> Tensor:
    """The same with length 1 over some axes: for (n, num_ws, w_dim) each code by itself. What is zero stays zero."""
    return codes / torch.linalg.vector_norm(codes, dim=dim, keepdim=True).clamp_min(torch.finfo(codes.dtype).tiny)


def forgotten_codes(request: ForgetRequest, context: Context) -> Tensor:
    """(P, num_ws, w_dim) the latent codes of the people to forget."""
    return torch.stack([item.latent for item in request.forget]).to(context.device)


@dataclass(frozen=True)
class Draws:
    """All that is random in one step for P people. Codes of a batch are in the order forgotten, adjacent, global."""

    camera: Tensor | None  # (1, 25), shared by all codes and both generators; None for a 2-D generator
    towards: Tensor  # (P·N_a, num_ws, w_dim): random codes towards which the adjacent ones are moved, person by person
    alpha: Tensor  # (P·N_a,): how far; empty: no such loss
    others: Tensor  # (N_g, num_ws, w_dim): random codes that must stay as they are; N_g = 0: no such loss
    render_noise: tuple[Noise, Noise]  # of the renders: the generator in training, the source
    feature_noise: tuple[Noise, Noise]  # of the feature term, where it does not reuse the features of the renders


class Batch(NamedTuple):
    """Codes of a step that pass the networks together, all or some of them, in the order of `Draws`."""

    codes: Tensor  # (n, num_ws, w_dim) for the generator in training
    wanted: Tensor  # the same for the source
    first: int  # how many are forgotten ones
    near: int  # how many are forgotten or adjacent; the others are global
    camera: Tensor | None
    render_noise: tuple[Noise, Noise]
    feature_noise: tuple[Noise, Noise]
    people: int  # of the whole step: means are over them
    adjacent: int  # of the whole step, of each of them
    others: int  # of the whole step

    @classmethod
    def of(cls, latents: Tensor, targets: Tensor, shift: Tensor, shifted_targets: Tensor, draws: Draws) -> Batch:
        """All codes of a step.

        latents, targets: (P, num_ws, w_dim). shift, shifted_targets: (P·N_a, num_ws, w_dim), of the adjacent codes.
        """
        people, adjacent = len(latents), len(shift)
        return cls(
            torch.cat([latents, latents.repeat_interleave(adjacent // people, dim=0) + shift, draws.others]),
            torch.cat([targets, shifted_targets, draws.others]),
            people,
            people + adjacent,
            draws.camera,
            draws.render_noise,
            draws.feature_noise,
            people,
            adjacent // people,
            len(draws.others),
        )

    def rows(self, rows: range) -> Batch:
        """Some of the codes, which follow each other."""
        if len(rows) == len(self.codes):
            return self
        start, count = rows.start, len(rows)
        near = min(max(self.near - start, 0), count)
        (trained, source), (trained_features, source_features) = self.render_noise, self.feature_noise
        return self._replace(
            codes=self.codes[start : start + count],
            wanted=self.wanted[start : start + count],
            first=min(max(self.first - start, 0), count),
            near=near,
            render_noise=(trained.rows(start, count), source.rows(start, count)),
            feature_noise=(trained_features.rows(start, near), source_features.rows(start, near)),
        )


@dataclass(frozen=True)
class Losses:
    """What one step minimises, each a scalar with gradient."""

    local: Tensor
    adjacency: Tensor  # weighted; 0 without the loss
    preservation: Tensor  # the global loss, weighted; 0 without the loss

    @property
    def total(self) -> Tensor:
        """Sum of the three."""
        return self.local + self.adjacency + self.preservation

    def __add__(self, other: Losses) -> Losses:
        """Of the codes of both."""
        return Losses(
            self.local + other.local, self.adjacency + other.adjacency, self.preservation + other.preservation
        )

    def detached(self) -> Losses:
        """Without gradient."""
        return Losses(self.local.detach(), self.adjacency.detach(), self.preservation.detach())

    def __truediv__(self, count: int) -> Losses:
        """Their share of a mean."""
        return Losses(self.local / count, self.adjacency / count, self.preservation / count)

    def scalars(self) -> dict[str, Tensor]:
        """The numbers for a progress report."""
        named = {"loss": self.total, "local": self.local, "adjacency": self.adjacency, "global": self.preservation}
        return {name: value.detach() for name, value in named.items()}


@dataclass(frozen=True)
class Guide(Unlearner):
    """The published method: extrapolated target, local, adjacency and global loss."""

    name = "guide"
    summary = "+ global loss: GUIDE as published"
    paper = "Seo et al., Generative Unlearning for Any Identity, CVPR 2024, arXiv 2405.09879"
    supports = frozenset({"single", "simultaneous", "sequential"})
    presets = {"mini": {"steps": 25, "lr": 32e-3}, "linear": {"steps": 30, "lr": 2e-2}}
    fitted_on = _FITTED_ON
    settings_tried = _SETTINGS_TRIED
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
        "adjacency_weight": (0.0, 1e6),
        "adjacency_samples": (1, 1024),
        "alpha_min": (0.0, 1e4),
        "alpha_max": (0.0, 1e4),
        "global_weight": (0.0, 1e6),
        "global_samples": (1, 1024),
        "people_at_once": (1, 1024),
    }

    steps: int = 1000  # passes through the people of a request, each one step of Adam for every mini-batch
    lr: float = 1e-4  # of Adam, other settings at their usual values
    target_kind: Literal["mean", "extrapolated"] = "extrapolated"  # w̄, or beyond it (Eq. 3)
    target_distance: float = 30.0  # d of Eq. 3, over all num_ws × w_dim numbers; negative: between w̄ and the face
    local_mse: float = 1e-2  # weight of the squared difference of features (tri-planes)
    local_perceptual: float = 1.0
    local_identity: float = 0.1
    adjacency_loss: bool = True  # the local loss at codes near the forgotten one (Eq. 7)
    adjacency_mse: float = 1e-2
    adjacency_perceptual: float = 1.0
    adjacency_identity: float = 0.1
    adjacency_weight: float = 1.0
    adjacency_samples: int = 2  # N_a
    alpha_min: float = 0.0  # the distance α of adjacent codes is uniform in [alpha_min, alpha_max) (Eq. 5)
    alpha_max: float = 15.0
    global_loss: bool = True  # random codes must stay as they are (Eq. 8)
    global_weight: float = 1.0
    global_samples: int = 2  # N_g
    reduction: Literal["sum", "mean"] = "sum"  # over the samples: the authors' code sums, Eqs. 7 and 8 take the mean
    noise: Literal["random", "constant"] = "random"  # of the training renders: fresh, or the stored one
    people_at_once: int = 4  # people in a mini-batch, where a request holds several; SUGAR's scripts use 2 for 5 people

    def __post_init__(self) -> None:
        """Raises ValueError if the range of α is empty."""
        if self.alpha_min > self.alpha_max:
            raise ValueError(f"alpha_min = {self.alpha_min:g} must not be above alpha_max = {self.alpha_max:g}")

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Trains the backbone in place; the source generator is the teacher of all three losses."""
        latents = forgotten_codes(request, context)
        targets = self.aim(latents, context)

        def batch(step: int, people: slice) -> Batch:
            draws = self.draw(context, step, len(latents[people]))
            return self.batch(latents[people], targets[people], draws)

        return self.train(generator, len(latents), batch, context)

    def train(
        self,
        generator: Generator,
        people: int,
        batch: Callable[[int, slice], Batch],
        context: Context,
        penalty: Callable[[], Tensor] | None = None,
    ) -> Generator:
        """Trains in place, step by step, and reports after every pass through the people.

        batch: the codes of a step, from its number and who is in it. penalty: one more loss, called ``ewc``, of the
        weights: adds its own gradient to theirs.
        """
        trained = self.trained(generator).requires_grad_(True)
        optimizer = torch.optim.Adam(trained.parameters(), lr=self.lr, fused=True)
        at_once = step = 0
        with pages_kept():
            for number in range(1, self.steps + 1):
                found, held = [], []
                for chosen in self.mini_batches(people):
                    step += 1
                    whole = batch(step, chosen)
                    at_once = at_once or len(whole.codes)
                    optimizer.zero_grad()
                    while (losses_of_step := self.descend(generator, whole, context, at_once)) is None:
                        optimizer.zero_grad()
                        at_once = -(-min(at_once, len(whole.codes)) // 2)
                        _log.warning(
                            "the memory does not hold a step at once; going on with %d codes at a time", at_once
                        )
                    found.append(losses_of_step)
                    if penalty is not None:
                        held.append(penalty())
                    optimizer.step()
                scalars = (functools.reduce(operator.add, found) / len(found)).scalars()
                if held:
                    scalars["ewc"] = torch.stack(held).mean()
                    scalars["loss"] = scalars["loss"] + scalars["ewc"]
                context.progress(number, **scalars)
        trained.requires_grad_(False)
        return generator

    def trained(self, generator: Generator) -> nn.Module:
        """The part of the generator whose parameters are trained."""
        return generator.parts()["backbone"]

    def aim(self, latents: Tensor, context: Context) -> Tensor:
        """The codes w_t of a request: `target_code`, for methods that need more than the average to find them."""
        return self.target_code(latents, context.source.w_avg)

    def mini_batches(self, people: int) -> Iterator[slice]:
        """Who is forgotten in each step of a pass, in the order of the request."""
        for start in range(0, people, self.people_at_once):
            yield slice(start, start + self.people_at_once)

    @property
    def codes(self) -> int:
        """How many latent codes a step for one person works on: the forgotten one, the adjacent and the global ones."""
        return 1 + self.adjacency_loss * self.adjacency_samples + self.global_loss * self.global_samples

    def backward(
        self, generator: Generator, latents: Tensor, targets: Tensor, context: Context, step: int, at_once: int
    ) -> Losses | None:
        """The losses of one step; see `descend`. latents, targets: (P, num_ws, w_dim)."""
        return self.descend(
            generator, self.batch(latents, targets, self.draw(context, step, len(latents))), context, at_once
        )

    def descend(self, generator: Generator, batch: Batch, context: Context, at_once: int) -> Losses | None:
        """The losses of one step, whose gradients are added to those of the generator's parameters.

        at_once: codes that pass the networks together; fewer take less memory and more time, and change nothing but
        rounding. None: the device's memory does not hold as many.
        """
        parts = []
        for start in range(0, len(batch.codes), at_once):
            rows = range(start, min(start + at_once, len(batch.codes)))
            try:
                part = self.losses_of(generator, batch.rows(rows), context)
                part.total.backward()
            except torch.OutOfMemoryError:
                if at_once == 1:
                    raise
                return None
            parts.append(part.detached())
        return functools.reduce(operator.add, parts)

    def target(self, item: ForgetItem, source: Generator) -> Tensor:
        """The code w_t, for picture sheets."""
        return self.target_code(item.latent.to(source.w_avg.device)[None], source.w_avg)[0]

    def target_code(self, latent: Tensor, average: Tensor) -> Tensor:
        """The codes w_t whose source faces the forgotten ones shall get.

        latent: (n, num_ws, w_dim). average: (w_dim,) or anything that broadcasts. Returns (n, num_ws, w_dim).
        """
        if self.target_kind == "mean":
            return average.expand_as(latent)
        return extrapolated_target(latent, average, self.target_distance)

    def draw(self, context: Context, step: int, people: int = 1) -> Draws:
        """The randomness of one step; each draw has a stream of its own, so no loss moves the draws of another."""
        near = people * self.adjacency_samples if self.adjacency_loss else 0
        away = self.global_samples if self.global_loss else 0
        uniform = context.noise("train/adjacency/alpha", step).uniform((near,), context.device)
        alpha = self.alpha_min + (self.alpha_max - self.alpha_min) * uniform
        forgotten = [("local", i) for i in range(people)] + [("adjacency", i) for i in range(near)]
        everyone = forgotten + [("global", i) for i in range(away)]

        def codes(count: int, purpose: str) -> Tensor:
            if count == 0:
                return torch.empty(0, context.source.num_ws, context.source.w_dim, device=context.device)
            return context.latents(count, purpose, step)

        def noise(purpose: str, batch: Sequence[tuple[str, int]]) -> Noise:
            if self.noise == "constant":
                return Noise.constant()
            return Noise.random(*(context.streams.key(f"train/noise/{purpose}/{term}", step, i) for term, i in batch))

        return Draws(
            camera=context.cameras.sample(1, context.noise("train/camera", step)),
            towards=codes(near, "train/adjacency/latent"),
            alpha=alpha,
            others=codes(away, "train/global/latent"),
            render_noise=(noise("render/trained", everyone), noise("render/source", everyone)),
            feature_noise=(noise("features/trained", forgotten), noise("features/source", forgotten)),
        )

    def batch(self, latents: Tensor, targets: Tensor, draws: Draws) -> Batch:
        """The codes of a step: adjacent codes and their targets move alike. latents, targets: (P, num_ws, w_dim)."""
        adjacent = len(draws.towards) // len(latents)
        shift = adjacent_shift(latents.repeat_interleave(adjacent, dim=0), draws.towards, draws.alpha)
        return Batch.of(latents, targets, shift, targets.repeat_interleave(adjacent, dim=0) + shift, draws)

    def losses(self, generator: Generator, latents: Tensor, targets: Tensor, draws: Draws, context: Context) -> Losses:
        """The losses of one step, a function of its arguments alone: every number that is drawn is in ``draws``.

        latents, targets: (P, num_ws, w_dim).
        """
        return self.losses_of(generator, self.batch(latents, targets, draws), context)

    def losses_of(self, generator: Generator, batch: Batch, context: Context) -> Losses:
        """The share that some codes have in the losses of their step, or all of them."""
        codes, near, first = batch.codes, batch.near, batch.first
        camera = batch.camera.expand(len(codes), -1) if batch.camera is not None else None

        trained, source = batch.render_noise
        features = generator.synthesize(codes, noise=trained)
        images = generator.decode(features, codes, camera, noise=trained)
        with torch.no_grad():
            wanted_features = context.source.synthesize(batch.wanted, noise=source)
            wanted = context.source.decode(wanted_features, batch.wanted, camera, noise=source)
        perceptual = losses.perceptual(context.perceptual, images, wanted)
        preservation = self.global_weight * self._reduced(perceptual[near:], batch.others)
        if near == 0:
            return Losses(local=preservation * 0, adjacency=preservation * 0, preservation=preservation)

        if self.noise == "random" and not generator.features_are_deterministic:
            # The authors take the features for this term from calls of their own, with noise of their own.
            trained, source = batch.feature_noise
            features = generator.synthesize(codes[:near], noise=trained)
            with torch.no_grad():
                wanted_features = context.source.synthesize(batch.wanted[:near], noise=source)
        elif near < len(codes):  # a slice of all would cost a copy
            features, wanted_features = features[:near], wanted_features[:near]
        mse = losses.feature_distance(features, wanted_features)
        identity = losses.identity(context.recognizer, images[:near], wanted[:near])
        local = self.local_mse * mse + self.local_perceptual * perceptual[:near] + self.local_identity * identity
        adjacency = (
            self.adjacency_mse * mse
            + self.adjacency_perceptual * perceptual[:near]
            + self.adjacency_identity * identity
        )
        return Losses(
            local=local[:first].sum() / batch.people,
            adjacency=self.adjacency_weight * self._reduced(adjacency[first:], batch.adjacent) / batch.people,
            preservation=preservation,
        )

    def _reduced(self, rows: Tensor, count: int) -> Tensor:
        """Their sum, or their share of a mean over ``count`` samples; 0 for no rows."""
        return rows.sum() / count if self.reduction == "mean" and count else rows.sum()


_WITHOUT_GLOBAL_LOSS = {**Guide.presets, "mini": {"steps": 25, "lr": 4e-3}}


@dataclass(frozen=True)
class MeanLatent(Guide):
    """The paper's baseline: the local loss alone, towards the average face."""

    name = "mean-latent"
    summary = "the paper's baseline: pull towards w_avg"
    presets = _WITHOUT_GLOBAL_LOSS
    fitted_on = _FITTED_ON
    settings_tried = _SETTINGS_TRIED

    target_kind: Literal["mean", "extrapolated"] = "mean"
    adjacency_loss: bool = False
    global_loss: bool = False


@dataclass(frozen=True)
class Extrapolated(Guide):
    """The local loss alone, towards a target extrapolated through the average face."""

    name = "extrapolated"
    summary = "+ target extrapolated through w_avg (UFO)"
    presets = _WITHOUT_GLOBAL_LOSS
    fitted_on = _FITTED_ON
    settings_tried = _SETTINGS_TRIED

    adjacency_loss: bool = False
    global_loss: bool = False


@dataclass(frozen=True)
class ExtrapolatedAdjacency(Guide):
    """Local and adjacency loss, towards the extrapolated target."""

    name = "extrapolated-adj"
    summary = "+ adjacency loss"
    presets = _WITHOUT_GLOBAL_LOSS
    fitted_on = _FITTED_ON
    settings_tried = _SETTINGS_TRIED

    global_loss: bool = False
