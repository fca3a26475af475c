"""`guidebench rescore`: what can be computed is, and what cannot stays as it was recorded."""

from __future__ import annotations

import shutil
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


def test_what_a_run_adds_while_a_record_is_scored_stays(runs):
    """Somebody else replaces the record in the middle of the first computation."""
    (stored,), _ = folders.scan(runs)
    looked_at = []

    def computed(_):
        if not looked_at:
            outcome = replace(stored.record.outcome, marks=("somebody's",))
            folders.rewrite_record(replace(stored.record, outcome=outcome), stored.path)
        looked_at.append(True)
        return [score(0.5)]

    assert rescore.rescore_all(runs, [metric(computed)]) == (1, 1)
    (found,), _ = folders.scan(runs)
    assert found.record.outcome.marks == ("somebody's",) and scores_of(runs) == [score(0.5)] and len(looked_at) == 2


def test_a_record_that_vanishes_while_it_is_scored_is_named(runs, caplog):
    (folder,) = runs.glob("records/smoke/nothing/*")

    def computed(_):
        shutil.rmtree(folder)
        return [score(0.5)]

    with pytest.raises(BadInput, match="1 measured"):
        rescore.rescore_all(runs, [metric(computed)])
    assert str(folder) in caplog.text and "any more" in caplog.text


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


def test_a_score_of_a_metric_that_is_not_known_any_more_stays(runs):
    gone, other = score(0.5, "gone"), score(0.25, "other")
    rescore.rescore_all(runs, [metric(lambda _: [gone], "gone"), metric(lambda _: [other], "other")])
    assert rescore.rescore_all(runs, [metric(lambda _: [score(0.75, "other")], "other")]) == (1, 1)
    assert (scores_of(runs, "gone"), scores_of(runs, "other")) == ([gone], [score(0.75, "other")])
    assert rescore.rescore_all(runs) == (0, 1)
    assert (scores_of(runs, "gone"), scores_of(runs, "other")) == ([gone], [score(0.75, "other")])


def test_a_rescored_record_has_a_digest_of_its_new_scores(runs):
    (before,), _ = folders.scan(runs)
    rescore.rescore_all(runs, [metric(lambda _: [score(0.5)])])
    (after,), corrupt = folders.scan(runs)
    assert after.record.digest != before.record.digest and after.record.files == before.record.files and not corrupt


@pytest.fixture
def two(tmp_path):
    guidebench.run("smoke", "nothing", "linear", floors="none", identities=2, out=tmp_path, workers=0)
    return sorted(tmp_path.glob("records/smoke/nothing/*"))


def test_evidence_of_another_person_is_refused_and_named(tmp_path, two, caplog):
    first, second = two
    before = (first / "record.json").read_bytes()
    shutil.copy(second / "evidence.npz", first / "evidence.npz")
    assert rescore.rescore_all(tmp_path) == (0, 1)
    (message,) = caplog.messages
    assert str(first) in message and "evidence.npz is not the one that the trial wrote" in message
    assert (first / "record.json").read_bytes() == before


def test_scores_of_another_person_are_not_written_even_where_the_digests_agree(tmp_path, two, caplog):
    first, second = two
    shutil.copy(second / "evidence.npz", first / "evidence.npz")
    folders.write_record(folders.Record.from_json((first / "record.json").read_bytes()), first)
    assert rescore.rescore_all(tmp_path) == (0, 1)
    (message,) = caplog.messages
    assert message == f"{first}/evidence.npz is of celebahq-0001, its scores stay"


@pytest.mark.parametrize("odd", [[score(0.1), score(0.2)], [replace(score(0.1), n=-1)]])
def test_what_no_trial_can_have_is_not_recorded(runs, caplog, odd):
    assert rescore.rescore_all(runs, [metric(lambda _: odd)]) == (0, 1)
    assert scores_of(runs) == [] and "metric 'own' raised ValueError: own of a" in caplog.text


def test_failed_trials_alone_are_answered_with_what_to_do(runs):
    (stored,), _ = folders.scan(runs)
    outcome = replace(stored.record.outcome, status="failed", scores=(), reason="no")
    folders.rewrite_record(replace(stored.record, outcome=outcome), stored.path)
    done = CliRunner().invoke(main, ["rescore", str(runs)])
    assert done.exit_code == 2 and "0 measured trials" in done.stderr and "guidebench run" in done.stderr


@pytest.mark.parametrize(("moved", "changed"), [(0.5 * (1 + 1e-15), 0), (0.5 + 1e-6, 1), (None, 1)])
def test_rounding_alone_changes_nothing(runs, moved, changed):
    """Sums of another number of threads differ in their last digits."""
    rescore.rescore_all(runs, [metric(lambda _: [score(0.5)])])
    again = score(moved) if moved else replace(score(0.5), value=None, reason="none")
    assert rescore.rescore_all(runs, [metric(lambda _: [again])]) == (changed, 1)
    assert scores_of(runs) == [again if changed else score(0.5)]
