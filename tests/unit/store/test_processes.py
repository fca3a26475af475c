"""Who wrote something, and when."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guidebench.store import processes


def test_a_process_is_alive_until_it_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.alive(os.getpid()) and processes.alive(child.pid)
    child.communicate()
    assert not processes.alive(child.pid)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_process_that_nobody_has_asked_for_since_it_ended_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    os.kill(child.pid, 0)
    assert not processes.alive(child.pid)
    child.wait()


def test_hosts_of_one_name_are_told_apart_by_what_their_process_numbers_count_in(monkeypatch):
    own = processes.this_host()
    assert own == processes.this_host() and "/" not in own
    with monkeypatch.context() as elsewhere:
        namespace = os.stat
        elsewhere.setattr(os, "stat", lambda path: namespace("/" if "ns/pid" in str(path) else path))
        assert processes.this_host() != own, "a container"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(Path, "read_text", lambda path, **_: "01234567-of-another-start\n")
        assert processes.this_host() != own, "a copy of this machine"

        def hidden(*_, **__):
            raise OSError

        elsewhere.setattr(Path, "read_text", hidden)
        assert processes.this_host().endswith(str(os.stat("/proc/self/ns/pid").st_ino)), "without /proc/sys"
    monkeypatch.setattr(platform, "node", lambda: "an odd/name" * 20)
    assert len(processes.this_host()) < 60 and "/" not in processes.this_host()


def test_the_time_is_that_of_the_folder(tmp_path):
    assert abs(processes.clock_of(tmp_path) - time.time()) < 60 and not any(tmp_path.iterdir())
