"""A method, a metric and a testbed of the user's, in three files, make one record; nothing is registered or edited."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.store import folders

METHOD = """
from dataclasses import dataclass
from guidebench.unlearner import Unlearner

@dataclass(frozen=True)
class Mine(Unlearner):
    name = "mine"
    summary = "does nothing, in so many steps"
    presets = {"own": {"steps": 2}}
    steps: int = 7

    def unlearn(self, generator, request, context):
        for step in range(1, self.steps + 1):
            context.progress(step)
        return generator
"""
METRIC = """
from guidebench.metric import Score, TrialMetric

def compute(evidence):
    return [
        Score(metric="count", judge=None, identity=evidence.group, role="samples", after_request=request,
              value=float(samples.count), n=samples.count)
        for request, samples in enumerate(evidence.after, start=1)
    ]

COUNT = TrialMetric(name="count", title="Count", latex="Count", direction="none", unit="samples",
                    summary="how many samples there are", judged=False, compute=compute)
"""
TESTBED = """
from guidebench.testbeds.linear import LinearTestbed

class Own(LinearTestbed):
    name = "own"
    summary = "the analytic testbed under another name"
    instant = INSTANT
"""
PROTOCOL = """
source = "dev"
identities = 3
retain = 1
views = 3
samples = 500

[on.own]
identities = 1
samples = 40
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("method.py", METHOD), ("metric.py", METRIC), ("p.toml", PROTOCOL)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("instant", [True, False], ids=["in this process", "in a worker process"])
def test_all_three_come_from_files(files, instant):
    (files / "testbed.py").write_text(TESTBED.replace("INSTANT", str(instant)))
    guidebench.run(
        files / "p.toml",
        f"{files / 'method.py'}:Mine",
        f"{files / 'testbed.py'}:Own",
        metrics=[f"{files / 'metric.py'}:COUNT"],
        floors="none",
        out=files / "runs",
        device="cpu",
        workers=1,
    )
    (stored,), _ = folders.scan(files / "runs")
    record = stored.record
    assert (record.spec.testbed, record.spec.method.name) == ("own", "mine")
    assert record.spec.method.fields == {"steps": 2}, "the preset of the testbed's own name"
    assert record.spec.protocol.samples == 40, "the overlay of the testbed's own name"
    assert [score.value for score in record.outcome.scores if score.metric == "count"] == [40.0]


@pytest.mark.parametrize("name", ["method.py:Mine", "metric.py:COUNT", "testbed.py:Own"])
def test_all_three_are_shown_and_checked_from_files(files, name):
    (files / "testbed.py").write_text(TESTBED.replace("INSTANT", "True"))
    shown = CliRunner().invoke(main, ["show", f"{files / name}"])
    assert shown.exit_code == 0 and shown.stdout.startswith("# ")
    checked = CliRunner().invoke(main, ["check", f"{files / name}"])
    assert "ok   loads" in checked.stdout
    assert checked.exit_code == (1 if "Mine" in name else 0), "a method that does nothing does not react"
