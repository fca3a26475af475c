"""What Ray is asked for and what becomes of its tasks, with a stand-in; tests/on_ray has a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import protocol as protocols
from guidebench.engine.plan import Description
from guidebench.engine.worker import Setup
from guidebench.errors import BadInput
from guidebench.executors.jobs import Job, run_cases
from guidebench.executors.ray import Ray

SMOKE = protocols.load("smoke").resolve("linear")
DESCRIBED = Description("linear", "", {}, {}, {}, 16, "strict", 0)


class RayError(Exception):
    pass


class StandIn:
    """A cluster whose tasks end when a test says so."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self):
        self.resources = {"CPU": 4.0}
        self.connected, self.refuses = False, None
        self.tasks, self.ready, self.cancelled = [], {}, []

    def is_initialized(self):
        return self.connected

    def init(self, **options):
        if self.refuses:
            raise self.refuses
        self.connected, self.options = True, options

    def shutdown(self):
        self.connected = False

    def cluster_resources(self):
        return self.resources

    def remote(self, function):
        def start(job):
            self.tasks.append(job.number)
            return f"task {job.number}"

        def options(**asked):
            self.asked = asked
            return SimpleNamespace(remote=start)

        assert function is run_cases
        return SimpleNamespace(options=options)

    def wait(self, references, num_returns, timeout):
        assert (num_returns, timeout) == (len(references), 0)
        return [one for one in references if one in self.ready], []

    def get(self, reference):
        if self.ready[reference]:
            raise self.ready[reference]

    def cancel(self, reference, force):
        self.cancelled.append((reference, force))


@pytest.fixture
def cluster(monkeypatch):
    found = StandIn()
    monkeypatch.setitem(sys.modules, "ray", found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return found


@pytest.fixture
def started(cluster, tmp_path, make_case):
    """Three jobs."""

    def start(device="cpu", workers=None):
        setup = Setup("linear", device, tmp_path, (SMOKE,))
        found = Ray(setup, workers)
        case = (make_case(0),)
        found.submit([Job(number, setup, case, DESCRIBED, tmp_path, Path.cwd(), {}) for number in range(3)], tmp_path)
        return found

    return start


def test_tasks_begin_as_others_end_and_lost_ones_say_why(cluster, started):
    found = started(workers=2)
    assert cluster.tasks == [0, 1] and found.ended() == {}
    cluster.ready["task 1"] = RayError("The task died\nbecause its node did")
    ((number, reason),) = found.ended().items()
    assert number == 1 and "RayError: because its node did" in reason and cluster.tasks == [0, 1, 2]
    cluster.ready |= {"task 0": None, "task 2": None}
    assert found.ended() == {0: None, 2: None} and found.ended() == {}


def test_a_task_has_one_cpu_or_one_gpu_and_is_begun_again_three_times(cluster, started, caplog):
    assert started().workers == 4
    assert cluster.asked == {"max_retries": 3, "name": "guidebench", "num_cpus": 1, "num_gpus": 0}
    assert "no GPU" not in caplog.text
    assert started(device="cuda").workers == 1 and cluster.asked["num_gpus"] == 1
    assert "no GPU" in caplog.text, "of a cluster that may yet grow"


def test_a_run_leaves_a_connection_of_the_callers_own(cluster, started):
    found = started(workers=1)
    found.close()
    assert not cluster.connected and cluster.cancelled == [("task 0", True)]
    cluster.connected = True
    started().close()
    assert cluster.connected


def test_without_ray_or_a_cluster_one_line_says_so(cluster, started, monkeypatch, says):
    cluster.refuses = ConnectionError("nobody\nthere")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(BadInput, match=says("10.0.0.1:6379", "nobody there", "ray start")):
        started()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=says("pip install", "guidebench[ray]")):
        started()
