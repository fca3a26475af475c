"""One resumable, seeded training loop, shared by all stages.

A run is a function of (seed, number of steps): every batch and every random number of step k is drawn from a
generator seeded with (seed, stage, k), nothing depends on the clock, and a checkpoint holds networks, optimisers and
the step, so that a run that was interrupted ends with the same bits as one that was not.
"""

import csv
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from guidebench import digest, files, seeds
from guidebench.noise import Noise

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    out: Path
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    steps: int | None = None  # instead of each stage's own number of steps
    batch: int | None = None  # instead of each stage's own batch size
    save_every: int = 250
    log_every: int = 50

    def folder(self, stage: str) -> Path:
        """Where a stage keeps its files."""
        return self.out / stage


def rng_for(seed: int, purpose: str, index: int) -> torch.Generator:
    """An independent CPU generator for (seed, purpose, index)."""
    return seeds.stream("mini/training", seed, purpose, index)


def training_noise(rng: torch.Generator) -> Noise:
    """Render noise that depends on a training generator's next draw."""
    return Noise.random(int(torch.randint(2**62, (), generator=rng)))


ModuleType = TypeVar("ModuleType", bound=nn.Module)


def seeded_build(seed: int, stage: str, build: Callable[[], ModuleType]) -> ModuleType:
    """Build a network whose initial weights depend on (seed, stage) only; the global generator is left as it was."""
    with seeds.global_seed("mini/training", seed, stage, "weights"):
        return build()


def cosine(progress: float, *, flat: float = 0.0, end: float = 0.0) -> float:
    """Learning-rate factor at `progress` in [0, 1]: 1 up to `flat`, then half a cosine down to `end`."""
    if progress < flat:
        return 1.0
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (progress - flat) / (1 - flat)))


class Stage:
    """The state of one training run; subclasses say what a step is.

    `networks` are what is trained or averaged, `optimisers` what is needed to go on with the training.
    """

    name: str
    default_steps: int
    default_batch: int

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.steps = settings.steps or self.default_steps
        self.batch = settings.batch or self.default_batch
        self.device = settings.device
        self.networks: dict[str, nn.Module] = {}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.step = 0
        self._clock = (time.process_time(), time.perf_counter())  # what is prepared before the first step counts
        self.cpu_seconds = 0.0
        self.wall_seconds = 0.0

    # -- what a stage defines ----------------------------------------------------------------------------------------

    def train_step(self, progress: float, rng: torch.Generator) -> dict[str, float]:
        """Do one step; `progress` in [0, 1) is how far the run is. Returns numbers for the log."""
        raise NotImplementedError

    def evaluate(self) -> dict[str, float]:
        """Numbers on held-out images, for the log and the model card."""
        return {}

    def finish(self) -> None:
        """Whatever is computed once after the last step (averages, closed-form fits)."""

    # -- what all stages share ---------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        return self.settings.folder(self.name)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def set_learning_rate(self, factor: float) -> None:
        """Set every parameter group to its `base` rate times `factor`."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["base"] * factor

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "wall_seconds": self.wall_seconds,
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }
        with files.written_aside(self.checkpoint, "wb") as stream:
            torch.save(state, stream)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.step, self.cpu_seconds, self.wall_seconds = state["step"], state["cpu_seconds"], state["wall_seconds"]
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        _log.info("%s: resumed at step %d", self.name, self.step)

    def run(self, stop_after: int | None = None) -> dict[str, Any]:
        """Train to the end (or, for tests, until `stop_after` steps are done) and return the stage's summary."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.resume()
        last = min(self.steps, stop_after or self.steps)
        evaluate_every = max(1, self.steps // 6)
        cpu, wall = self._clock

        def tick() -> None:
            nonlocal cpu, wall
            now_cpu, now_wall = time.process_time(), time.perf_counter()
            self.cpu_seconds += now_cpu - cpu
            self.wall_seconds += now_wall - wall
            cpu, wall = now_cpu, now_wall

        while self.step < last:
            losses = self.train_step(self.step / self.steps, rng_for(self.settings.seed, self.name, self.step))
            self.step += 1
            tick()
            if self.step % self.settings.log_every == 0:
                self._log(losses)
            if self.step % evaluate_every == 0 and self.step < self.steps:
                self._log(self.evaluate())
                cpu, wall = time.process_time(), time.perf_counter()
            if self.step % self.settings.save_every == 0 and self.step < self.steps:
                self.save()
        if self.step < self.steps:
            self.save()
            return {}
        self.finish()
        tick()
        self.save()
        return self._summarise()

    def _log(self, numbers: Mapping[str, float]) -> None:
        row = {"step": self.step, "cpu_seconds": round(self.cpu_seconds, 1), **numbers}
        text = " ".join(f"{key} {value:.5g}" for key, value in row.items())
        _log.info("%s %s: %s", time.strftime("%H:%M:%S"), self.name, text)
        with (self.folder / "log.csv").open("a", newline="") as file:
            writer = csv.writer(file)
            for key, value in numbers.items():
                writer.writerow([self.step, row["cpu_seconds"], key, value])

    def _summarise(self) -> dict[str, Any]:
        measured = self.evaluate()
        self._log(measured)
        summary = {
            "stage": self.name,
            "steps": self.steps,
            "batch": self.batch,
            "seed": self.settings.seed,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cpu_seconds": round(self.cpu_seconds, 1),
            "wall_seconds": round(self.wall_seconds, 1),
            "parameters": {name: sum(p.numel() for p in net.parameters()) for name, net in self.networks.items()},
            "digests": {name: digest.of_module(net) for name, net in self.networks.items()},
            "measured": measured,
        }
        files.write_json(summary, self.folder / "done.json")
        return summary


def load_finished(settings: Settings, stage: str, network: str, into: nn.Module) -> nn.Module:
    """A network of a finished stage, frozen and in evaluation mode."""
    path = settings.folder(stage) / "checkpoint.pt"
    state = torch.load(path, map_location=settings.device, weights_only=True)
    into.load_state_dict(state["networks"][network])
    return into.to(settings.device).eval().requires_grad_(False)
