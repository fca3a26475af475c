"""Runs with one worker and with several are timed in turn; nothing here is a claim about speed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from guidebench import environment
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.speed import scaling


@pytest.fixture
def cores(monkeypatch):
    """A machine of two cores."""
    monkeypatch.setattr(environment, "cores", lambda: 2)


@pytest.mark.long
def test_whole_runs_with_one_worker_and_with_two_are_compared(cores, monkeypatch):
    """On the analytic testbed, with a method that does nothing."""
    asked, run = [], scaling.engine.run

    def noted(*given, **options):
        asked.append(options["workers"])
        return run(*given, **options)

    monkeypatch.setattr(scaling.engine, "run", noted)
    found = scaling.measure("linear", "cpu", workers=2, trials=2, samples=20, repeats=1, method="nothing")
    assert asked == [1, 2] and (found.trials, found.samples, found.cores) == (2, 20, 2)
    ((one, two),) = found.seconds
    assert found.ratios == (one / two,) and min(one, two) > 0


def test_the_command_prints_and_stores_the_row(cores, monkeypatch, tmp_path):
    seconds = iter([10.0, 5.0, 30.0, 20.0, 9.0, 6.0])

    def run(protocol, method, testbed, **options):
        protocols = (SimpleNamespace(samples=options["samples"]),)
        return SimpleNamespace(seconds=next(seconds), failed=(), measured=options["identities"], protocols=protocols)

    monkeypatch.setattr(scaling.engine, "run", run)
    out = tmp_path / "bench.json"
    words = ["bench", "--work", "workers", "--repeats", "3", "--trials", "4", "--samples", "50", "--device", "cpu"]
    done = CliRunner().invoke(main, [*words, "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    assert "| a run of 4 trials, 50 samples each | 10.0 s | 6.0 s | 1.50 | 1.50, 2.00 |" in done.stdout
    stored = json.loads(out.read_text())
    assert (stored["ratio"], stored["workers"], stored["cores"]) == (1.5, 2, 2) and len(stored["seconds"]) == 3


def test_trials_that_fail_are_not_timed(cores, monkeypatch):
    lost = SimpleNamespace(failed=(SimpleNamespace(reason="it broke"),))
    monkeypatch.setattr(scaling.engine, "run", lambda *given, **options: lost)
    with pytest.raises(BadInput, match="it broke"):
        scaling.measure("linear", "cpu", workers=2, trials=2, samples=20, repeats=1)


def test_more_workers_than_cores_compare_nothing(cores, says):
    with pytest.raises(BadInput, match=says("workers = 3", "2 cores")):
        scaling.measure("linear", "cpu", workers=3, trials=3, samples=20, repeats=1)


@pytest.mark.parametrize("more", [["--testbed", "eg3d-small"], ["--profile"]])
def test_only_whole_runs_on_mini(more):
    done = CliRunner().invoke(main, ["bench", "--work", "workers", "--device", "cpu", *more])
    assert done.exit_code == 2 and "--work workers" in done.stderr
