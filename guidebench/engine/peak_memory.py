"""Peak memory of a block of code: what torch allocated on the GPU, or the whole process' resident size on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

CUDA = "most bytes that torch had allocated on the GPU at once during unlearning, the testbed's networks included"
CPU = "largest resident size of the whole process during unlearning, libraries and the testbed's networks included"
_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): writing 5 to clear_refs sets the peak resident size to the current one


@dataclass
class Peak:
    """Filled when the block ends."""

    bytes: int | None = None  # None: it cannot be known here
    note: str = ""  # what the number is, or why there is none


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measures the block's peak memory on a device; never raises where it cannot be measured."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = _shortages(device)
        yield peak
        peak.bytes, peak.note = torch.cuda.max_memory_allocated(device), CUDA
        if short := _shortages(device) - before:
            peak.note += f"; it ran out {short} times, and the method went on with less at once"
        return
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError as error:
        peak.note = f"not known: the system does not let a process reset its peak memory ({error.strerror or error})"
        yield peak
        return
    yield peak
    found = resident_peak()
    peak.bytes, peak.note = found, CPU if found is not None else "not known: the system does not report peak memory"


def _shortages(device: torch.device) -> int:
    """How often the device's memory did not hold what was asked for since the process began."""
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0))


def resident_peak() -> int | None:
    """The process' peak resident size in bytes since it was last reset; None where /proc does not tell."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    kibibytes = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return next((1024 * int(text) for text in kibibytes), None)
