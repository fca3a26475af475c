"""The shared unlearner interface: what a method is given and what it hands back.

A method is a frozen dataclass with one function. Every field is a hyper-parameter and is recorded:

    @dataclass(frozen=True)
    class Mine(Unlearner):
        name = "mine"
        steps: int = 100

        def unlearn(self, generator, request, context):
            ...
            return generator
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.seeds import Streams
from guidebench.settings import Settable
from guidebench.testbed import Generator, Inverter, PerceptualDistance, Recognizer

ABSENT = "missing"  # in `Unlearner.inputs`, in place of the digest of a file that is not there


@dataclass(frozen=True)
class ForgetItem:
    """One identity in a request."""

    identity: str
    image: Tensor | None  # (3, r, r) in [-1, 1]; None under the Random protocol, where only a latent code is known
    latent: Tensor  # (num_ws, w_dim): the inverted photograph, or the sampled code


@dataclass(frozen=True)
class ForgetRequest:
    """Who must not be generated any more, and who is named as someone to keep (a protocol's `retain_named`)."""

    forget: tuple[ForgetItem, ...]
    retain: tuple[ForgetItem, ...] = ()
    earlier: tuple[ForgetItem, ...] = ()  # whom the requests before this one named, in order: they must stay forgotten

    def mapped(self, change: Callable[[ForgetItem], ForgetItem]) -> ForgetRequest:
        """The request with every person changed by a function."""
        return ForgetRequest(*(tuple(map(change, items)) for items in (self.forget, self.retain, self.earlier)))


@dataclass(frozen=True)
class CameraSampler:
    """Cameras as the protocol draws them for training: yaw uniform over ±half range at the protocol's fixed pitch."""

    generator: Generator  # whose rig is used
    yaw_half_range: float  # radians
    pitch: float  # radians, offset as in `guidebench.cameras`

    def sample(self, count: int, noise: Noise) -> Tensor | None:
        """(count, 25) camera labels, or None for a 2-D generator. noise: such as ``context.noise("camera", step)``."""
        if self.generator.rig is None:
            return None
        uniform = noise.uniform((count,), self.generator.w_avg.device)
        return self.generator.rig.look_at((uniform * 2 - 1) * self.yaw_half_range, self.pitch)


@dataclass(frozen=True)
class Context:
    """Everything that a method may use besides the generator and the request. It holds players only, never a judge."""

    source: Generator  # the original generator, frozen, in eval mode: the teacher
    inverter: Inverter
    recognizer: Recognizer  # the training recogniser; differentiable: recognizer(images) -> unit rows
    perceptual: PerceptualDistance
    cameras: CameraSampler
    streams: Streams  # of these people and this seed; `noise` draws from them
    device: torch.device
    progress: Callable[..., None]  # progress(step, **scalars): from step 1, numbers or tensors of one; sees divergence

    def latents(self, count: int, purpose: str, *index: int) -> Tensor:
        """(count, num_ws, w_dim) codes of fresh z ~ N(0, I) under the frontal condition, from the named stream."""
        z = self.noise(purpose, *index).normal((count, self.source.z_dim), self.device)
        with torch.no_grad():
            return self.source.map(z)

    def noise(self, purpose: str, *index: int) -> Noise:
        """Fresh random numbers for a purpose and an index, such as a step: for renders, cameras and all else.

        ``context.streams.at(purpose, step)`` is a `torch.Generator` on the CPU, for what torch alone can draw.
        """
        return Noise.random(self.streams.key(purpose, *index))


class Unlearner(Settable, ABC):
    """A method. Subclasses are frozen dataclasses; every field is a recorded hyper-parameter.

    `supports` says what a protocol may ask: "single" (one request for one person), "simultaneous" (several people in
    one request), "sequential" (further requests on the generator that it returned before). A run that asks for more is
    refused before it starts.
    """

    plugin_kind = "method"
    supports: ClassVar[frozenset[str]] = frozenset({"single"})  # what a protocol may ask of it, see above
    most_people: ClassVar[int | None] = None  # in one request; None: as many as there are
    needs_retained: ClassVar[bool] = False  # True: it cannot work without people named in request.retain
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # fields by testbed; only steps and learning rate differ
    fitted_on: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # by testbed, the metrics by which its preset was chosen
    settings_tried: ClassVar[Mapping[str, int]] = {}  # by testbed, how many settings its preset was chosen from
    training_seen: ClassVar[bool] = True  # False: it only hands over what other code unlearned

    @abstractmethod
    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Returns a generator that cannot make ``request.forget`` any more.

        generator: a private copy of the current generator, in eval mode, with gradients off for all parameters; train
        what you like and return it, or return a wrapper of your own around it. Must not change ``context.source``.
        """

    def for_trial(self, people: str, seed: int) -> Unlearner:
        """The method as one trial runs it; default: as it is.

        people: the forgotten person's name, or that of the group (`guidebench.evidence.group_name`).
        """
        return self

    def inputs(self) -> Mapping[str, str]:
        """SHA-256 of the files that the method reads besides its own code, by name: part of a trial's key.

        Default: none. A missing file is not an error here; give `ABSENT` in place of its digest.
        """
        return {}

    def target(self, item: ForgetItem, source: Generator) -> Tensor | None:
        """The latent code (num_ws, w_dim) that the method moves this identity to, or None if it has no such code.

        Only picture sheets use it.
        """
        return None

    def save(self, generator: Generator, source: Generator, folder: Path) -> None:
        """Writes what `load` needs to ``folder``; the default writes the tensors that differ from the original's.

        Override both if your method returns another class or more tensors than the original has. Raises MethodError if
        the default does not fit.
        """
        from safetensors.torch import save_file

        original, state = source.state_dict(), generator.state_dict()
        if type(generator) is not type(source) or set(state) != set(original):
            raise MethodError(
                f"method {self.name} returns {type(generator).__name__} with other tensors than the original; "
                "define save() and load() in the method to keep its generators"
            )
        delta = {name: value.contiguous() for name, value in state.items() if not torch.equal(value, original[name])}
        save_file(delta, folder / "delta.safetensors")

    def load(self, generator: Generator, folder: Path) -> Generator:
        """Turns a copy of the original generator into the one that `save` wrote."""
        from safetensors.torch import load_file

        generator.load_state_dict({**generator.state_dict(), **load_file(folder / "delta.safetensors")})
        return generator
