"""Peak memory is that of the block alone, or there is a reason why it is not known."""

import mmap
from pathlib import Path

import pytest
import torch

from guidebench.engine import peak_memory
from guidebench.engine.peak_memory import resident_peak

CPU = torch.device("cpu")
MEBIBYTE = 2**20


def touch(mebibytes: int) -> None:
    """Makes so much memory resident for a moment, in a mapping of its own: the allocator may have some to spare."""
    with mmap.mmap(-1, mebibytes * MEBIBYTE) as memory:
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1


def peak_of(mebibytes: int) -> int:
    with peak_memory.peak_memory(CPU) as peak:
        touch(mebibytes)
    if peak.bytes is None:
        assert peak.note and peak.note not in (peak_memory.CPU, peak_memory.CUDA)
        pytest.skip(peak.note)
    assert peak.note == peak_memory.CPU
    return peak.bytes


def test_the_peak_is_the_blocks_and_not_the_processs_so_far():
    """200 MiB more than 1 MiB; half of that allows for what the process itself gains or gives back meanwhile."""
    small, large, again = peak_of(1), peak_of(200), peak_of(1)
    assert large - small > 100 * MEBIBYTE and again < large - 100 * MEBIBYTE


def test_where_the_peak_cannot_be_reset_there_is_no_number_but_the_systems_reason(monkeypatch, tmp_path, says):
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "absent" / "clear_refs")
    with peak_memory.peak_memory(CPU) as peak:
        pass
    assert peak.bytes is None and "not known" in peak.note and "No such file" in peak.note


def test_where_the_peak_cannot_be_read_there_is_no_number_but_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "clear_refs")
    for status in (tmp_path / "absent", tmp_path / "other"):
        (tmp_path / "other").write_text("Name:\tpython\nVmRSS:\t 12 kB\n")
        monkeypatch.setattr(peak_memory, "_STATUS", status)
        with peak_memory.peak_memory(CPU) as peak:
            pass
        assert peak.bytes is None and "not known" in peak.note


def test_the_system_counts_in_kibibytes(monkeypatch, tmp_path):
    status = Path(tmp_path / "status")
    status.write_text("Name:\tpython\nVmPeak:\t   99 kB\nVmHWM:\t   12 kB\n")
    monkeypatch.setattr(peak_memory, "_STATUS", status)
    assert resident_peak() == 12 * 1024


def test_what_the_block_raises_comes_through():
    with pytest.raises(ValueError, match="inside"), peak_memory.peak_memory(CPU):
        raise ValueError("inside")
