"""Memory is kept within a block and given back afterwards, where the C library can do that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from guidebench import allocator
from guidebench.allocator import pages_kept, worker_settings


def test_settings_of_the_users_own_win():
    own = {"MALLOC_TOP_PAD_": "5", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=0:glibc.malloc.check=1"}
    assert set(worker_settings(own)) == {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}
    assert worker_settings({})["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"


@pytest.fixture
def calls(monkeypatch):
    """What the C library is told."""
    told = []
    functions = {
        "mallopt": lambda parameter, value: told.append((parameter, value)),
        "malloc_trim": lambda padding: told.append("trim"),
    }
    monkeypatch.setattr(allocator, "_function", functions.get)
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
        monkeypatch.delenv(name, raising=False)
    return told


def test_the_usual_values_are_put_back_when_the_outermost_block_ends(calls):
    with pytest.raises(RuntimeError), pages_kept():
        kept = list(calls)
        with pages_kept():
            pass
        assert calls == kept and {(-4, 0), (-1, -1)} <= set(kept)
        raise RuntimeError
    put_back = calls[len(kept) :]
    assert put_back[-1] == "trim" and {parameter for parameter, _ in put_back[:-1]} >= {
        parameter for parameter, _ in kept
    }
    calls.clear()
    with pages_kept():
        assert calls == kept


def test_a_process_with_settings_of_its_own_goes_on_with_them(calls, monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    with pages_kept():
        pass
    assert calls == []


def test_nothing_happens_where_the_c_library_cannot_be_told(calls, monkeypatch):
    monkeypatch.setattr(allocator, "_function", lambda name: None)
    with pages_kept():
        pass
    assert calls == []


def test_a_function_that_is_not_there_is_none():
    assert allocator._function("guidebench_has_no_such_function") is None


FAULTS = """
import resource
from guidebench.allocator import pages_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with pages_kept():
    faults()
    kept = faults()
print(kept, faults())
"""


@pytest.mark.skipif(allocator._function("mallopt") is None, reason="the C library has no mallopt")
def test_blocks_of_64_mib_fault_only_once_while_pages_are_kept():
    """20 blocks of 16,384 pages of 4 KiB; calloc clears pages that are kept, and touches none that are new."""
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, _ = map(int, done.stdout.split())
    assert kept < 1000
