"""Puts a trial's requests to its method, one after another, in this process, and checks what it answers.

In a run this happens in a process of the method's own, see `guidebench.engine.apart`.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from guidebench.engine.isolation import (
    Change,
    blame_the_method,
    call_method,
    change_of,
    check_generator,
    copied,
    frozen,
    is_wrapper,
)
from guidebench.engine.peak_memory import Peak, peak_memory
from guidebench.engine.snapshots import Snapshots
from guidebench.errors import MethodError
from guidebench.protocol import Protocol
from guidebench.seeds import Streams
from guidebench.testbed import Generator, Players
from guidebench.unlearner import CameraSampler, Context, ForgetItem, ForgetRequest, Unlearner
from guidebench.views import protocol_cameras

_READ_EVERY = 10  # calls of progress() on a GPU

Report = Callable[[int, Mapping[str, float]], None]  # (step, scalars)
Rows = list[dict[str, float]]  # one for every progress report: request, step and the method's scalars


@dataclass(frozen=True)
class Unlearned:
    """A method's answer to one request, checked."""

    generator: Generator | None  # None: that of an earlier request, which nothing asks for any more
    progress: Rows
    seconds: float
    change: Change  # how it differs from the original
    memory: Peak
    wrapper: bool  # whether the generator is more than the original with other weights
    in_place: bool = False  # whether it is the one that the method was given, so that snapshots show how it came about


class Runner(ABC):
    """Puts requests to one method, each on the generator that the request before it left."""

    in_process: bool  # whether the method runs where its trial is judged

    @abstractmethod
    def unlearn(self, request: ForgetRequest, number: int) -> Unlearned:
        """The answer to a request. number: of the request, from 1. Raises MethodError if the method misbehaves."""

    @abstractmethod
    def targets(self, items: Sequence[ForgetItem]) -> dict[str, Tensor]:
        """By identity, the code (num_ws, w_dim) that the method moves a person to, where it says so."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Lets the method write the generator of the last request. Raises MethodError if it cannot."""

    @abstractmethod
    def load(self, folder: Path) -> Generator:
        """The generator that `save` wrote, frozen. Raises MethodError if it cannot be loaded."""

    @abstractmethod
    def keep(self, folder: Path) -> str:
        """As `save`, between two requests; returns why the method cannot, and goes on all the same."""

    @abstractmethod
    def resume(self, folder: Path, *, wrapper: bool) -> Generator:
        """Goes on with a generator that was kept between two requests: the next request starts from it.

        wrapper: it was written by `save`; otherwise its weights are in `WEIGHTS`. Raises MethodError if it cannot be
        loaded.
        """


WEIGHTS = "weights.safetensors"  # of a generator that was kept between two requests


class Here(Runner):
    """Runs a method in this process, on copies of the players."""

    in_process = True

    def __init__(
        self,
        method: Unlearner,
        players: Players,
        device: torch.device,
        protocol: Protocol,
        seed: int,
        report: Report,
        rows: Rows | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """report: hears of every progress report. rows: gets one for each, also if the method misbehaves later.

        snapshots: are taken while the method trains.
        """
        self._method, self._players, self._device = method, players, device
        self._protocol, self._seed, self._report = protocol, seed, report
        self._rows = [] if rows is None else rows
        self._snapshots = snapshots or Snapshots()
        self._current = players.generator

    def unlearn(self, request: ForgetRequest, number: int) -> Unlearned:
        """See `Runner`."""
        first, source = len(self._rows), self._players.generator
        every = 1 if self._device.type == "cpu" else _READ_EVERY
        progress = Progress(number, self._rows, self._report, every=every, look=self._snapshots.look)
        context = make_context(self._players, self._device, self._protocol, request, self._seed, progress)
        started = time.perf_counter()
        with peak_memory(self._device) as memory:
            try:
                result, changed = call_method(
                    self._method, self._current, request, context, self._players, self._snapshots.begin
                )
            except MethodError:
                with contextlib.suppress(MethodError):  # the first error counts
                    progress.read()
                raise
            progress.read()
        elapsed = time.perf_counter() - started - self._snapshots.seconds
        if changed:
            raise MethodError(
                f"the method changed the {', '.join(changed)}; change only the generator that is passed to unlearn()"
            )
        cameras = protocol_cameras(self._protocol, source)
        generator = check_generator(result, source, request.forget[0], cameras)
        self._current = generator
        return Unlearned(
            generator,
            self._rows[first:],
            elapsed,
            change_of(generator, source),
            memory,
            wrapper := is_wrapper(generator, source),
            in_place=self._snapshots.are_of(result) and not wrapper,
        )

    def targets(self, items: Sequence[ForgetItem]) -> dict[str, Tensor]:
        """See `Runner`."""
        source = frozen(self._players.generator)
        with blame_the_method("the method's target() fails"):
            codes = {item.identity: self._method.target(item, source) for item in copied(items)}
            return {identity: code.detach().clone() for identity, code in codes.items() if code is not None}

    def save(self, folder: Path) -> None:
        """See `Runner`."""
        with blame_the_method("the method's save() fails"):
            self._method.save(self._current, frozen(self._players.generator), folder)

    def load(self, folder: Path) -> Generator:
        """See `Runner`."""
        with blame_the_method("its generator cannot be loaded"):
            return self._method.load(frozen(self._players.generator), folder).eval().requires_grad_(False)

    def keep(self, folder: Path) -> str:
        """See `Runner`."""
        try:
            self.save(folder)
        except MethodError as error:
            return str(error)
        return ""

    def resume(self, folder: Path, *, wrapper: bool) -> Generator:
        """See `Runner`."""
        self._current = self.load(folder) if wrapper else self._with_weights(folder / WEIGHTS)
        return self._current

    def _with_weights(self, path: Path) -> Generator:
        from safetensors.torch import load_file

        generator = frozen(self._players.generator)
        with blame_the_method("the weights that were kept cannot be loaded"):
            generator.load_state_dict(load_file(path))
        return generator


class Progress:
    """What a method calls after a step. Tensors are read every so many steps, so that a GPU need not wait for each."""

    def __init__(
        self,
        request: int,
        rows: Rows,
        report: Report,
        *,
        every: int,
        look: Callable[[int], None] = lambda step: None,
    ) -> None:
        """request: its number, from 1. rows: gets one for every call. report: hears of it. every: calls per reading.

        look: hears of every step at once.
        """
        self._request, self._rows, self._report, self._every = request, rows, report, every
        self._look = look
        self._unread: list[tuple[int, Mapping[str, float | Tensor]]] = []

    def __call__(self, step: int, **scalars: float | Tensor) -> None:
        """Raises MethodError for a step that is none, and once a scalar is seen that is not finite."""
        if not 0 <= int(step) < 2**53:
            raise MethodError(f"progress() was given step {step}; count steps from 1")
        self._unread.append((int(step), {name: _kept(value) for name, value in scalars.items()}))
        if len(self._unread) >= self._every:
            self.read()
        self._look(int(step))

    def read(self) -> None:
        """Reads what was reported and not read so far."""
        unread, self._unread = self._unread, []
        for step, scalars in unread:
            values = {name: float(value) for name, value in scalars.items()}
            place = {"request": self._request, "step": step}
            self._rows.append(place | values | place)
            wrong = [name for name, value in values.items() if not math.isfinite(value)]
            if wrong:
                raise MethodError(
                    f"diverged: {wrong[0]} = {values[wrong[0]]} at step {step}; lower the learning rate (--set lr=…)"
                )
            self._report(step, values)


def _kept(value: float | Tensor) -> float | Tensor:
    """A scalar as it is now: a tensor without its graph, and a copy, since a method may go on writing to it."""
    if not isinstance(value, Tensor):
        return float(value)
    if value.numel() != 1:
        raise MethodError(
            f"progress() was given a tensor of shape {tuple(value.shape)}; give one number, its mean, say"
        )
    return value.detach().clone().reshape(())


def make_context(
    players: Players,
    device: torch.device,
    protocol: Protocol,
    request: ForgetRequest,
    seed: int,
    progress: Callable[..., None],
) -> Context:
    """What a method sees: copies of the players and streams of these people and seed, no judge, no probe photograph.

    The players are copies, so that nothing a method does to them reaches another trial. The streams do not depend on
    the method, so that methods which draw alike see the same numbers.
    """
    source = frozen(players.generator)
    people = (item.identity for item in request.forget)
    return Context(
        source=source,
        inverter=frozen(players.inverter),
        recognizer=frozen(players.recognizer),
        perceptual=frozen(players.perceptual),
        cameras=CameraSampler(source, protocol.yaw, protocol.pitch),
        streams=Streams((protocol.name, protocol.version, *people, seed)),
        device=device,
        progress=progress,
    )
