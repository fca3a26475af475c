"""What a job does and says, and what a run makes of it, whatever the scheduler."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine.events import Finished, Started, Stepped
from guidebench.engine.plan import Description, cases
from guidebench.engine.worker import Setup
from guidebench.errors import BadInput, GuidebenchError, StorageError
from guidebench.executors import jobs
from guidebench.executors.jobs import JOBS, Job, Jobs, run_cases
from guidebench.store.folders import scan

SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)
DESCRIBED = Description("linear", "", {"generator": "g"}, {}, {}, 16, "strict", 0)


class Scheduler(Jobs):
    """Writes by hand what jobs say: ``says`` maps a job's number to lines; ``ends``, to how it ended."""

    def __init__(self, out, says, ends=None, cases_per_job=1):
        super().__init__(Setup("linear", "cpu", out, (SMOKE,)), 2, cases_per_job)
        self.says, self.ends, self.cancelled = says, ends, False
        self._described = DESCRIBED

    def submit(self, jobs, folder):
        self.folder = folder
        for job in jobs:
            for attempt, lines in enumerate(self.says.get(job.number, ())):
                (folder / f"{job.number}.host-{attempt}.jsonl").write_text(lines)
        self._left = {job.number: (self.ends or {}).get(job.number) for job in jobs}

    def ended(self):
        left, self._left = self._left, {}
        return left

    def cancel(self):
        self.cancelled = True


def lines(*said):
    return "".join(json.dumps(one) + "\n" for one in said)


def said(kind, place=0, **more):
    usual = {"folder": None, "seconds": 1.5, "reason": None, "warning": None} if kind == "finished" else {}
    return {"kind": kind, "case": place, **usual, **more}


def test_a_job_runs_its_cases_on_another_machine_and_says_so(tmp_path, monkeypatch):
    """The machine is this one, in a process of its own; paths are relative to where the command was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUIDEBENCH_HOME", os.environ["GUIDEBENCH_HOME"])

    class Here(Scheduler):
        def submit(self, jobs, folder):
            super().submit(jobs, folder)
            for job in jobs:
                monkeypatch.chdir("/")
                run_cases(job)

    here = Here(Path("out"), {}, cases_per_job=2)
    entrants = [chosen.choose("guide", "linear", {"steps": "3"})]
    todo = cases([SMOKE], entrants, Jobs.description(here))
    found = list(here.run(todo))
    for case in todo:
        first, *stepped, last = (event for event in found if event.case == case)
        assert first == Started(case) and isinstance(last, Finished) and last.reason is None
        steps = [step for event in stepped for step in (*event.earlier, (event.step, event.scalars))]
        assert [number for number, _ in steps] == [1, 2, 3] and "loss" in steps[0][1]
    stored, corrupt = scan(tmp_path / "out")
    assert len(stored) == 2 and not corrupt and not (tmp_path / "out" / JOBS).exists()
    assert {item.path for item in stored} == {event.folder for event in found if isinstance(event, Finished)}


def test_what_several_attempts_say_is_heard_once(tmp_path, make_case):
    """The first attempt was lost while it wrote a line; a third one still runs when the second has finished."""
    first = lines(said("started"), said("stepped", steps=[[1, {"loss": 2.0}], [2, {"loss": 1.0}]])) + '{"kind": "sto'
    second = lines(said("started"), said("finished", warning="hot"))
    third = lines(said("started"), said("stepped", steps=[[1, {}]]), said("finished"))
    case = make_case(0)
    found = list(Scheduler(tmp_path, {0: (first, second, third)}).run([case]))
    assert found == [
        Started(case),
        Stepped(case, 2, {"loss": 1.0}, earlier=((1, {"loss": 2.0}),)),
        Finished(case, None, 1.5, None, "hot"),
    ]


def test_a_lost_job_fails_what_it_has_not_finished_and_its_output_stays(tmp_path, make_case, monkeypatch):
    monkeypatch.setattr(jobs, "_VISIBLE", 0.0)
    todo = [make_case(number) for number in range(3)]
    one = lines(said("started"), said("finished"), said("started", 1))
    scheduler = Scheduler(tmp_path, {0: (one,)}, {0: "its node burnt down", 1: None}, cases_per_job=2)
    found = list(scheduler.run(todo))
    assert [type(event) for event in found] == [Started, Finished] * 3
    reasons = [event.reason for event in found if isinstance(event, Finished)]
    assert reasons[0] is None and "its node burnt down; the next run tries it again" in reasons[1]
    assert "without a word" in reasons[2] and scheduler.folder.is_dir()


def test_what_a_job_said_may_be_seen_after_its_end(tmp_path, make_case):
    """As on NFS, whose clients know a folder by heart for a while; here that takes two looks."""

    class Late(Scheduler):
        def ended(self):
            if self.says:
                self.late, self.says = self.says, {}
                return super().ended()
            (self.folder / "0.host-0.jsonl").write_text(self.late.pop(0, ""))
            return {}

        def submit(self, jobs, folder):
            self.folder, self._left = folder, {0: None}

    found = list(Late(tmp_path, {0: lines(said("started"), said("finished"))}).run([make_case(0)]))
    assert [type(event) for event in found] == [Started, Finished] and found[1].reason is None


def test_half_a_line_that_a_full_disk_left_is_passed_over(job, tmp_path, make_case, monkeypatch):
    """And what is said when there is room again begins a line of its own."""
    telling = jobs._Telling(job)
    telling.write(**said("started"))

    class Full(io.FileIO):
        def write(self, text):
            super().write(text[:9].encode())
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(jobs, "open", lambda path, *_, **__: Full(path, "a"), raising=False)
        with pytest.raises(StorageError, match="no space left"):
            telling.write(kind="log")
    telling.write(**said("finished", warning="hot"))
    (file,) = tmp_path.glob("*.jsonl")
    text = file.read_text()
    assert len(text.splitlines()) == 3 and '{"kind": \n' in text
    file.unlink()
    *_, last = Scheduler(tmp_path, {0: (text + "3\n",)}).run([make_case(0)])
    assert last.warning == "hot"


def test_an_error_before_anything_ran_ends_the_run(tmp_path, make_case):
    fatal = {"kind": "fatal", "name": "MissingAsset", "text": "no weights (on node-7)"}
    scheduler = Scheduler(tmp_path, {0: (lines(fatal),)})
    with pytest.raises(GuidebenchError, match="no weights .on node-7.") as raised:
        list(scheduler.run([make_case(0)]))
    assert type(raised.value).__name__ == "MissingAsset"
    scheduler.close()
    assert scheduler.cancelled


def test_a_cancelled_run_leaves_no_folder_so_that_a_late_job_ends(tmp_path, make_case):
    scheduler = Scheduler(tmp_path, {0: (lines(said("started")),)})
    events = scheduler.run([make_case(0), make_case(1)])
    assert isinstance(next(events), Started) and scheduler.folder.is_dir()
    events.close()
    scheduler.close()
    assert scheduler.cancelled and not (tmp_path / JOBS).exists()


def test_one_bad_machine_among_many_fails_its_own_trials(tmp_path, make_case):
    fatal = {"kind": "fatal", "name": "BadInput", "text": "no CUDA device (on node-7)"}
    says = {0: (lines(said("started"), said("finished")),), 1: (lines(fatal),)}
    *_, last = Scheduler(tmp_path, says).run([make_case(0), make_case(1)])
    assert "node-7" in last.reason and "the next run tries it again" in last.reason
    says[1] = (lines({**fatal, "name": "StorageError", "text": "no space left"}),)
    with pytest.raises(StorageError, match="no space left"):
        list(Scheduler(tmp_path, says).run([make_case(0), make_case(1)]))


def test_what_jobs_log_is_logged_here(tmp_path, make_case, caplog):
    log = {"kind": "log", "name": "guidebench.x", "level": logging.WARNING, "text": "no face in 3"}
    list(Scheduler(tmp_path, {0: (lines(log, said("finished")),)}).run([make_case(0)]))
    assert ("guidebench.x", logging.WARNING, "no face in 3") in caplog.record_tuples


def test_a_record_that_a_file_server_shows_late_is_waited_for(tmp_path, make_case):
    record = tmp_path / "records" / "record.json"
    says = {0: (lines(said("finished", folder=str(record.parent))),)}

    def show():
        time.sleep(0.7)
        record.parent.mkdir()
        record.touch()

    server = threading.Thread(target=show)
    server.start()
    *_, last = Scheduler(tmp_path, says).run([make_case(0)])
    assert record.exists() and last.folder == record.parent
    server.join()


@pytest.fixture
def job(tmp_path, make_case):
    return Job(0, Setup("linear", "cpu", tmp_path, (SMOKE,)), (make_case(0),), DESCRIBED, tmp_path, tmp_path, {})


def attempted(job, *events):
    """As if an attempt at a job had said this on another machine, which was lost then."""
    (job.folder / f"{job.number}.elsewhere-1.jsonl").write_text(lines(*events))


def test_what_a_lost_attempt_has_begun_goes_on_from_what_it_kept(job, make_case, monkeypatch):
    """Though all is to be measured anew: what the attempt kept is new."""
    fresh = tuple(dataclasses.replace(make_case(number), fresh=True) for number in range(3))
    attempted(job, said("started"), said("finished"), said("started", 1))
    ran = []
    monkeypatch.setattr(jobs, "_run", lambda job, telling: ran.extend(job.cases))
    run_cases(dataclasses.replace(job, cases=fresh))
    assert [case.fresh for case in ran] == [False, False, True]
    assert [dataclasses.replace(case, fresh=True) for case in ran] == [*fresh]


@pytest.mark.parametrize("begun", [True, False])
def test_the_claim_of_a_lost_attempt_is_waited_for_and_no_other(job, monkeypatch, begun):
    if begun:
        attempted(job, said("started"))
    monkeypatch.setattr(jobs, "_POLLED", 0.01)
    looks, ran = [True, True, False], []
    monkeypatch.setattr(jobs.claims, "in_flight", lambda store, spec: looks.pop(0))
    monkeypatch.setattr(jobs, "_run", lambda *_: ran.append(list(looks)))
    run_cases(job)
    assert ran == [[] if begun else [True, True, False]]


def test_a_claim_that_somebody_renews_is_not_waited_for_any_longer(job, monkeypatch):
    attempted(job, said("started"))
    monkeypatch.setattr(jobs, "_POLLED", 0.01)
    for name in ("VOID", "RENEWED"):
        monkeypatch.setattr(jobs.claims, name, 0.05)
    ran = []
    monkeypatch.setattr(jobs.claims, "in_flight", lambda store, spec: True)
    monkeypatch.setattr(jobs, "_run", lambda *_: ran.append(True))
    run_cases(job)
    assert ran == [True]


@pytest.mark.parametrize("lacking", ["folder", "directory"])
def test_a_machine_that_does_not_see_the_results_makes_no_others(job, tmp_path, monkeypatch, says, lacking):
    monkeypatch.setattr(jobs, "_PATIENCE", 0.0)
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(StorageError, match=says("does not see", str(elsewhere), "share")):
        run_cases(dataclasses.replace(job, **{lacking: elsewhere}))
    assert not elsewhere.exists() and not any(tmp_path.iterdir())


@pytest.mark.parametrize("other", [{"weights": {"generator": "h"}}, {"testbed_code": "c"}, {"manifests": {"p": "n"}}])
def test_a_machine_with_other_weights_code_or_photographs_is_refused(other, says):
    jobs._refuse_others(DESCRIBED, dataclasses.replace(DESCRIBED, batch=3))  # which changes no number
    with pytest.raises(BadInput, match=says(*other, "same version")):
        jobs._refuse_others(DESCRIBED, dataclasses.replace(DESCRIBED, **other))


def test_a_job_that_is_told_to_end_says_nothing_more(job, tmp_path):
    """Its worker dies of the same signal, which is no failure of the trial."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    handler = signal.getsignal(signal.SIGTERM)
    telling = jobs._Telling(job)
    try:
        with pytest.raises(GuidebenchError, match="SIGTERM"), jobs._silent_when_told_to_end(telling):
            telling.tell(Started(job.cases[0]))
            os.kill(os.getpid(), signal.SIGTERM)
            telling.tell(Finished(job.cases[0], None, 1.0, "its worker process ended by signal 15"))
        assert heard == [signal.SIGTERM] and signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    (file,) = tmp_path.glob("*.jsonl")
    assert [json.loads(line)["kind"] for line in file.read_text().splitlines()] == ["started"]


def test_steps_are_said_together(job, tmp_path, monkeypatch):
    """One line in two seconds, at 0 and 2 of these steps, and one at the end."""
    now = [100.0]
    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=lambda: now[0]))
    telling = jobs._Telling(job)
    for number in range(5):
        now[0] = 100.0 + number * 0.7
        telling.tell(Stepped(job.cases[0], number, {}))
    telling.tell(Finished(job.cases[0], None, 3.0))
    (file,) = tmp_path.glob("*.jsonl")
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert [[step for step, _ in one.get("steps", ())] for one in found] == [[0], [1, 2, 3], [4], []]
