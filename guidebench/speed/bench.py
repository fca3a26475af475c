"""`guidebench bench`: both kinds of work of a workload, compared, as a table and as data."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from guidebench import environment, precision
from guidebench.speed.measure import Comparison, Peak, compare, device_peak, profile
from guidebench.speed.workloads import WORKLOADS, Workload
from guidebench.text import markdown_table

WORKS = {"step": "GUIDE step", "sample": "FID sample"}
HEADS = ("work", "plain loop", "guidebench", "ratio", "least, most", "share of peak", "memory")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a bench found."""

    testbed: str
    device: str  # in words
    threads: int
    torch: str  # its version
    peak: Peak
    comparisons: tuple[Comparison, ...]

    def to_data(self) -> dict[str, Any]:
        """For JSON; every comparison with its ratio."""
        data = dataclasses.asdict(self)
        for comparison, found in zip(self.comparisons, data["comparisons"], strict=True):
            found["ratio"] = comparison.ratio
        return data

    def table(self) -> str:
        """Markdown, and what it was measured on."""
        rows = [self._row(comparison) for comparison in self.comparisons]
        return (
            f"{markdown_table(HEADS, rows)}\n\n{self.testbed} on {self.device}, {self.threads} threads, "
            f"torch {self.torch}. Seconds are medians, ratios are of neighbouring runs. Measured peak of the device: "
            f"{self.peak.gflops:,.0f} GFLOP/s, {self.peak.gigabytes:,.0f} GB/s. Memory: of the plain loop, and ours."
        )

    def _row(self, found: Comparison) -> list[str]:
        ours, plain = found.ours, found.plain
        share = ours.gflop / ours.seconds / self.peak.gflops
        memory = [f"{way.peak_mib:,.0f}" for way in (plain, ours) if way.peak_mib is not None]
        return [
            WORKS[found.work],
            _in_words(plain.seconds),
            _in_words(ours.seconds),
            f"{found.ratio:.2f}",
            f"{min(found.ratios):.2f}, {max(found.ratios):.2f}",
            f"{ours.gflop:,.1f} GFLOP, {share:.0%}",
            f"{', '.join(memory)} MiB" if memory else "not known here",
        ]


def measure(testbed: str, device: str, works: Sequence[str], *, repeats: int, threads: int) -> Measured:
    """Times the works of a workload on a device."""
    with _settings(threads):
        place = torch.device(device)
        workload = WORKLOADS[testbed](place)
        found = tuple(_compared(workload, work, place, repeats) for work in works)
        peak = device_peak(place)
    return Measured(
        testbed=testbed,
        device=environment.device_in_words(device),
        threads=threads,
        torch=torch.__version__,
        peak=peak,
        comparisons=found,
    )


def profiled(testbed: str, device: str, work: str, *, threads: int) -> str:
    """Where our time goes, see `guidebench.speed.measure.profile`."""
    place = torch.device(device)
    with _settings(threads), _of(WORKLOADS[testbed](place), work, place) as (_, ours):
        return profile(ours, place)


@contextlib.contextmanager
def _settings(threads: int) -> Iterator[None]:
    """Threads and precision as in a run; the caller's are put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with precision.restored():
            precision.use("strict")
            yield
    finally:
        torch.set_num_threads(before)


def _compared(workload: Workload, work: str, device: torch.device, repeats: int) -> Comparison:
    _log.info("timing %s, %d times each way", WORKS[work], repeats)
    units = workload.batch if work == "sample" else 1
    with _of(workload, work, device) as (plain, ours):
        return compare(work, plain, ours, repeats=repeats, units=units, device=device)


def _of(workload: Workload, work: str, device: torch.device) -> Any:
    return {"step": workload.steps, "sample": workload.samples}[work](device)


def _in_words(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
