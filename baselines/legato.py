"""LEGATO: the generator stays as it is; small neural ODEs behind its blocks learn to lead the person away.

"LEGATO", arXiv 2601.04282, with GUIDE's target and losses. Behind each block of the backbone but the first an adapter
moves the block's output x along dx/dt = f(x), where f is two pointwise linear layers; only adapters are trained. One
more loss keeps the trajectories smooth. The defaults are the authors' released settings, including a slip of their code
(``starts_at_last_change``). They also create an adapter behind the first block, which they never call; there is none
here.

The adapters are sub-modules of the blocks, called by forward hooks: the generator's own weights keep their names, and
without the adapters it is the original.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from guidebench.baselines.guide import Batch, Guide, Losses
from guidebench.errors import BadInput, MethodError, in_one_line
from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest

NAME = "legato"  # of the adapter within its block, as in backbone.synthesis.b8.conv1.legato.rise.weight
FILE = "adapters.safetensors"
_SHAPE = ("hidden", "slope", "ode_end", "ode_step")  # the settings that an adapter is made with


class Adapter(nn.Module):
    """Moves features along dx/dt = f(x) for a while; f changes every position by itself and is 0 at the start.

    f = fall ∘ leaky ReLU ∘ rise, both linear over the channels: 1x1 convolutions of feature maps.
    """

    def __init__(self, channels: int, hidden: int, *, slope: float, end: float, step: float) -> None:
        """hidden: width of f. slope: of its leaky ReLU. end, step: of the time, for explicit Euler steps."""
        super().__init__()
        self.rise, self.fall = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.slope, self.end, self.step = slope, end, step
        self.seen: list[Tensor] | None = None  # the trajectory of the last call, while `watched`
        for tensor in (self.rise.bias, self.fall.weight, self.fall.bias):
            nn.init.zeros_(tensor)

    def draw(self, uniform: Tensor) -> None:
        """Sets the first layer: Kaiming-uniform, within ±√(6/channels). uniform: (hidden, channels) in [0, 1)."""
        with torch.no_grad():
            self.rise.weight.copy_((2 * uniform - 1) * math.sqrt(6 / self.rise.in_features))

    def trajectory(self, x: Tensor) -> list[Tensor]:
        """The states x_0, x_1, … from the input on: each (n, channels, …), x_{k+1} = x_k + step · f(x_k)."""
        state = x.movedim(1, -1)
        states = [state]
        for step in self.steps():
            state = state + step * self.fall(functional.leaky_relu_(self.rise(state), self.slope))
            states.append(state)
        return [each.movedim(-1, 1) for each in states]

    def steps(self) -> list[float]:
        """The Euler steps; the last is shorter if ``step`` does not divide ``end``.

        >>> Adapter(1, 1, slope=0.2, end=1.0, step=0.4).steps()
        [0.4, 0.4, 0.2]
        """
        whole = max(math.ceil(self.end / self.step - 1e-9) - 1, 0)
        return [self.step] * whole + [round(self.end - whole * self.step, 12)]

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, …) -> the same shape and precision: the state at the end."""
        states = self.trajectory(x.to(self.rise.weight.dtype))
        if self.seen is not None:
            self.seen = states
        return states[-1].to(x.dtype)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block ``seen`` is the trajectory of the last call; it is not kept beyond."""
        self.seen = []
        try:
            yield
        finally:
            self.seen = None


def changes(states: list[Tensor]) -> Tensor:
    """(steps, n): of every step and row, the mean over all numbers of (x_j - x_{j-1})², each ≥ 0.

    >>> changes([torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[1.0, 3.0]])]).tolist()
    [[1.0], [2.0]]
    """
    return torch.stack([(after - before).square().flatten(1).mean(1) for before, after in itertools.pairwise(states)])


def _follow(block: nn.Module, inputs: object, output: Tensor) -> Tensor:
    """The hook of a block with an adapter."""
    followed: Tensor = getattr(block, NAME)(output)
    return followed


@dataclass(frozen=True)
class Legato(Guide):
    """GUIDE's target and losses; what is trained are neural-ODE adapters, and no weight of the generator changes."""

    name = "legato"
    summary = "GUIDE's losses; trains neural-ODE adapters, no weight"
    paper = "LEGATO, arXiv 2601.04282"
    presets = {"mini": {"steps": 25, "lr": 2e-3}, "linear": {"steps": 30, "lr": 5e-3}}
    fitted_on = {"mini": ("id_others", "id_retain")}  # docs/presets.md
    settings_tried = {"mini": 6}
    supports = frozenset({"single"})
    bounds = {
        **Guide.bounds,
        "hidden": (1, 65_536),
        "slope": (0.0, 1.0),
        "ode_end": (1e-3, 1e3),
        "ode_step": (1e-3, 1e3),
        "consistency": (0.0, 1e6),
    }

    hidden: int = 256  # channels between the two layers of an adapter
    slope: float = 0.2  # of its leaky ReLU
    ode_end: float = 1.6  # how long the features move
    ode_step: float = 0.4  # of explicit Euler: four of them
    consistency: float = 1.0  # weight of the trajectory's mean squared steps, at the forgotten code
    consistency_at: Literal["second-to-last", "all"] = "second-to-last"  # adapter: EG3D's at 128 x 128, as released
    starts_at_last_change: bool = True  # a slip of the released code: the last mean squared step counts once more

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Hangs adapters behind the blocks and trains them; a generator that has adapters keeps training its own."""
        if not adapters_of(generator):
            for index, adapter in enumerate(self.adapt(generator)):
                shape = (adapter.rise.out_features, adapter.rise.in_features)
                adapter.draw(context.noise("legato/adapter", index).uniform(shape, context.device))
        return super().unlearn(generator, request, context)

    def adapt(self, generator: Generator) -> list[Adapter]:
        """Hangs an adapter behind every block but the first, or behind the only one; they change nothing yet.

        Raises MethodError if the generator names no blocks, or a block has adapters.
        """
        blocks = list(generator.blocks().values())
        if not blocks:
            raise MethodError(
                f"{type(generator).__name__} names no blocks to put adapters behind; define blocks() in the testbed's "
                "generator"
            )
        if adapters_of(generator):
            raise MethodError(f"{type(generator).__name__} has adapters; give a generator without")
        adapters = []
        for block, channels in blocks[1:] or blocks:
            adapter = Adapter(channels, self.hidden, slope=self.slope, end=self.ode_end, step=self.ode_step)
            block.add_module(NAME, adapter.to(generator.w_avg.device).requires_grad_(False))
            block.register_forward_hook(_follow)
            adapters.append(adapter)
        return adapters

    def trained(self, generator: Generator) -> nn.Module:
        """The adapters alone."""
        return nn.ModuleList(adapters_of(generator))

    def losses_of(self, generator: Generator, batch: Batch, context: Context) -> Losses:
        """GUIDE's, the local one with the consistency of the trajectories that the forgotten codes' features take.

        Features are synthesised last in a step, or only once, and forgotten codes come first in every batch.
        """
        adapters = adapters_of(generator)
        watched = adapters if self.consistency_at == "all" else adapters[-2:][:1]
        with contextlib.ExitStack() as stack:
            for adapter in watched:
                stack.enter_context(adapter.watched())
            found = super().losses_of(generator, batch, context)
            trajectories = [adapter.seen or [] for adapter in watched]
        if batch.first == 0:
            return found
        local = found.local
        for states in trajectories:
            steps = changes([state[: batch.first] for state in states]).sum(dim=1) / batch.people
            local = local + self.consistency * steps.mean() + (steps[-1] if self.starts_at_last_change else 0)
        return replace(found, local=local)

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        """Writes the adapters and what they are made with; the original's weights are what they were."""
        from safetensors.torch import save_file

        state = {name: value.contiguous() for name, value in generator.state_dict().items() if _is_adapters(name)}
        settings = {name: getattr(self, name) for name in _SHAPE}
        save_file(state, folder / FILE, metadata={NAME: json.dumps(settings)})

    def load(self, generator: Generator, folder: Path) -> Generator:
        """Hangs the adapters that `save` wrote behind the blocks of a copy of the original generator."""
        return load(folder / FILE, generator)


def load(path: str | Path, generator: Generator) -> Generator:
    """A copy of the original generator with the adapters of a file; also a loader for `guidebench evaluate`.

    Raises BadInput if the file holds something else, or adapters of another generator.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device=str(generator.w_avg.device)) as file:
            settings = json.loads((file.metadata() or {})[NAME])
            saved = {name: file.get_tensor(name) for name in file.keys()}  # the file is not a mapping
        Legato(**settings).adapt(generator)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} holds no adapters of legato ({in_one_line(error)}); give an {FILE}") from None
    state = generator.state_dict()
    wanted = {name: tuple(value.shape) for name, value in state.items() if _is_adapters(name)}
    if wanted != {name: tuple(value.shape) for name, value in saved.items()}:
        raise BadInput(f"{path} holds adapters of another generator than {type(generator).__name__}; give its own")
    generator.load_state_dict({**state, **saved})
    return generator


def adapters_of(generator: Generator) -> list[Adapter]:
    """The adapters behind the blocks, in the order of the blocks; none if it has none."""
    found = [getattr(block, NAME, None) for block, _ in generator.blocks().values()]
    return [adapter for adapter in found if isinstance(adapter, Adapter)]


def _is_adapters(name: str) -> bool:
    """Whether a tensor of a state dict belongs to an adapter."""
    return f".{NAME}." in name
