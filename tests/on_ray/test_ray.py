"""Two nodes of a real Ray, one of which is killed in mid-trial; and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import guidebench
from guidebench.engine.events import Finished, Started
from guidebench.engine.watching import Watcher
from guidebench.store.folders import scan
from guidebench.store.processes import alive

pytestmark = pytest.mark.timeout(540)
METHOD = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from guidebench.unlearner import Unlearner

FOLDER = Path({folder!r})

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"

    def unlearn(self, generator, request, context):
        begun = FOLDER / request.forget[0].identity
        with open(begun, "a") as stream:
            stream.write(f"{{os.environ.get('RAY_RAYLET_PID', '')}}:{{os.getpid()}} ")
        while not (FOLDER / "go").exists():
            time.sleep(0.1)
        return generator
"""


class Kills(Watcher):
    """Kills the node that runs the first trial, as soon as both trials run."""

    def __init__(self, folder: Path, cluster) -> None:
        self._folder, self._cluster = folder, cluster
        self.started, self.reasons = 0, []

    def begin(self, todo, workers):
        self.workers = workers

    def hear(self, event):
        if isinstance(event, Finished):
            self.reasons.append(event.reason)
        self.started += isinstance(event, Started)
        if isinstance(event, Started) and self.started == 2:
            (first, method), (second, _) = (where_it_began(self._folder, number) for number in range(2))
            assert first != second, "a trial per node"
            lost = next(node for node in self._cluster.two if raylet_of(node) == first)
            self._cluster.remove_node(lost, allow_graceful=False)
            wait_for(lambda: not alive(int(method)))  # processes of a dead node live a moment longer
            (self._folder / "go").touch()

    def close(self):
        pass


def wait_for(condition) -> None:
    since = time.monotonic()
    while not condition():
        assert time.monotonic() - since < 120, "in vain"
        time.sleep(0.2)


def where_it_began(folder, number) -> tuple[str, str]:
    """Raylet and process of the method of a trial that has been started, as soon as its method is."""
    wait_for(lambda: begun(folder, number))
    raylet, process = begun(folder, number)[0].split(":")
    return raylet, process


def begun(folder, number) -> list[str]:
    """An entry for each time that the method of a trial was started."""
    file = folder / f"celebahq-000{number}"
    return file.read_text().split() if file.exists() else []


def raylet_of(node) -> str:
    from ray._private import ray_constants

    return str(node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid)


def test_a_trial_whose_node_is_killed_is_done_by_another(cluster, tmp_path):
    (tmp_path / "mine.py").write_text(METHOD.format(folder=str(tmp_path)))
    kills = Kills(tmp_path, cluster)
    asked = {"executor": "ray", "device": "cpu", "floors": "none", "samples": 20, "identities": 2}
    asked |= {"out": tmp_path / "out"}
    done = guidebench.run("smoke", f"{tmp_path / 'mine.py'}:Mine", "linear", watch=kills, **asked)
    assert (done.measured, done.failed, kills.workers, kills.started) == (2, (), 2, 2)
    assert [len(begun(tmp_path, number)) for number in range(2)] == [2, 1]
    assert len(scan(tmp_path / "out")[0]) == 2 and not (tmp_path / "out/jobs").exists()
    import ray

    assert not ray.is_initialized(), "the connection was the run's own"
    assert os.environ["RAY_ADDRESS"] == cluster.address


def test_ctrl_c_cancels_the_tasks(cluster, tmp_path):
    (tmp_path / "mine.py").write_text(METHOD.format(folder=str(tmp_path)))
    words = ["run", "--protocol", "smoke", "--testbed", "linear", "--method", f"{tmp_path / 'mine.py'}:Mine"]
    words += ["--identities", "3", "--floors", "none", "--samples", "20", "--executor", "ray", "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-m", "guidebench", *words, "--out", "out"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below nohup
    ) as run:
        methods = [int(where_it_began(tmp_path, number)[1]) for number in range(2)]
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(60) == 130 and run.stderr is not None and "interrupted" in run.stderr.read()
    wait_for(lambda: not any(map(alive, methods)))
    (tmp_path / "go").touch()
    time.sleep(2)
    assert not begun(tmp_path, 2), "the third trial does not begin"
    assert not (tmp_path / "out/jobs").exists()
