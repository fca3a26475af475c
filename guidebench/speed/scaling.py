"""`guidebench bench --work workers`: the same run with one worker and with several, in turn, all included."""

from __future__ import annotations

import dataclasses
import logging
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from guidebench import environment
from guidebench.engine import run as engine
from guidebench.errors import BadInput
from guidebench.text import markdown_table

_PROTOCOL, _METHOD = "celebahq-multi", "guide"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What a run takes with one worker and with several."""

    testbed: str
    device: str  # in words
    cores: int  # that this process may use
    torch: str  # its version
    workers: int
    trials: int
    samples: int  # of FID, per trial
    seconds: tuple[tuple[float, float], ...]  # with one worker, with several: of runs beside each other in time

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster several are, pair by pair."""
        return tuple(one / several for one, several in self.seconds)

    def to_data(self) -> dict[str, Any]:
        """For JSON, with the median ratio."""
        return {**dataclasses.asdict(self), "ratios": self.ratios, "ratio": statistics.median(self.ratios)}

    def table(self) -> str:
        """Markdown, and what it was measured on."""
        one, several = (statistics.median(column) for column in zip(*self.seconds, strict=True))
        row = [
            f"a run of {self.trials} trials, {self.samples} samples each",
            f"{one:.1f} s",
            f"{several:.1f} s",
            f"{statistics.median(self.ratios):.2f}",
            f"{min(self.ratios):.2f}, {max(self.ratios):.2f}",
        ]
        heads = ("work", "1 worker", f"{self.workers} workers", "ratio", "least, most")
        return (
            f"{markdown_table(heads, [row])}\n\n{_METHOD} under {_PROTOCOL} on {self.testbed}, {self.device}, "
            f"{self.cores} cores, torch {self.torch}. Medians of {len(self.seconds)} runs each way, in turn; the "
            "start of workers, the original generator's samples and writing records are part of a run."
        )


def measure(
    testbed: str, device: str, *, workers: int, trials: int, samples: int | None, repeats: int, method: str = _METHOD
) -> Scaling:
    """Times whole runs. samples: None: the protocol's. Raises BadInput if the machine is too small for a comparison."""
    cores, devices = environment.cores(), len(environment.cuda_devices())
    if workers < 2 or workers > (cores if device == "cpu" else devices):
        raise BadInput(
            f"workers = {workers} cannot be compared with 1 here: this process may use {cores} cores and {devices} "
            "CUDA devices; give 2 or more, and at most one for each core or device"
        )
    pairs = []
    sizes: dict[str, Any] = {"identities": trials, "samples": samples, "floors": "none", "device": device, "salt": 0}
    for number in range(repeats):
        pair = []
        for count in (1, workers):
            _log.info("run %d of %d with workers=%d", number + 1, repeats, count)
            with tempfile.TemporaryDirectory() as folder:
                done = engine.run(_PROTOCOL, method, testbed, workers=count, out=Path(folder, "out"), **sizes)
            if done.failed:
                raise BadInput(f"trials fail, so that nothing can be timed: {done.failed[0].reason}")
            pair.append(done.seconds)
        pairs.append((pair[0], pair[1]))
    return Scaling(
        testbed=testbed,
        device=environment.device_in_words(device),
        cores=cores,
        torch=torch.__version__,
        workers=workers,
        trials=done.measured,
        samples=done.protocols[0].samples,
        seconds=tuple(pairs),
    )
