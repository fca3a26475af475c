"""The weights of a generator every so many steps, while its method trains it: what curves over steps are judged from.

They are copied where the method runs, between two of its steps, and kept where its trial is judged. The method is told
nothing of it, and whatever it draws stays the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from guidebench.engine.wire import tensors_to_bytes
from guidebench.store.folders import storage_errors
from guidebench.testbed import Generator

Take = Callable[[int, bytes], None]  # (step, weights): of the wire


class Snapshots:
    """Copies the weights of the generator that a method was given, at reports of its progress."""

    def __init__(self, every: int | None = None, take: Take = lambda step, weights: None) -> None:
        """every: steps; None: there are no copies. take: is handed every copy."""
        self._every, self._take = every, take
        self._given: Generator | None = None
        self._periods = 0  # of so many steps, that are over
        self.seconds = 0.0  # of copying, since the request began

    def begin(self, generator: Generator) -> None:
        """A request begins with this generator."""
        self._given, self._periods, self.seconds = generator, 0, 0.0

    def look(self, step: int) -> None:
        """The method has made so many steps: a copy at the first report after every so many."""
        if self._given is None or self._every is None or step // self._every <= self._periods:
            return
        self._periods = step // self._every
        if self._given.w_avg.device.type == "cuda":
            torch.cuda.synchronize(self._given.w_avg.device)  # what is left of the steps is not ours
        started = time.perf_counter()
        self._take(step, tensors_to_bytes(self._given.state_dict()))
        self.seconds += time.perf_counter() - started

    def are_of(self, result: object) -> bool:
        """Whether it was this generator that was looked at."""
        return result is self._given


class Kept:
    """Snapshots on disk."""

    def __init__(self, folder: Path, every: int) -> None:
        """folder: there for nothing else. every: steps."""
        self._folder, self.every = folder, every

    def take(self, step: int, weights: bytes) -> None:
        """Keeps a snapshot; see `Take`. Raises StorageError if it cannot be written."""
        with storage_errors(self._folder):
            self._path(step).write_bytes(weights)

    @property
    def steps(self) -> list[int]:
        """After which steps there is one."""
        return sorted(int(path.stem) for path in self._folder.glob("*.safetensors"))

    def weights(self, step: int) -> bytes:
        """Those after a step."""
        return self._path(step).read_bytes()

    def _path(self, step: int) -> Path:
        return self._folder / f"{step}.safetensors"
