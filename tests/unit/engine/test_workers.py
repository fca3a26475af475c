"""Worker processes: the same numbers as in this process, deaths, messages, and what reaches the parent."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine import workers
from guidebench.engine.events import Finished, Sampled, Started, Stepped
from guidebench.engine.plan import Case, cases
from guidebench.engine.work import Block, Work
from guidebench.engine.worker import Setup
from guidebench.engine.workers import (
    InProcess,
    Pool,
    default_workers,
    start_executor,
)
from guidebench.errors import BadInput, GuidebenchError
from guidebench.store import folders

METHODS = Path(__file__).parent / "worker_methods.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)


@pytest.fixture
def setup(tmp_path):
    return Setup(testbed="linear", device="cpu", out=tmp_path / "out", protocols=(SMOKE,))


def method(name):
    return chosen.choose(f"{METHODS}:{name}", "linear")


def play(executor, *entrants, protocol=SMOKE):
    """Runs all cases; returns what happened."""
    try:
        todo = cases([protocol], entrants, executor.description())
        return list(executor.run(todo))
    finally:
        executor.close()


def finished(events) -> dict[str, Finished]:
    return {event.case.spec.group: event for event in events if isinstance(event, Finished)}


def scores(out):
    return {record.key: record.outcome.scores for record in (stored.record for stored in folders.scan(out)[0])}


def test_workers_of_one_thread_each_measure_what_this_process_measures(setup, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    here = dataclasses.replace(setup, out=tmp_path / "here")
    play(InProcess(here), method("Shifts"))
    events = play(Pool(setup, 2), method("Shifts"))
    assert scores(here.out) == scores(setup.out) and len(scores(setup.out)) == 2
    kinds = [type(event).__name__ for event in events]
    assert sorted(kinds) == ["Finished"] * 2 + ["Sampled"] + ["Started"] * 2 + ["Stepped"] * 2
    for step in (event.scalars for event in events if isinstance(event, Stepped)):
        assert (step["threads"], step["omp"]) == (1, 1) and step["pid"] != os.getpid()
    assert "OMP_NUM_THREADS" not in os.environ, "the parent's own environment is as it was"


SAMPLED = """
import dataclasses
import os
import torch
from pathlib import Path
from guidebench.testbeds.linear import LinearTestbed

FOLDER = Path({folder!r})

class Extractor(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        if not (FOLDER / "survived").exists():
            (FOLDER / "survived").touch() if {once} else None
            os._exit(9)
        (FOLDER / f"{{os.getpid()}}").open("a").write(f"{{len(images)}} ")
        return self.inner(images)

class Sampled(LinearTestbed):
    name = "sampled"
    batch = 16

    def judges(self):
        judges = super().judges()
        source = dataclasses.replace(judges.features, extractor=Extractor(judges.features.extractor))
        return dataclasses.replace(judges, features=source)
"""


def sampled(setup, tmp_path, *, once):
    """A run of two cases and 100 samples on two workers, the first of which die while they sample the original."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "sampled.py").write_text(SAMPLED.format(folder=str(tmp_path / "seen"), once=once))
    protocol = dataclasses.replace(SMOKE, samples=100)
    testbed = f"{tmp_path / 'sampled.py'}:Sampled"
    return play(
        Pool(dataclasses.replace(setup, testbed=testbed, protocols=(protocol,)), 2), method("Shifts"), protocol=protocol
    )


@pytest.mark.long
def test_the_originals_samples_are_computed_once_for_all_workers_even_if_one_of_them_dies(setup, tmp_path):
    """100 of the original and twice 100 of unlearned generators.

    Besides, each worker that has a trial looks at 32 public ones of the original, and each trial at 32 afterwards.
    """
    events = sampled(setup, tmp_path, once=True)
    assert [(event.done, event.total) for event in events if isinstance(event, Sampled)][-1] == (100, 100)
    assert [event.reason for event in finished(events).values()] == [None, None]
    found = [list(map(int, file.read_text().split())) for file in (tmp_path / "seen").iterdir() if file.name.isdigit()]
    assert sum(map(sum, found)) - 300 - 2 * 32 in (32, 2 * 32)
    protocol = dataclasses.replace(SMOKE, samples=100)
    alone = dataclasses.replace(setup, out=tmp_path / "alone", protocols=(protocol,))
    play(InProcess(alone), method("Shifts"), protocol=protocol)
    ours, others = (sorted(map(str, scores(out).values())) for out in (setup.out, alone.out))
    assert ours == others


@pytest.mark.long
def test_workers_that_die_again_and_again_while_they_sample_end_the_run(setup, tmp_path, says):
    with pytest.raises(GuidebenchError, match=says("exit code 9", "--workers")):
        sampled(setup, tmp_path, once=False)


def test_a_worker_that_dies_fails_its_trial_unrecorded_and_is_replaced(setup):
    """One worker: without another one in its place, nobody would run the third trial."""
    three = dataclasses.replace(SMOKE, identities=3)
    pool = Pool(dataclasses.replace(setup, protocols=(three,)), 1)
    found = finished(play(pool, method("Dies"), protocol=three))
    dead = found["celebahq-0001"]
    assert dead.folder is None and "signal 9" in dead.reason
    assert [found[name].reason for name in ("celebahq-0000", "celebahq-0002")] == [None, None]
    assert len(scores(setup.out)) == 2 and not (setup.out / "failures").exists()


def test_a_trial_that_is_stopped_gives_up_its_claim(setup, tmp_path):
    """Another host could not see that its process is dead, and would wait for it."""
    pool = Pool(setup, 1)
    waits = chosen.choose(f"{METHODS}:Waits", "linear", {"file": str(tmp_path / "never")}, name="waits")
    found = (case for case in cases([SMOKE], [waits], pool.description()) if case.spec.group == "celebahq-0001")
    events = pool.run(list(found))
    assert isinstance(next(event for event in events if not isinstance(event, Sampled)), Started)
    deadline = time.monotonic() + 60
    while not (tmp_path / "never.begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (setup.out / "claims").is_dir()
    (process,) = [member.process for member in pool._members]
    pool.close()
    assert process.exitcode == -signal.SIGTERM, "not killed for being slow"
    assert not (setup.out / "claims").exists() and not (setup.out / "failures").exists()


@pytest.mark.long
def test_an_idle_worker_that_dies_stops_nothing(setup, tmp_path):
    """Two trials: when one is finished and the other waits for a file, the worker that has nothing to do is killed."""
    pool, file = Pool(setup, 2), tmp_path / "go on"

    def kill_the_idle_one():
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            idle = [member for member in pool._members if member.ready and member.task is None]
            waiting = [member.task.spec.group for member in pool._members if isinstance(member.task, Case)]
            if idle and waiting == ["celebahq-0001"]:
                idle[0].process.kill()
                idle[0].process.join()
                time.sleep(0.3)  # for the parent to hear of it
                break
            time.sleep(0.05)
        file.touch()

    killer = threading.Thread(target=kill_the_idle_one)
    killer.start()
    waits = chosen.choose(f"{METHODS}:Waits", "linear", {"file": str(file)}, name="waits")
    found = finished(play(pool, waits))
    killer.join()
    assert [event.reason for event in found.values()] == [None, None] and len(found) == 2


def test_warnings_in_a_worker_reach_the_parents_logger_and_prints_stay_out_of_stdout(setup, caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger="guidebench"):
        play(Pool(setup, 1), method("Warns"))
    heard = [record for record in caplog.records if record.name == "guidebench.some.module"]
    assert {record.getMessage() for record in heard} == {"no face in celebahq-0000", "no face in celebahq-0001"}
    assert {record.levelno for record in heard} == {logging.WARNING}  # details stay where they arise
    out, err = capfd.readouterr()
    assert out == "" and err.count("printed by a method") == 2


def test_no_more_workers_go_on_than_there_are_trials(setup, monkeypatch):
    """Three workers and one trial: two are stopped as soon as that is known."""
    stopped = []

    class Member:
        ready, task, pipe = True, None, None

        def stop(self):
            stopped.append(self)

    monkeypatch.setattr(Pool, "_start", lambda self, number: Member())
    monkeypatch.setattr(Pool, "_give", lambda self, work: iter([work.next("somebody")]))
    pool = Pool(setup, 3)
    members = list(pool._members)
    todo = cases([SMOKE], [method("Shifts")], InProcess(setup).description())[:1]
    assert list(pool.run(todo)) == todo
    assert pool._members == members[:1] and stopped == members[1:]


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("raise BadInput('not like this')", BadInput, ["not like this"]),
        ("raise ValueError('a defect')", GuidebenchError, ["internal error", "ValueError: a defect"]),
        ("import os; os._exit(3)", GuidebenchError, ["--workers"]),
    ],
    ids=["bad input", "defect", "dies"],
)
def test_a_testbed_that_cannot_be_loaded_ends_the_run_in_one_line(setup, tmp_path, body, error, words, says):
    file = tmp_path / "flat.py"
    file.write_text(
        "from guidebench.errors import BadInput\n"
        "from guidebench.testbeds.linear import LinearTestbed\n"
        "class Flat(LinearTestbed):\n"
        "    name = 'flat'\n"
        f"    def players(self):\n        {body}\n"
    )
    pool = Pool(dataclasses.replace(setup, testbed=f"{file}:Flat"), 1)
    try:
        with pytest.raises(error, match=says(*words)) as refused:
            pool.description()
    finally:
        pool.close()
    assert "\n" not in str(refused.value)


SCRIPT = """
import guidebench
print("top level")
result = guidebench.run("smoke", ["nothing"], "linear", identities=2, samples=20, floors="none", workers=2, out="out")
print("measured", result.measured, __name__)
"""


@pytest.mark.long
def test_a_script_without_a_guard_runs_once(tmp_path):
    """A started process usually imports the caller's script again, which would start workers of its own, and so on."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, ["top level", "measured 2 __main__"]), done.stderr
    assert len(scores(tmp_path / "out")) == 2


def test_a_method_whose_files_changed_since_the_plan_fails(setup, tmp_path):
    """The key was computed from other files than those that it would read."""
    executor = InProcess(setup)
    (case, *_) = cases([SMOKE], [method("Shifts")], executor.description())
    changed = dataclasses.replace(case, spec=dataclasses.replace(case.spec, inputs={"weights": "before"}))
    found = finished(executor.run([changed]))["celebahq-0000"]
    assert "changed" in found.reason and found.folder.is_dir()


def test_instant_testbeds_and_zero_workers_stay_in_this_process(setup, monkeypatch):
    pools = []
    monkeypatch.setattr(workers, "InProcess", lambda setup: "here")
    monkeypatch.setattr(workers, "Pool", lambda setup, count: pools.append(count))
    monkeypatch.setattr(workers, "default_workers", lambda device, heavy: 5)
    assert start_executor(setup, workers=0, instant=False) == "here"
    assert start_executor(setup, workers=None, instant=True) == "here"
    for asked, instant in ((None, False), (2, True), (3, False)):
        start_executor(setup, workers=asked, instant=instant)
    assert pools == [5, 2, 3]


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (6, 6), (64, 8)])
def test_workers_are_one_per_core_up_to_eight_and_one_where_memory_is_short(monkeypatch, cores, expected):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert default_workers("cpu") == expected
    assert default_workers("cuda:0") == default_workers("cpu", heavy=True) == 1


@pytest.fixture
def started(monkeypatch):
    """Stand-ins for processes, by the variables that they were started with."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = []

    def spawn(target, *given, variables):
        found.append(variables)
        return SimpleNamespace(
            terminate=lambda: None, join=lambda timeout: None, is_alive=lambda: False, exitcode=1, name="stand-in"
        )

    monkeypatch.setattr(workers, "spawn", spawn)
    return found


@pytest.mark.parametrize(
    ("device", "gpus", "pinned"),
    [
        ("cuda", 2, ["0", "1", "0"]),
        ("cuda", 1, [None] * 3),
        ("cuda:1", 2, [None] * 3),
        ("cpu", 2, [None] * 3),
    ],
)
def test_each_worker_sees_one_of_several_gpus(setup, started, monkeypatch, device, gpus, pinned):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    Pool(dataclasses.replace(setup, device=device), 3).close()
    assert [variables.get("CUDA_VISIBLE_DEVICES") for variables in started] == pinned


def test_the_worker_in_place_of_a_dead_one_has_its_gpu(setup, started, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    pool = Pool(dataclasses.replace(setup, device="cuda"), 2)
    second = pool._members[1]
    second.ready, second.task = True, Block(SMOKE, 0, 1)
    assert list(pool._replace(second, Work([]))) == []
    assert started[-1] == {"CUDA_VISIBLE_DEVICES": "1"} and len(started) == 3
    pool.close()


@pytest.mark.parametrize(("gpus", "expected"), [(0, 1), (1, 1), (4, 4)])
def test_workers_are_one_per_gpu(monkeypatch, gpus, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert default_workers("cuda", heavy=True) == default_workers("cuda") == expected


def test_where_no_affinity_is_known_all_cores_count(monkeypatch):
    monkeypatch.delattr(workers.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(workers.os, "cpu_count", lambda: None)
    assert default_workers("cpu") == 1


def test_fast_progress_is_not_sent_step_by_step(monkeypatch):
    """One message in 0.2 s, at 0, 0.2 and 0.4 of these eleven steps, and one at the end; no step is left out."""
    sent, now = [], [100.0]
    monkeypatch.setattr(workers.time, "monotonic", lambda: now[0])

    class Pipe:
        def send(self, message):
            sent.append(message)

    step = workers._Throttled(Pipe())
    for number in range(11):
        now[0] = 100.0 + number * 0.05
        step(number, {})
    step.flush()
    assert [[number for number, _ in reports] for _, reports in sent] == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    step.flush()
    assert len(sent) == 4


def test_errors_keep_their_kind_across_processes():
    with pytest.raises(BadInput, match="text"):
        workers._raise_if_fatal(("fatal", "BadInput", "text"))
    with pytest.raises(GuidebenchError, match="text"):
        workers._raise_if_fatal(("fatal", "Unheard", "text"))
    workers._raise_if_fatal(("ready", None))
