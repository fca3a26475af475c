"""A trial of several requests that ends early goes on with the next request, and comes to the same numbers."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pytest

import guidebench
from guidebench import protocol as protocols
from guidebench.engine import nursery
from guidebench.reporting import report
from guidebench.store import folders
from guidebench.store.evidence_files import load_evidence

METHODS = Path(__file__).parent / "sequence_methods.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=40)
FOUR = dataclasses.replace(
    SMOKE, name="four", identities=4, requests=4, retain=2, retain_named=1, probe_photos=1, neighbours=2
)
PEOPLE = [f"celebahq-{place:04d}" for place in range(4)]
ASKED = [f"{','.join(PEOPLE[:place])}>{PEOPLE[place]}" for place in range(4)]


@pytest.fixture
def run(tmp_path):
    """Runs a method of `sequence_methods` on four requests; returns the result and whom the method was asked for."""

    def run(name="Sequence", *, out="out", protocol=FOUR, settings=None, workers=0, **options):
        log = tmp_path / f"log-{name}"
        log.write_text("")
        settings = {"log": log, "mended": tmp_path / "mended", **(settings or {})}
        options = {"floors": "none", "out": tmp_path / out, "workers": workers, **options}
        done = guidebench.run(protocol, f"{METHODS}:{name}", "linear", settings=settings, **options)
        return done, log.read_text().split()

    return run


@pytest.fixture
def mend(tmp_path):
    return (tmp_path / "mended").touch


def record_of(out):
    (stored,) = folders.scan(out)[0]
    return stored


def unfinished(out):
    return sorted(path.relative_to(out / "unfinished") for path in (out / "unfinished").rglob("*") if path.is_file())


def values(record):
    return {(s.metric, s.judge, s.identity, s.role, s.after_request): s.value for s in record.outcome.scores}


def test_an_uninterrupted_trial_leaves_nothing_unfinished(run, mend, tmp_path):
    mend()
    done, asked = run()
    assert done.measured == 1 and asked == ASKED
    assert not (tmp_path / "out" / "unfinished").exists()
    assert not list((tmp_path / "out").rglob(".building-*"))


@pytest.mark.parametrize("name", ["Sequence", "Saves"])
def test_what_a_method_fails_at_is_asked_again_and_nothing_before_it(run, mend, tmp_path, name):
    """Weights, and a wrapper that its method saves; the numbers are those of a run that was never interrupted."""
    failed, asked = run(name)
    assert asked == ASKED[:3] and len(failed.failed) == 1
    assert failed.failed[0].reason.startswith("request 3 of 4: the method raised")
    assert {path.parts[3] for path in unfinished(tmp_path / "out")} == {"1", "2"}
    kept = {path.parts[3] for path in unfinished(tmp_path / "out") if path.parts[4] == "generator"}
    assert kept == {"2"}, "one generator is enough"
    mend()
    done, asked = run(name)
    assert done.measured == 1 and asked == ASKED[2:]
    _, asked = run(name, out="at-once")
    assert asked == ASKED
    resumed, whole = (record_of(tmp_path / out).record for out in ("out", "at-once"))
    assert values(resumed) == values(whole)
    assert resumed.key == whole.key and resumed.cost.steps == whole.cost.steps == 12
    assert ["request 3 of 4" in attempt.reason for attempt in resumed.outcome.attempts] == [True]
    progress = [(record_of(tmp_path / out).path / "progress.csv").read_text() for out in ("out", "at-once")]
    assert progress[0] == progress[1]
    assert not (tmp_path / "out" / "unfinished").exists()


@pytest.mark.long
@pytest.mark.skipif(not nursery.available(), reason="methods have processes of their own on Linux only")
def test_a_killed_run_goes_on_with_the_request_that_it_was_at(run, mend, tmp_path, caplog):
    failed, asked = run(settings={"kills": True}, workers=1)
    assert asked == ASKED[:3] and "signal 9" in failed.failed[0].reason
    mend()
    with caplog.at_level(logging.INFO, logger="guidebench"):
        done, asked = run(settings={"kills": True}, workers=1)
    assert done.measured == 1 and asked == ASKED[2:]
    assert any("2 of 4 requests" in message for message in caplog.messages)


def test_earlier_requests_of_a_failed_trial_are_recorded_and_shown(run, tmp_path):
    run()
    stored = record_of(tmp_path / "out")
    assert stored.record.outcome.status == "failed" and stored.record.cost is None
    assert stored.record.outcome.reason.startswith("request 3 of 4: ")
    assert {score.after_request for score in stored.record.outcome.scores} == {1, 2}
    evidence = load_evidence(stored.path / "evidence.npz")
    assert len(evidence.after) == 2 and (stored.path / "pictures" / "sheet.png").is_file()
    frame = guidebench.records(tmp_path / "out")
    assert set(frame["status"]) == {"failed"} and set(frame["after_request"]) == {1, 2}
    text = report.report(tmp_path / "out", layout="sequence")
    assert "1 of 1 failed" in text and "request 3 of 4" in text
    table = json.loads(report.report(tmp_path / "out", "json", layout="sequence"))
    curves = {one["title"].rpartition(": ")[2].split()[0]: one for one in table["tables"]}
    assert [column["after_request"] for column in curves["ID"]["columns"]] == [1, 2]
    assert all(cell["mean"] is not None for cell in curves["ID"]["rows"][0]["cells"])
    full = json.loads(report.report(tmp_path / "out", "json", layout="full"))
    assert all(cell is None for one in full["tables"] for row in one["rows"] for cell in row["cells"])


def test_a_failure_at_the_first_request_has_no_scores(run, tmp_path):
    failed, asked = run(settings={"at": PEOPLE[0]})
    assert asked == ASKED[:1] and failed.failed[0].reason.startswith("request 1 of 4: ")
    assert record_of(tmp_path / "out").record.outcome.scores == ()


def test_a_trial_of_other_settings_starts_over(run, mend):
    run()
    mend()
    _, asked = run(settings={"at": "nobody"})
    assert asked == ASKED
    _, asked = run(protocol=dataclasses.replace(FOUR, samples=41))
    assert asked == ASKED


def test_fresh_starts_over(run, mend):
    run()
    mend()
    _, asked = run(fresh=True)
    assert asked == ASKED


@pytest.mark.parametrize("harm", ["state.json", "seen.npz", "generator/weights.safetensors"])
def test_what_was_damaged_is_said_and_not_used(run, mend, tmp_path, caplog, harm):
    run()
    mend()
    (file,) = (tmp_path / "out" / "unfinished").glob(f"*/*/*/2/{harm}")
    file.write_bytes(file.read_bytes()[:-9])
    done, asked = run()
    assert done.measured == 1 and asked == ASKED
    (said,) = [message for message in caplog.messages if "cannot be continued" in message]
    assert "starts over" in said and "\n" not in said


def test_a_generator_that_renders_something_else_once_loaded_is_not_continued(run, mend, caplog):
    run("Forgets")
    mend()
    _, asked = run("Forgets")
    assert asked == ASKED
    assert any("cannot be continued" in message for message in caplog.messages)


def test_a_generator_that_cannot_be_saved_is_said_once_and_the_trial_goes_on(run, mend, tmp_path, caplog):
    mend()
    done, asked = run("Wraps")
    assert done.measured == 1 and asked == ASKED
    (said,) = [message for message in caplog.messages if "starts over" in message]
    assert "save()" in said
    assert not (tmp_path / "out" / "unfinished").exists()


def test_what_is_half_written_is_removed_by_the_next_run(run, mend, tmp_path):
    run()
    (folder,) = (tmp_path / "out" / "unfinished").glob("*/*/*")
    host = folders.unfinished_prefix().rpartition("-")[0].rpartition("-")[0]
    half = folder / f"{host}-999999999-abc"
    half.mkdir()
    mend()
    _, asked = run()
    assert asked == ASKED[2:] and not half.exists()
