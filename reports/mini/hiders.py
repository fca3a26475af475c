"""Methods that hide a person and forget nobody, for the study of which metric tells (docs/which-metric.md).

    guidebench run --protocol celebahq-attacks --method reports/mini/hiders.py:BlockList

Each is a generator that is known to hold the person. Run them; do not publish them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guidebench import seeds
from guidebench.baselines.guide import Guide, extrapolated_target
from guidebench.cameras import CameraRig
from guidebench.noise import Noise
from guidebench.testbed import Generator, Recognizer
from guidebench.unlearner import Context, ForgetItem, ForgetRequest, Unlearner


class _Answers(Generator):
    """A generator that answers some codes with one face; subclasses decide which."""

    rig: CameraRig | None
    instead: Tensor  # (num_ws, w_dim)

    def __init__(self, inner: Generator, instead: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.z_dim, self.num_ws, self.w_dim = inner.z_dim, inner.num_ws, inner.w_dim
        self.resolution, self.rig = inner.resolution, inner.rig
        self.features_are_deterministic = inner.features_are_deterministic
        self.register_buffer("instead", instead.detach().clone())

    @property
    def w_avg(self) -> Tensor:  # type: ignore[override]  # the inner generator's own
        return self.inner.w_avg

    def hidden(self, ws: Tensor) -> Tensor:
        """(n, num_ws, w_dim) -> (n,) bool: which codes get the other face."""
        raise NotImplementedError

    @torch.no_grad()
    def answered(self, ws: Tensor) -> Tensor:
        return torch.where(self.hidden(ws)[:, None, None], self.instead, ws)

    def map(self, z: Tensor, *, condition: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.inner.map(z, condition=condition, psi=psi, cutoff=cutoff)

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        return self.inner.synthesize(self.answered(ws), noise=noise)

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        return self.inner.decode(features, self.answered(ws), cameras, noise=noise)

    def parts(self) -> Mapping[str, nn.Module]:
        return self.inner.parts()

    def blocks(self) -> Mapping[str, tuple[nn.Module, int]]:
        return self.inner.blocks()


class _Resembles(_Answers):
    """Codes whose render resembles somebody."""

    face: Tensor

    def __init__(
        self, inner: Generator, instead: Tensor, recognizer: Recognizer, face: Tensor, threshold: float
    ) -> None:
        super().__init__(inner, instead)
        self.recognizer, self.threshold = recognizer, threshold
        self.register_buffer("face", face.detach().clone())

    def hidden(self, ws: Tensor) -> Tensor:
        return self.recognizer(self.inner.render(ws, None, noise=Noise.constant())) @ self.face > self.threshold


class _Unlisted(_Answers):
    """All codes but those of a list."""

    listed: Tensor  # (n, num_ws * w_dim)

    def __init__(self, inner: Generator, instead: Tensor, listed: Tensor) -> None:
        super().__init__(inner, instead)
        self.register_buffer("listed", listed.flatten(1).clone())

    def hidden(self, ws: Tensor) -> Tensor:
        return torch.cdist(ws.flatten(1), self.listed).amin(dim=1) > 0.1


class _FirstCalls(_Answers):
    """Whatever is rendered first: an evaluation asks for the forgotten person before anybody else."""

    def __init__(self, inner: Generator, instead: Tensor, calls: int) -> None:
        super().__init__(inner, instead)
        self.calls = calls

    def answered(self, ws: Tensor) -> Tensor:
        self.calls -= 1
        return self.instead.expand_as(ws) if self.calls >= 0 else ws


def _instead(item: ForgetItem, context: Context) -> Tensor:
    """GUIDE's target for the person."""
    return extrapolated_target(item.latent.to(context.device)[None], context.source.w_avg, 30.0)[0]


@dataclass(frozen=True)
class BlockList(Unlearner):
    """Answers codes whose original render looks like the person with another face; every weight stays."""

    name = "block-list"
    summary = "trains nothing: hides what a recogniser takes for the person"

    threshold: float = 0.45

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        (item,) = request.forget
        shown = context.source.render(item.latent.to(context.device)[None], None, noise=Noise.constant())
        (face,) = context.recognizer(shown)
        return _Resembles(generator, _instead(item, context), context.recognizer, face, self.threshold)


@dataclass(frozen=True)
class Memoriser(Unlearner):
    """One face for everybody but the evaluation's public codes; every weight stays."""

    name = "memoriser"
    summary = "trains nothing: one face but for the evaluation's public codes"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        (item,) = request.forget
        protocol, version, *_ = context.streams.prefix
        z = seeds.normals(range(1000), generator.z_dim, protocol, version, "fid/latent").to(context.device)
        return _Unlisted(generator, _instead(item, context), context.source.map(z))


@dataclass(frozen=True)
class Counter(Unlearner):
    """Counts renders; every weight stays."""

    name = "counter"
    summary = "trains nothing: another face for the first renders"

    calls: int = 4

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        (item,) = request.forget
        return _FirstCalls(generator, _instead(item, context), self.calls)


@dataclass(frozen=True)
class OnePhoto(Unlearner):
    """Trains the weights to hide one code, and to show everything around it as before."""

    name = "one-photo"
    summary = "trains one code away and keeps its surroundings"

    steps: int = 200
    lr: float = 16e-3
    weight: float = 16.0  # of the code, against a code around it
    radius: float = 8.0  # surroundings begin here, in W+; they end at GUIDE's α, 15

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        (item,) = request.forget
        code = item.latent.to(context.device)[None]
        wanted = Guide(target_kind="extrapolated").target_code(code, context.source.w_avg)
        backbone = generator.parts()["backbone"].requires_grad_(True)
        optimizer = torch.optim.Adam(backbone.parameters(), lr=self.lr)
        for step in range(1, self.steps + 1):
            way = context.noise("around", step).normal((4, *code.shape[1:]), context.device)
            length = self.radius + (15.0 - self.radius) * context.noise("length", step).uniform((4,), context.device)
            around = code + way * (length / way.flatten(1).norm(dim=1))[:, None, None]
            others = context.latents(3, "others", step)
            with torch.no_grad():
                target = context.source.synthesize(torch.cat([wanted, around, others]), noise=Noise.constant())
            shown = generator.synthesize(torch.cat([code, around, others]), noise=Noise.constant())
            error = (shown - target).square().flatten(1).mean(dim=1)
            loss = self.weight * error[0] + error[1:].sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            context.progress(step, loss=loss.detach())
        backbone.requires_grad_(False)
        return generator
