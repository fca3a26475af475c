"""Two ways of the same work, timed in turn: a ratio within one run is what noise on the machine leaves standing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from guidebench.allocator import pages_kept
from guidebench.engine.peak_memory import peak_memory

_PEAK_SIZE = 2048  # rows of the matrices whose product is taken for the device's best
_COPIED = 1 << 26  # numbers whose copy is taken for the device's best
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the two ways."""

    seconds: float  # on the wall, of one unit of work, median
    gflop: float  # counted
    gigabytes: float  # that its operations read and write, counted
    peak_mib: float | None  # see `guidebench.engine.peak_memory`; None: not known here


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Plain against ours."""

    work: str
    plain: Way
    ours: Way
    ratios: tuple[float, ...]  # plain / ours, of every pair of neighbours in time

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most that the device does, measured."""

    gflops: float  # of a float32 matrix product, in GFLOP/s
    gigabytes: float  # of a copy, read and written, in GB/s


Work = Callable[[], Any]


def compare(work: str, plain: Work, ours: Work, *, repeats: int, units: int, device: torch.device) -> Comparison:
    """Times both ways in turn, ``repeats`` times, each after a run that does not count. units: of work in a call.

    Ours keeps its memory, as in `Guide.unlearn` and in a worker (`guidebench.allocator`); the plain way has what the C
    library usually does.
    """
    counted = [_counted(way, device) for way in (plain, ours)]
    times = []
    for _ in range(repeats):
        of_plain = _seconds_warm(plain, device)
        with pages_kept():
            times.append((of_plain / units, _seconds_warm(ours, device) / units))
    ways = [
        Way(
            seconds=statistics.median(column),
            gflop=flops / units / 1e9,
            gigabytes=moved / units / 1e9,
            peak_mib=None if peak is None else peak / 2**20,
        )
        for column, (flops, moved, peak) in zip(zip(*times, strict=True), counted, strict=True)
    ]
    return Comparison(work=work, plain=ways[0], ours=ways[1], ratios=tuple(a / b for a, b in times))


def device_peak(device: torch.device) -> Peak:
    """Best of several products of large float32 matrices, and of several copies."""
    a, b = (torch.randn(_PEAK_SIZE, _PEAK_SIZE, device=device) for _ in range(2))
    source, copy = torch.empty(_COPIED, device=device), torch.empty(_COPIED, device=device)
    product = min(_seconds(lambda: torch.mm(a, b), device) for _ in range(_TRIES))
    copied = min(_seconds(lambda: copy.copy_(source), device) for _ in range(_TRIES))
    return Peak(gflops=2 * _PEAK_SIZE**3 / product / 1e9, gigabytes=2 * 4 * _COPIED / copied / 1e9)


def profile(work: Work, device: torch.device, rows: int = 15) -> str:
    """Where the time of a piece of work goes: torch's operations, those first that take most themselves."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as torch_profile

    work()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with torch_profile(activities=activities) as found:
        work()
    by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return str(found.key_averages().table(sort_by=by, row_limit=rows, max_name_column_width=40))


def _seconds_warm(work: Work, device: torch.device) -> float:
    work()
    return _seconds(work, device)


def _seconds(work: Work, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _counted(work: Work, device: torch.device) -> tuple[int, int, int | None]:
    """Floating-point operations, bytes read and written, and peak memory, of a run that is not timed."""
    with peak_memory(device) as peak, FlopCounterMode(display=False) as counter, _Traffic() as traffic:
        work()
    return int(counter.get_total_flops()), traffic.bytes, peak.bytes


class _Traffic(TorchDispatchMode):
    """Adds up what every operation reads and writes, views aside, as if there were no cache."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(
                leaf.numel() * leaf.element_size()
                for leaf in tree_leaves((args, kwargs, found))
                if isinstance(leaf, Tensor)
            )
        return found
