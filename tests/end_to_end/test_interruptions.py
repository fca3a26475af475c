"""Runs that end early: killed, interrupted, with a dead worker, with a failed trial."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.store.folders import read
from guidebench.store.processes import alive

KILLS = 40
SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


def test_a_failed_trial_is_tried_again_and_its_attempts_are_kept(tmp_path, guidebench_run, records, write_method):
    flag = tmp_path / "fixed"
    method = write_method(
        tmp_path,
        "later",
        f"import pathlib\n        if not pathlib.Path({str(flag)!r}).exists(): raise ValueError('soon')",
    )
    for _ in range(2):
        assert guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out").exit_code == 1
    flag.touch()
    assert guidebench_run(*SMOKE, "--method", method, "--floors", "none", out=tmp_path / "out").exit_code == 0
    (folder,) = records(tmp_path / "out")
    attempts = read(folder).outcome.attempts
    assert ["soon" in item.reason for item in attempts] == [True, True]
    status = CliRunner().invoke(main, ["status", str(tmp_path / "out"), "--json"])
    assert json.loads(status.stdout)["rows"][0]["measured"] == 1 and json.loads(status.stdout)["failures"] == []


def slow_run(tmp_path, write_method):
    method = write_method(tmp_path, "slow", "time.sleep(0.5)")
    return [
        sys.executable,
        "-m",
        "guidebench",
        *SMOKE,
        "--method",
        method,
        "--identities",
        "6",
        "--floors",
        "none",
        "--workers",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]


def wait_for_records(records, out, count, seconds=90):
    deadline = time.monotonic() + seconds
    while len(records(out)) < count:
        assert time.monotonic() < deadline, "no records appeared"
        time.sleep(0.02)


@pytest.mark.long
def test_kill_9_loses_at_most_the_trials_in_flight(tmp_path, records, write_method):
    command = slow_run(tmp_path, write_method)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_records(records, tmp_path / "out", 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(records(tmp_path / "out"))
    assert kept >= 2
    for folder in records(tmp_path / "out"):
        assert read(folder).is_measured
    time.sleep(2)  # workers notice that their parent is gone after the trial in flight
    kept = len(records(tmp_path / "out"))
    assert kept <= 4
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert again.returncode == 0, again.stderr
    assert re.search(rf"\b{6 - kept} measured.*\b{kept}\b.*recorded", again.stderr)
    assert not list((tmp_path / "out").rglob(".building-*"))


@pytest.mark.long
def test_kill_9_between_requests_repeats_at_most_the_request_in_flight(tmp_path, records):
    method = tmp_path / "slow.py"
    method.write_text(
        "from dataclasses import dataclass\nimport os, time\nfrom guidebench.unlearner import Unlearner\n"
        "@dataclass(frozen=True)\nclass Mine(Unlearner):\n    name = 'slow'\n"
        "    supports = frozenset({'single', 'sequential'})\n"
        "    def unlearn(self, generator, request, context):\n"
        f"        open({str(tmp_path / 'asked')!r}, 'a').write(request.forget[0].identity + chr(10))\n"
        f"        asked = len(open({str(tmp_path / 'asked')!r}).read().split())\n"
        f"        while asked == 4 and not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.05)\n"
        "        return generator\n"
    )
    words = ("run", "--protocol", "celebahq-sequential", "--identities", "5", "--samples", "40", "--testbed", "linear")
    out = tmp_path / "out"
    more = ("--method", f"{method}:Mine", "--floors", "none", "--workers", "1", "--out", str(out))
    command = [sys.executable, "-m", "guidebench", *words, *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while not (tmp_path / "asked").exists() or len((tmp_path / "asked").read_text().split()) < 4:
        assert time.monotonic() < deadline, "nothing was asked"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(out.glob("unfinished/*/*/*/3/state.json")) and not records(out)
    (tmp_path / "go").touch()
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert again.returncode == 0, again.stderr
    asked = (tmp_path / "asked").read_text().split()
    assert len(records(out)) == 1 and len(set(asked)) == 5 and len(asked) == 6
    assert not (out / "unfinished").exists()


@pytest.mark.long
def test_several_processes_share_the_trials_of_one_directory(tmp_path, records, write_method):
    """Each trial leaves a line: six trials, whoever runs them, and both have the same table at the end."""
    line = f"open({str(tmp_path / 'trials')!r}, 'a').write(request.forget[0].identity + chr(10)); time.sleep(0.5)"
    command = ["0" if word == "2" else word for word in slow_run(tmp_path, write_method)]
    write_method(tmp_path, "slow", line)
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    trials = (tmp_path / "trials").read_text().split()
    assert sorted(trials) == sorted(set(trials)) and len(trials) == len(records(tmp_path / "out")) == 6
    assert len({table for table, _ in outputs}) == 1
    assert sum(int(re.search(r"\b(\d) measured", said)[1]) for _, said in outputs) == 6


@pytest.mark.parametrize(
    ("number", "tell"),
    [
        pytest.param(signal.SIGINT, os.killpg, id="Ctrl-C"),  # the whole group hears it, as of a terminal
        pytest.param(signal.SIGTERM, os.killpg, id="SIGTERM to all", marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, os.kill, id="SIGTERM to the command", marks=pytest.mark.long),
    ],
)
def test_an_interrupted_run_keeps_what_is_measured_and_exits_130(tmp_path, records, write_method, number, tell):
    process = subprocess.Popen(
        slow_run(tmp_path, write_method),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # it is ignored below nohup
    )
    wait_for_records(records, tmp_path / "out", 1)
    started = children_of(process.pid)
    tell(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    deadline = time.monotonic() + 10
    while any(map(alive, started)):
        assert time.monotonic() < deadline, "something goes on"
        time.sleep(0.05)
    assert re.match(r"guidebench: .*interrupt", error.strip().splitlines()[-1])
    assert "Traceback" not in error
    assert records(tmp_path / "out") and not records(tmp_path / "out", "failures")
    claims = {path.name for path in (tmp_path / "out/claims").glob("*")} - {".lock"}  # which holds nobody up
    assert not claims, "nobody needs to wait for what was in flight"


def test_a_worker_that_dies_fails_its_trial_and_the_run_goes_on(tmp_path, guidebench_run, records, write_method):
    flag = tmp_path / "once"
    method = write_method(
        tmp_path,
        "killer",
        "import os\n"
        f"        try: os.close(os.open({str(flag)!r}, os.O_CREAT | os.O_EXCL))  # one worker alone gets there first\n"
        "        except FileExistsError: return generator\n"
        "        os.kill(os.getpid(), 9)",
    )
    result = guidebench_run(
        *SMOKE, "--method", method, "--identities", "3", "--workers", "2", "--floors", "none", out=tmp_path / "out"
    )
    assert result.exit_code == 1 and "signal 9" in result.stderr
    assert len(records(tmp_path / "out")) == 2


def children_of(pid):
    """Processes that a process started, and those that they started; none where there is no /proc."""
    try:
        own = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []
    return [*own, *(below for child in own for below in children_of(child))]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_forty_kills_of_parents_and_workers_lose_nothing_and_change_no_number(tmp_path, records, write_method):
    """At random moments; by turns the whole run is killed and one of the processes that it started."""
    command, moments = slow_run(tmp_path, write_method), random.Random(0)
    command[command.index("6")] = "20"
    measured = {}
    for turn in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0, 8))
        started = children_of(process.pid)
        os.kill(moments.choice(started) if turn % 2 and started else process.pid, signal.SIGKILL)
        time.sleep(moments.uniform(0, 2))
        process.kill()
        process.wait()
        for folder, text in measured.items():
            assert (folder / "record.json").read_text() == text
        for folder in records(tmp_path / "out"):
            assert read(folder).is_measured
            measured[folder] = (folder / "record.json").read_text()
    last = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert last.returncode == 0, last.stderr
    assert not list((tmp_path / "out").rglob(".building-*")) and len(records(tmp_path / "out")) == 20
    salt = (tmp_path / "out" / "salt").read_text().strip()
    undisturbed = [*command[:-1], str(tmp_path / "whole"), "--salt", salt]
    assert subprocess.run(undisturbed, capture_output=True, check=False, timeout=600).returncode == 0
    columns = ["identity", "metric", "judge", "role", "value"]
    found, whole = (
        guidebench.records(tmp_path / name)[columns].sort_values(columns, ignore_index=True)
        for name in ("out", "whole")
    )
    pandas.testing.assert_frame_equal(found, whole)
