"""How worker processes start: settings of threads and memory, and what stays as it is in the caller."""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys

import pytest

from guidebench.engine.spawning import spawn

SCRIPT = "import json, os; open('environment.json', 'w').write(json.dumps(dict(os.environ)))"


@pytest.fixture
def started_with(tmp_path, monkeypatch):
    """The environment of a process that is started under variables of the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)

    def start(variables=None, **own):
        for name in ("OMP_NUM_THREADS", "GLIBC_TUNABLES", "MALLOC_TOP_PAD_"):
            monkeypatch.delenv(name, raising=False)
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        spawn(runpy.run_path, "script.py", variables=variables).join(60)
        assert dict(os.environ) == before
        return json.loads((tmp_path / "environment.json").read_text())

    return start


def test_a_process_has_one_thread_and_keeps_its_memory_in_huge_pages(started_with):
    found = started_with()
    assert (found["OMP_NUM_THREADS"], found["GLIBC_TUNABLES"]) == ("1", "glibc.malloc.hugetlb=1")
    assert int(found["MALLOC_TOP_PAD_"]) > 0


def test_a_process_may_have_variables_of_its_own(started_with):
    found = started_with({"CUDA_VISIBLE_DEVICES": "1"}, CUDA_VISIBLE_DEVICES="0,1")
    assert found["CUDA_VISIBLE_DEVICES"] == "1"


def test_settings_of_the_users_own_stay(started_with):
    found = started_with(OMP_NUM_THREADS="3", GLIBC_TUNABLES="glibc.malloc.perturb=0", MALLOC_TOP_PAD_="0")
    assert (found["OMP_NUM_THREADS"], found["MALLOC_TOP_PAD_"]) == ("3", "0")
    assert found["GLIBC_TUNABLES"] == "glibc.malloc.perturb=0:glibc.malloc.hugetlb=1"


def test_the_callers_main_module_and_ctrl_c_are_as_they_were(started_with):
    main, handler = dict(vars(sys.modules["__main__"])), signal.getsignal(signal.SIGINT)
    started_with()
    assert dict(vars(sys.modules["__main__"])) == main and signal.getsignal(signal.SIGINT) is handler
