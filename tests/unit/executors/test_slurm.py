"""What SLURM is asked for and what becomes of its jobs, with stand-ins; tests/on_slurm has a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import protocol as protocols
from guidebench.engine.plan import Description
from guidebench.engine.worker import Setup
from guidebench.errors import BadInput
from guidebench.executors import slurm
from guidebench.executors.jobs import Job
from guidebench.executors.slurm import Slurm, check

SMOKE = protocols.load("smoke").resolve("linear")
DESCRIBED = Description("linear", "", {}, {}, {}, 16, "strict", 0)


class Submitit:
    """Notes what an executor is asked for; jobs are called as SLURM would."""

    known = ("job_name", "array_parallelism", "additional_parameters", "time", "gpus_per_node", "partition", "setup")

    def __init__(self, refuses=None):
        self.refuses = refuses

    def SlurmExecutor(self, folder, max_num_timeout):
        folder.mkdir(exist_ok=True)
        self.folder, self.timeouts = folder, max_num_timeout
        return self

    def _valid_parameters(self):
        return set(self.known)

    def update_parameters(self, **parameters):
        self.parameters = parameters

    def map_array(self, function, jobs):
        if self.refuses:
            raise self.refuses
        self.jobs = [self._job(job.number) for job in jobs]
        return self.jobs

    def _job(self, number):
        paths = SimpleNamespace(result_pickle=self.folder / f"{number}.pkl", stderr=self.folder / f"{number}.err")
        return SimpleNamespace(job_id=f"7_{number}", paths=paths, result=lambda: None)


@pytest.fixture
def submitit(monkeypatch):
    found = Submitit()
    monkeypatch.setitem(sys.modules, "submitit", found)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: f"/usr/bin/{name}")
    return found


@pytest.fixture
def submitted(submitit, tmp_path, make_case, monkeypatch):
    """Two jobs of a run; the queue is looked at each time."""
    monkeypatch.setattr(slurm, "_ASKED", 0.0)

    def submit(cases=None, device="cuda", workers=None, **asked):
        setup = Setup("linear", device, tmp_path, (SMOKE,))
        found = Slurm(setup, workers, check({"time": "60", **asked}))
        cases = cases or [(make_case(number),) for number in range(2)]
        found.submit(
            [Job(number, setup, some, DESCRIBED, tmp_path, Path.cwd(), {}) for number, some in enumerate(cases)],
            tmp_path,
        )
        return found

    return submit


def test_a_job_has_one_gpu_and_is_put_into_the_queue_again(submitit, submitted):
    submitted(
        workers=4, partition="gpu", setup="module load a\nmodule load b", reservation="deadline", exclusive="true"
    )
    assert submitit.parameters == {
        "job_name": "guidebench",
        "time": 60,
        "gpus_per_node": 1,
        "partition": "gpu",
        "setup": ["module load a", "module load b"],
        "array_parallelism": 4,
        "additional_parameters": {"requeue": True, "reservation": "deadline", "exclusive": True},
    }


def test_on_cpus_no_gpu_is_asked_for_and_what_is_given_wins(submitit, submitted):
    submitted(device="cpu")
    assert "gpus_per_node" not in submitit.parameters and submitit.parameters["array_parallelism"] == slurm.AT_ONCE
    submitted(gpus_per_node="a100:1")
    assert submitit.parameters["gpus_per_node"] == "a100:1"


def test_only_what_keeps_something_begins_again_when_its_time_is_up(submitit, submitted, make_case):
    submitted()
    assert submitit.timeouts == 0, "a trial of one request would not get further"
    for cases in ([(make_case(0, requests=2),)], [(make_case(0), make_case(1))]):
        submitted(cases)
        assert submitit.timeouts == 3


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({}, ("time=MINUTES",)),
        ({"time": "1:00:00"}, ("time=1:00:00", "whole number")),
        ({"time": "5", "trials_per_job": "0"}, ("trials_per_job=0",)),
        ({"time": "5", "--x": "0"}, ("--x=0", "sbatch")),
    ],
)
def test_what_slurm_is_asked_for_is_checked(submitit, asked, parts, says):
    with pytest.raises(BadInput, match=says(*parts)):
        check(asked)


def test_without_submitit_or_slurm_one_line_says_so(submitit, monkeypatch, says):
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None if name == "sbatch" else name)
    with pytest.raises(BadInput, match=says("sbatch", "--shard")):
        check({"time": "5"})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(BadInput, match=says("pip install", "guidebench[slurm]")):
        check({"time": "5"})


def test_what_sbatch_refuses_is_one_line(submitit, submitted, says):
    submitit.refuses = RuntimeError("sbatch: error: invalid partition\nspecified")
    with pytest.raises(BadInput, match=says("invalid partition specified", "--slurm")):
        submitted(partition="x")


def test_more_jobs_than_an_array_holds(submitted, make_case, says):
    with pytest.raises(BadInput, match=says("1001", "trials_per_job=2")):
        submitted([(make_case(0),)] * 1001)


def test_jobs_end_with_a_result_or_by_leaving_the_queue(submitit, submitted, monkeypatch):
    """The second leaves the queue; one look at it may come too early, and one may fail."""
    found = submitted()
    queue = iter([{"7_0": "RUNNING", "7_1": "RUNNING"}, None, {"7_1": "NODE_FAIL"}, {}])
    monkeypatch.setattr(slurm, "_queue", lambda: next(queue))
    assert found.ended() == {}
    submitit.jobs[0].paths.result_pickle.touch()
    assert found.ended() == {0: None} and found.ended() == {}
    ((number, reason),) = found.ended().items()
    assert number == 1 and "7_1" in reason and "NODE_FAIL" in reason and "1.err" in reason


def test_a_job_that_raised_says_what(submitit, submitted):
    def fail():
        raise RuntimeError(
            "Job failed with trace:\n---\nTraceback\n  File x\nguidebench.errors.StorageError: no OUT\n---\nsee"
        )

    found = submitted()
    submitit.jobs[0].paths.result_pickle.touch()
    submitit.jobs[0].result = fail
    ((_, reason),) = found.ended().items()
    assert "StorageError: no OUT" in reason and "0.err" in reason


def test_a_cancelled_run_cancels_its_array(submitted, monkeypatch):
    called = []
    monkeypatch.setattr(slurm.subprocess, "run", lambda words, **options: called.append(words))
    found = submitted()
    found.cancel()
    found.cancel()
    assert called == [["scancel", "7"]]
