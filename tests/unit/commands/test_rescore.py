"""`guidebench rescore`: what can be computed is, and what cannot stays as it was recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands import rescore
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.metric import Score, TrialMetric
from guidebench.store import folders


@pytest.fixture
def runs(tmp_path):
    guidebench.run("smoke", "nothing", "linear", floors="none", out=tmp_path, workers=0)
    return tmp_path


def metric(compute, name="own"):
    own = {"title": name, "latex": name, "direction": "none", "unit": "", "summary": "a test's own", "judged": False}
    return TrialMetric(name=name, compute=compute, **own)


def score(value, name="own"):
    return Score(metric=name, judge=None, identity="a", role="samples", after_request=1, value=value)


def scores_of(runs, name="own"):
    (stored,), _ = folders.scan(runs)
    return [score for score in stored.record.outcome.scores if score.metric == name]


def raising(_):
    raise RuntimeError("no idea")


@pytest.mark.parametrize("broken", [raising, lambda _: [1.0], lambda _: [score(0.2, "id")]])
def test_a_metric_that_raises_keeps_its_recorded_values_and_is_named(runs, caplog, broken):
    good = score(0.5)
    assert rescore.rescore_all(runs, [metric(lambda _: [good])]) == (1, 1)
    assert rescore.rescore_all(runs, [metric(broken)]) == (0, 1)
    assert scores_of(runs) == [good]
    (message,) = caplog.messages
    assert "'own'" in message and "evidence" not in message


def test_a_defect_of_a_metric_that_ships_is_not_put_down_to_the_evidence(runs, caplog, monkeypatch):
    monkeypatch.setattr(rescore, "score_all", raising)
    with pytest.raises(BadInput, match="1 measured"):
        rescore.rescore_all(runs)
    (message,) = caplog.messages
    assert "RuntimeError: no idea" in message and "evidence" not in message


def test_records_of_an_older_schema_are_one_line_and_exit_code_2(runs):
    (path,) = runs.glob("records/**/record.json")
    other = path.parent.with_name("other")
    other.mkdir()
    for place in (path, other / "record.json"):
        place.write_text('{"schema": 2}')
    done = CliRunner().invoke(main, ["rescore", str(runs)])
    assert done.exit_code == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "2 records of an older schema" in line


def test_failed_trials_alone_are_answered_with_what_to_do(runs):
    (stored,), _ = folders.scan(runs)
    outcome = replace(stored.record.outcome, status="failed", scores=(), reason="no")
    (stored.path / "record.json").write_text(replace(stored.record, outcome=outcome).to_json())
    done = CliRunner().invoke(main, ["rescore", str(runs)])
    assert done.exit_code == 2 and "0 measured trials" in done.stderr and "guidebench run" in done.stderr
