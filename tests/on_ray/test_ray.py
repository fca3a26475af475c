"""Two nodes of a real Ray, one of which is killed in mid-trial; and what is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import guidebench
from guidebench.engine.events import Finished, Started
from guidebench.engine.watching import Watcher
from guidebench.store.folders import scan

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
            wait_for(lambda: not Path(f"/proc/{method}").exists())  # processes of a dead node live a moment longer
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
