"""Directories of many records, as tests/large_directory.py makes and measures them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guidebench.store import index

SCRIPT = Path(__file__).parents[1] / "large_directory.py"
LINE = re.compile(r"(.+?) +([\d.]+) s CPU +([\d.]+) s +(\d+) MiB  exit (\d+)")


def large(do, folder, *options, seconds):
    """The script's lines; fails with what it says if it fails."""
    command = [sys.executable, str(SCRIPT), do, str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def measured(folder, seconds):
    """Peak memory in MiB by command; every command ends well."""
    found = [LINE.fullmatch(line).groups() for line in large("measure", folder, seconds=seconds)]
    assert [exit_code for *_, exit_code in found] == ["0"] * 3
    return {name: int(peak) for name, _, _, peak, _ in found}


def test_every_command_reads_what_the_script_makes_and_keeps_an_index(tmp_path):
    large("make", tmp_path / "runs", "--records", "1000", seconds=60)
    time.sleep(index.SETTLED + 0.1)
    assert len(measured(tmp_path / "runs", 100)) == 3
    assert len(list((tmp_path / "runs" / index.INDEX).iterdir())) == 2, "of one method, and of scores over trials"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_100_000_records_take_less_than_one_gib_at_first_and_later(tmp_path):
    large("make", tmp_path / "runs", "--records", "100000", seconds=1200)
    for _ in range(2):
        peaks = measured(tmp_path / "runs", 2400)
        assert max(peaks.values()) < 1024, peaks
