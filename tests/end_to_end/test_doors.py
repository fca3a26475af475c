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


def test_a_kept_generator_of_a_testbed_in_a_file_is_rendered(files):
    (files / "testbed.py").write_text(TESTBED.replace("INSTANT", "True"))
    testbed = f"{files / 'testbed.py'}:Own"
    words = ("--protocol", str(files / "p.toml"), "--method", "mean-latent", "--testbed", testbed)
    done = CliRunner().invoke(
        main, ["run", *words, "--floors", "none", "--keep-generators", "--out", str(files / "runs")]
    )
    assert done.exit_code == 0, done.output
    (stored,), _ = folders.scan(files / "runs")
    assert stored.record.instrument.testbed == testbed and len(stored.record.spec.testbed_code) == 64
    refused = CliRunner().invoke(main, ["render", str(stored.path), "--out", str(files / "x.png")])
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and not (files / "x.png").exists()
    assert f"testbed {testbed}; give --trust-code" in refused.stderr
    drawn = CliRunner().invoke(main, ["render", str(stored.path), "--trust-code", "--out", str(files / "x.png")])
    assert drawn.exit_code == 0 and (files / "x.png").is_file(), drawn.output


@pytest.mark.long
def test_a_changed_testbed_file_makes_another_trial(files):
    keys = []
    for comment in ("", "# changed\n"):
        (files / "testbed.py").write_text(TESTBED.replace("INSTANT", "False") + comment)
        done = CliRunner().invoke(
            main,
            [
                *("run", "--protocol", str(files / "p.toml"), "--method", "nothing", "--floors", "none"),
                *("--testbed", f"{files / 'testbed.py'}:Own", "--workers", "1", "--out", str(files / "runs")),
            ],
        )
        assert "1 measured" in done.stderr, done.output
        keys.append({item.record.key for item in folders.scan(files / "runs")[0]})
    assert len(keys[1]) == 2 and keys[0] < keys[1]


def test_rescore_adds_a_metric_and_keeps_the_scores_of_one_that_it_is_not_given(files):
    out, metric = files / "runs", f"{files / 'metric.py'}:COUNT"
    guidebench.run("smoke", "nothing", "linear", floors="none", out=out)

    def counted(*words):
        done = CliRunner().invoke(main, ["rescore", str(out), *words])
        assert done.exit_code == 0, done.output
        (stored,), _ = folders.scan(out)
        scores = stored.record.outcome.scores
        assert len({(score.metric, score.judge) for score in scores}) == len(scores), "nothing is recorded twice"
        return done.stdout, [score.value for score in scores if score.metric == "count"]

    assert counted("--metric", metric)[1] == [100.0]
    said, values = counted()
    assert values == [100.0] and "0 changed" in said


def test_a_metric_that_raises_costs_its_own_score_only(files):
    (files / "broken.py").write_text(METRIC.replace("    return [", "    raise ValueError('no idea')\n    return ["))
    result = guidebench.run(
        "smoke", "nothing", "linear", floors="none", out=files / "runs", metrics=[f"{files / 'broken.py'}:COUNT"]
    )
    (stored,), _ = folders.scan(files / "runs")
    (broken,) = [score for score in stored.record.outcome.scores if score.metric == "count"]
    assert broken.value is None and "ValueError: no idea" in broken.reason and not result.failed
    assert any(score.metric == "id" and score.value is not None for score in stored.record.outcome.scores)


@pytest.mark.parametrize("name", ["method.py:Mine", "metric.py:COUNT", "testbed.py:Own"])
def test_all_three_are_shown_and_checked_from_files(files, name):
    (files / "testbed.py").write_text(TESTBED.replace("INSTANT", "True"))
    shown = CliRunner().invoke(main, ["show", f"{files / name}"])
    assert shown.exit_code == 0 and shown.stdout.startswith("# ")
    checked = CliRunner().invoke(main, ["check", f"{files / name}"])
    assert "ok   loads" in checked.stdout
    assert checked.exit_code == (1 if "Mine" in name else 0), "a method that does nothing does not react"
