"""What tests of recorded runs of released code share: the small generator, its networks, and recorded draws.

Weights are drawn by name (recipe_weights.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from guidebench import losses
from guidebench.baselines.guide import Draws, Guide
from guidebench.baselines.latent_map import LatentMap
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.irse import IRSE50, FixedCropRecognizer
from guidebench.networks.lpips import LPIPS
from guidebench.noise import Noise
from guidebench.seeds import Streams
from guidebench.testbed import Inverter
from guidebench.unlearner import CameraSampler, Context, ForgetItem, ForgetRequest

SALT = "dev-eg3d-128"


@dataclass(frozen=True)
class Recorded(Guide):
    """GUIDE with the recorded draws, and the average code of the recorded run, which has a row for each layer."""

    average: Any = field(default=None, compare=False)
    recorded: Sequence[Draws] = ()

    def target_code(self, latent: Tensor, average: Tensor) -> Tensor:
        return super().target_code(latent, self.average)

    def draw(self, context: Context, step: int, people: int = 1) -> Draws:
        """The recorded draws of the losses that the method has."""
        draws = self.recorded[step - 1]
        near, away = self.adjacency_samples * self.adjacency_loss, self.global_samples * self.global_loss
        return dataclasses.replace(
            draws, towards=draws.towards[:near], alpha=draws.alpha[:near], others=draws.others[:away]
        )


class RecordedNoise(Noise):
    """Hands out recorded draws: for each code of a batch, its tensors in the order in which they were drawn."""

    def __init__(self, codes: Sequence[Sequence[Tensor]]) -> None:
        super().__init__([0])
        self._left = [list(draws) for draws in codes]

    def normal(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        found = torch.cat([draws.pop(0) for draws in self._left])
        assert found.shape == tuple(shape), "the network asks for other draws than were recorded"
        return found

    uniform = normal

    def normals(self, shapes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> list[Tensor]:
        return [self.normal(shape, device) for shape in shapes]


def identity_network(recipe: ModuleType) -> FixedCropRecognizer:
    network = IRSE50()
    slopes = [f"{name}.weight" for name, module in network.named_modules() if isinstance(module, torch.nn.PReLU)]
    return FixedCropRecognizer(recipe.fill(network, f"{SALT}-ir-se50", prelu=slopes))


def perceptual_network(recipe: ModuleType) -> LPIPS:
    network, state = LPIPS(), {}
    for key, value in network.state_dict().items():
        if key.startswith("lin"):
            drawn = recipe.recipe_tensor(f"{key}.model.1.weight", (1, len(value), 1, 1), f"{SALT}-lpips", "lpips_lin")
        else:
            drawn = recipe.recipe_tensor(key, value.shape, f"{SALT}-lpips", gain=math.sqrt(2))
        state[key] = torch.from_numpy(drawn).view(value.shape)
    network.load_state_dict(state)
    return network


def small_generator(facts: dict[str, Any], recipe: ModuleType) -> TriPlaneGenerator:
    """The original of the recorded runs, with the weights drawn by name."""
    config = dict(facts["config"])
    generator = TriPlaneGenerator.from_arguments(
        config, config.pop("rendering_kwargs"), facts["neural_rendering_resolution"]
    )
    filled: TriPlaneGenerator = recipe.fill(generator, SALT, "stylegan")
    return filled


def drawn_map(keys: Mapping[str, Sequence[int]], recipe: ModuleType) -> tuple[LatentMap, dict[str, str]]:
    """SUGAR's φ with the weights drawn by name, and our names of parameters by those of the release."""
    network = LatentMap()
    used = [key for key in keys if not key.startswith("classifier.")]
    names = dict(zip(used, (name for name, _ in network.named_parameters()), strict=True))
    for theirs, ours in names.items():
        assert network.get_parameter(ours).shape == torch.Size(keys[theirs]), theirs
    state = {ours: recipe.recipe_tensor(theirs, keys[theirs], f"{SALT}-phi", "cnn") for theirs, ours in names.items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    return network, names


class NoInverter(Inverter):
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        raise AssertionError("the method has no business with the inverter here")


def context_of(
    source: TriPlaneGenerator, recognizer: FixedCropRecognizer, perceptual: LPIPS, progress: Callable[..., None]
) -> Context:
    """What a method that draws nothing itself is given."""
    return Context(
        source=source,
        inverter=NoInverter(),
        recognizer=recognizer,
        perceptual=perceptual,
        cameras=CameraSampler(source, math.pi / 12, -0.2),
        streams=Streams(("unused",)),
        device=torch.device("cpu"),
        progress=progress,
    )


def request_of(code: Tensor) -> ForgetRequest:
    """To forget one code (num_ws, w_dim)."""
    return ForgetRequest((ForgetItem("recorded", None, code),))


class Watch:
    """Writes down the terms of every step, and what the optimiser saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, list[Any]] = {name: [] for name in ("mse", "lpips", "id", "grad_total_norm")}
        self.scalars: list[dict[str, float]] = []
        self.gradients: list[dict[str, Tensor]] = []
        self.dtypes: set[str] = set()
        for name, term in (("feature_distance", "mse"), ("perceptual", "lpips"), ("identity", "id")):
            monkeypatch.setattr(losses, name, self._noting(getattr(losses, name), self.rows[term]))

    def _noting(self, distance: Callable[..., Tensor], rows: list[Any]) -> Callable[..., Tensor]:
        def noted(*arguments: Any) -> Tensor:
            found = distance(*arguments)
            rows.append(found.detach().double().numpy())
            self.dtypes |= {str(value.dtype) for value in (found, *arguments) if isinstance(value, Tensor)}
            return found

        return noted

    @property
    def first_gradients(self) -> dict[str, float]:
        """The norms of the first step's."""
        return norms(self.gradients[0])

    def progress(self, generator: TriPlaneGenerator) -> Callable[..., None]:
        """To be called after each optimisation step, when the gradients are still there."""

        def report(step: int, **scalars: Tensor) -> None:
            gradients = {
                name: parameter.grad.clone()
                for name, parameter in generator.named_parameters()
                if parameter.grad is not None
            }
            self.scalars.append({name: float(value) for name, value in scalars.items()})
            self.rows["grad_total_norm"].append(math.sqrt(sum(norm**2 for norm in norms(gradients).values())))
            self.gradients.append(gradients)

        return report


def norms(gradients: dict[str, Tensor]) -> dict[str, float]:
    """The Euclidean length of each tensor."""
    return {name: float(gradient.double().norm()) for name, gradient in gradients.items()}
