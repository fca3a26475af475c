"""Who wrote something, and when."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time

from guidebench.store import processes


def test_a_process_is_alive_until_it_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.alive(os.getpid()) and processes.alive(child.pid)
    child.communicate()
    assert not processes.alive(child.pid)


def test_hosts_of_one_name_are_told_apart_by_what_their_process_numbers_count_in(monkeypatch):
    own = processes.this_host()
    assert own == processes.this_host() and "/" not in own
    namespace = os.stat
    monkeypatch.setattr(os, "stat", lambda path: namespace("/" if "ns/pid" in str(path) else path))
    assert processes.this_host() != own
    monkeypatch.setattr(platform, "node", lambda: "an odd/name" * 20)
    assert len(processes.this_host()) < 60 and "/" not in processes.this_host()


def test_the_time_is_that_of_the_folder(tmp_path):
    assert abs(processes.clock_of(tmp_path) - time.time()) < 60 and not any(tmp_path.iterdir())
