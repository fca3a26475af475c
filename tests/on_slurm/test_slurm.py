"""Jobs of a real SLURM: measured, preempted, lost, cancelled; and machines that are not as they should be."""

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
from guidebench.errors import BadInput
from guidebench.executors import jobs
from guidebench.executors import slurm as adapter
from guidebench.store.folders import scan

pytestmark = pytest.mark.timeout(540)
METHOD = """
import time
from dataclasses import dataclass
from pathlib import Path
from guidebench.unlearner import Unlearner

FOLDER = Path({folder!r})

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"

    def unlearn(self, generator, request, context):
        person = request.forget[0].identity
        with open(FOLDER / person, "a") as stream:
            stream.write("begun ")
        while person in {stuck!r} and not (FOLDER / "go").exists():
            time.sleep(0.1)
        return generator
"""
ASKED = {"executor": "slurm", "device": "cpu", "floors": "none", "samples": 20}


def write_method(folder: Path, *stuck: str) -> str:
    """A method that notes whom it was given, and gets stuck with some of them until a file is there."""
    (folder / "mine.py").write_text(METHOD.format(folder=str(folder), stuck=stuck))
    return f"{folder / 'mine.py'}:Mine"


def queue() -> dict[str, str]:
    """This user's jobs that have not ended."""
    return {
        name: state
        for name, state in (adapter._queue() or {}).items()
        if state in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING")
    }


def until(holds, seconds: float = 120.0):
    since = time.monotonic()
    while not (found := holds()):
        assert time.monotonic() - since < seconds, "in vain"
        time.sleep(0.2)
    return found


class Nuisance(Watcher):
    """Preempts the job of one person and kills that of another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, todo, workers):
        self.todo, self.workers = todo, workers

    def hear(self, event):
        if isinstance(event, Finished) and event.case.spec.group == "celebahq-0002":
            (self._folder / "go").touch()
        if not isinstance(event, Started):
            return
        person = event.case.spec.group
        until((self._folder / person).exists)
        number = next(place for place, case in enumerate(self.todo) if case == event.case)
        if person == "celebahq-0001":
            job = next(name for name in queue() if name.endswith(f"_{number}"))
            subprocess.run(["scancel", "--signal=USR2", job], check=True)
        if person == "celebahq-0002":
            (said,) = self._folder.glob(f"out/jobs/*/{number}.*.jsonl")
            os.kill(int(said.stem.rpartition("-")[2]), signal.SIGKILL)

    def close(self):
        pass


def test_a_preempted_trial_is_done_again_and_a_lost_one_by_the_next_run(slurm, tmp_path, monkeypatch):
    """Three trials, two at a time: one as it should be, one preempted by SLURM's signal, one killed."""
    monkeypatch.setattr(adapter, "_ASKED", 2.0)
    monkeypatch.setattr(jobs, "_VISIBLE", 5.0)
    method = write_method(tmp_path, "celebahq-0001", "celebahq-0002")
    asked = {**ASKED, "identities": 3, "out": tmp_path / "out", "slurm": {"time": 30, "comment": "ours"}}

    first = guidebench.run("smoke", method, "linear", workers=2, watch=Nuisance(tmp_path), **asked)
    (lost,) = first.failed
    assert (first.measured, lost.case.spec.group, lost.folder) == (2, "celebahq-0002", None)
    assert "left the queue" in lost.reason and "FAILED" in lost.reason and "the next run tries it again" in lost.reason
    begun = {number: (tmp_path / f"celebahq-000{number}").read_text().count("begun") for number in range(3)}
    assert begun == {0: 1, 1: 2, 2: 1}
    assert list((tmp_path / "out/jobs").glob("*/slurm/*")), "the output of jobs is kept where some were lost"

    second = guidebench.run("smoke", method, "linear", **{**asked, "executor": "local", "slurm": ()})
    assert (second.measured, second.skipped, second.failed) == (1, 2, ())
    assert len(scan(tmp_path / "out")[0]) == 3
    until(lambda: not queue())


def test_ctrl_c_cancels_the_jobs(slurm, tmp_path):
    method = write_method(tmp_path, "celebahq-0000", "celebahq-0001")
    words = ["run", "--protocol", "smoke", "--testbed", "linear", "--method", method, "--identities", "2"]
    words += ["--floors", "none", "--samples", "20", "--executor", "slurm", "--device", "cpu", "--workers", "1"]
    words += ["--slurm", "time=30", "--out", "out"]
    with subprocess.Popen(
        [sys.executable, "-m", "guidebench", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below nohup
    ) as run:
        until((tmp_path / "celebahq-0000").exists)
        assert sorted(queue().values()) == ["PENDING", "RUNNING"], "one at a time"
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(60) == 130 and run.stderr is not None and "interrupted" in run.stderr.read()
    until(lambda: not queue(), 60)
    assert not (tmp_path / "out/jobs").exists()


def test_a_node_without_the_device_ends_the_run_with_one_line(slurm, tmp_path, monkeypatch):
    """The job is given one of the node's GPUs, which are made up."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BadInput, match="sees no CUDA device"):
        guidebench.run(
            "smoke",
            "nothing",
            "linear",
            **{**ASKED, "device": "cuda"},
            identities=1,
            out=tmp_path / "out",
            slurm=("time=30",),
        )


def test_what_sbatch_refuses_is_one_line(slurm, tmp_path, says):
    with pytest.raises(BadInput, match=says("--slurm", "partition")) as refused:
        guidebench.run(
            "smoke", "nothing", "linear", **ASKED, identities=1, out=tmp_path, slurm={"time": 3, "partition": "nowhere"}
        )
    assert len(str(refused.value)) < 400
