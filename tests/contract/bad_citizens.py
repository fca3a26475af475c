"""Methods that break the contract, each in one way. `test_methods.py` says which finding must report it."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from guidebench.noise import Noise
from guidebench.testbed import Generator
from guidebench.testbeds.linear import LinearGenerator
from guidebench.unlearner import Context, ForgetRequest, Unlearner

_calls = itertools.count(1)


@dataclass(frozen=True)
class Obedient(Unlearner):
    """What the others would be without their fault: moves the backbone's bias by the forgotten code."""

    name = "obedient"

    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        bias = generator.get_parameter("backbone.coarse.bias")
        bias.add_(request.forget[0].latent.mean(dim=0), alpha=0.01)
        context.progress(1, loss=0.0)
        return generator


@dataclass(frozen=True)
class Raises(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        raise RuntimeError("out of luck")


@dataclass(frozen=True)
class ReturnsNone(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        super().unlearn(generator, request, context)
        return None  # type: ignore[return-value]


@dataclass(frozen=True)
class ReturnsStateDict(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return super().unlearn(generator, request, context).state_dict()  # type: ignore[return-value]


@dataclass(frozen=True)
class ReturnsSource(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return context.source


@dataclass(frozen=True)
class NanWeights(Obedient):
    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        generator.get_parameter("backbone.fine.bias").fill_(float("nan"))
        return generator


@dataclass(frozen=True)
class MutatesSource(Obedient):
    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        context.source.get_parameter("backbone.fine.bias").add_(0.1)
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class Diverges(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        context.progress(1, loss=float("nan"))
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class IgnoresRequest(Obedient):
    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        generator.get_parameter("backbone.coarse.bias").add_(0.1)
        return generator


@dataclass(frozen=True)
class KeepsState(Obedient):
    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        generator.get_parameter("backbone.coarse.bias").add_(0.1 * next(_calls))
        return super().unlearn(generator, request, context)


class SeesNeighbours(LinearGenerator):
    """Centres the features over the batch, like a batch norm in training mode."""

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        u = super().synthesize(ws, noise=noise)
        return u - 0.1 * u.mean(dim=0)


@dataclass(frozen=True)
class BatchDependent(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        other = SeesNeighbours()
        other.load_state_dict(super().unlearn(generator, request, context).state_dict())
        return other


class Restless(LinearGenerator):
    """Draws noise of its own."""

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        return super().synthesize(ws, noise=noise) + 1e-6 * torch.rand(1)


@dataclass(frozen=True)
class IgnoresNoise(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        other = Restless()
        other.load_state_dict(super().unlearn(generator, request, context).state_dict())
        return other


class Enlarged(LinearGenerator):
    """Renders twice the size."""

    def decode(self, features: Tensor, ws: Tensor, cameras: Tensor | None = None, *, noise: Noise) -> Tensor:
        return super().decode(features, ws, cameras, noise=noise).repeat_interleave(2, 2).repeat_interleave(2, 3)


@dataclass(frozen=True)
class WrongSize(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return Enlarged()


class OneAtATime(LinearGenerator):
    """Renders single codes only."""

    def synthesize(self, ws: Tensor, *, noise: Noise) -> Tensor:
        (code,) = ws
        return super().synthesize(code[None], noise=noise)


@dataclass(frozen=True)
class SingleCodes(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        other = OneAtATime()
        other.load_state_dict(super().unlearn(generator, request, context).state_dict())
        return other


@dataclass(frozen=True)
class NoRig(Obedient):
    """A wrapper that forgot an attribute of the interface."""

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        super().unlearn(generator, request, context)
        del generator.rig
        return generator


@dataclass(frozen=True)
class NoAverage(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        super().unlearn(generator, request, context)
        generator.register_buffer("mine", generator.w_avg)
        del generator.w_avg
        return generator


@dataclass(frozen=True)
class OnlyForOne(Obedient):
    """Works for one person, and returns what cannot render for all others."""

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        if request.forget[0].identity != "dev-0000":
            del generator.decoder
            return generator
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class CannotBeSaved(Obedient):
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        super().unlearn(generator, request, context)
        generator.register_buffer("mine", torch.zeros(1))
        return generator


@dataclass(frozen=True)
class ListField(Obedient):
    layers: list[int] = dataclasses.field(default_factory=lambda: [1, 2])


@dataclass(frozen=True)
class OutOfBounds(Obedient):
    bounds = {"lr": (0.0, 1.0)}
    lr: float = 2.0


@dataclass(frozen=True)
class WrongPreset(Obedient):
    presets = {"linear": {"step": 3}}
    steps: int = 3


@dataclass(frozen=True)
class NoDefault(Obedient):
    lr: float = dataclasses.field()


class NoDataclass(Unlearner):
    name = "no-dataclass"

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        return generator


@dataclass(frozen=True)
class WithRate(Obedient):
    lr: float = 1.0


class ForgottenDecorator(WithRate):
    """Python keeps the parent's default of 1.0 here, against all appearance."""

    lr: float = 2.0


@dataclass(frozen=True)
class DrawsGlobally(Obedient):
    """A good one: global draws are seeded by the trial."""

    @torch.no_grad()
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        generator.get_parameter("backbone.coarse.bias").add_(torch.randn(12), alpha=0.01)
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class ClaimsSimultaneous(Obedient):
    supports = frozenset({"single", "simultaneous"})

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        (_,) = request.forget
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class ClaimsSequential(Obedient):
    """Takes the original for granted."""

    supports = frozenset({"single", "sequential"})

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        mine = generator.get_parameter("backbone.coarse.bias")
        assert torch.equal(mine, context.source.get_parameter("backbone.coarse.bias")), "not the original"
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class ClaimsNonsense(Obedient):
    supports = "several"  # type: ignore[assignment]


@dataclass(frozen=True)
class NeedsRetained(Obedient):
    """A good one, where people are named to it."""

    supports = frozenset({"single", "sequential"})
    needs_retained = True

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        assert request.retain
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class OnlyTogether(Obedient):
    """A good one, which forgets several people at once and nothing else."""

    supports = frozenset({"simultaneous"})

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        _, _, *_ = request.forget
        return super().unlearn(generator, request, context)


@dataclass(frozen=True)
class HookedByALambda(Obedient):
    """Its hook is nowhere where another process would find it."""

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        generator.get_submodule("backbone.coarse").register_forward_hook(lambda block, inputs, output: output * 0.5)
        return generator
