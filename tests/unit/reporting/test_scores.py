"""Records as a table: nothing missing is a number, nothing broken is silent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import guidebench
from guidebench import digest, registry
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.metric import CrossMetric, Score
from guidebench.metrics import METRICS
from guidebench.reporting import report, scores, status
from guidebench.store import evidence_files
from guidebench.store.record import SCHEMA


def test_frame_has_the_documented_columns_and_one_row_per_score(runs):
    loaded = scores.load(runs)
    assert list(loaded.columns) == list(scores.COLUMNS)
    own = loaded[(loaded.method == "guide") & (loaded.protocol == "ffhq") & (loaded.identity == "b")]
    assert len(own) == 2 * 3 + 2  # two judges x (id, id_retain, target_similarity), two Fréchet distances
    row = own[(own.metric == "id") & (own.judge == "alpha")].iloc[0]
    assert row.value == pytest.approx(0.04)
    assert (row.n, row.different_people_mean, row.seconds_unlearn, row.numerics) == (11, 0.10, 20.0, "1")


def test_missing_value_is_missing_and_keeps_its_reason(runs):
    loaded = scores.load(runs)
    own = loaded[(loaded.method == "scramble") & (loaded.metric == "id")]
    assert own.value.isna().all()
    assert own.value.sum() == 0
    assert own.value.count() == 0
    assert own.reason.str.contains("2 of 11 pairs").all()
    assert (own.lost_after == 9).all()


def test_failed_trial_is_one_row_without_a_metric(runs):
    failed = scores.load(runs).query("status == 'failed'")
    assert len(failed) == 1
    assert failed.metric.isna().all()
    assert failed.reason.item() == "the loss is not finite at step 7"
    assert (failed.method.item(), failed.identity.item()) == ("mine", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["cut off"]),
        ('{"schema": 99}', ["schema 99"]),
        (("0.02", "NaN"), []),
        (('"value": 0.02', '"value": "low"'), ["value"]),
        (('"seed": 0', '"seed": 1'), ["key"]),
        (('"status": "measured"', '"status": "odd"'), ["'odd'", "status"]),
        (('"value": 0.02', '"value": 0.03'), ["does not match its own digest", "edited"]),
        (('"label": "guide"', '"label": "mine"'), ["does not match its own digest", "edited"]),
    ],
)
def test_corrupt_record_is_named_in_a_warning_and_left_out(runs, make_record, write_record, caplog, text, words):
    path = write_record(runs, make_record("guide", "a")) / "record.json"
    whole = len(scores.read(runs).records)
    content = path.read_text().replace(*text) if isinstance(text, tuple) else text
    path.write_text(content)
    loaded = scores.read(runs)
    assert len(loaded.records) == whole - 1
    assert [item.path for item in loaded.corrupt] == [path.parent]
    (message,) = caplog.messages
    assert str(path.parent) in message
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


def sealed(data):
    content = {name: value for name, value in data.items() if name != "digest"}
    return json.dumps({**content, "digest": digest.of_data(content)})


@pytest.mark.parametrize("reader", ["records", "report", "status", "rescore"])
@pytest.mark.parametrize(
    "known",
    [
        [0.1],
        [0.1, 0.15, 7, 8, 9, 10],
        {"mean": 0.1},
        {"std": 0.1},
        {"mean": 0.1, "std": [0.1, 0.2]},
        {"mean": 0.1, "std": 0.1, "threshold": 0.4, "threshold_interval": [0.3]},
        {"mean": 0.1, "std": 0.1, "threshold": 0.4, "threshold_interval": [0.3, 0.4, 0.5]},
    ],
    ids=str,
)
def test_a_number_too_few_or_too_many_for_different_people_is_one_line(runs, caplog, known, reader):
    """Whoever wrote it: its digest is that of its contents."""
    (path,) = runs.glob("records/ffhq/guide/b-*/record.json")
    data = json.loads(path.read_text())
    data["instrument"]["judges"][0]["different_people"] = known
    path.write_text(sealed(data))
    if reader == "records":
        found = guidebench.records(runs).query("protocol == 'ffhq' and method == 'guide'")
        assert sorted(set(found.identity)) == ["a", "c"]
        said = caplog.text
    else:
        done = CliRunner().invoke(main, [reader, str(runs)])
        assert done.exit_code == 0, done.output
        said = done.output + caplog.text
    assert str(path.parent.relative_to(runs)) in said and "different_people" in said


@pytest.mark.parametrize("harm", ["evidence", "doubled", "impossible", "copied", "relabelled"])
def test_what_is_not_as_it_was_written_is_in_no_table_and_named_once(runs, caplog, harm):
    first, second = sorted(runs.glob("records/celebahq-multi/guide/*"))[:2]
    whole, wrong = len(scores.read(runs).records), first
    caplog.clear()
    data = json.loads((first / "record.json").read_text())
    if harm == "evidence":
        shutil.copy(second / "evidence.npz", first / "evidence.npz")
    elif harm == "doubled":
        data["outcome"]["scores"].append(data["outcome"]["scores"][0])
    elif harm == "impossible":
        next(score for score in data["outcome"]["scores"] if score["metric"] == "id")["value"] = 5
    elif harm == "copied":
        wrong = first.with_name(second.name.replace("b-s0", "z-s0"))
        shutil.copytree(first, wrong)
    else:
        wrong = first.parent.with_name("mean-latent") / f"{first.name}"
        shutil.rmtree(wrong, ignore_errors=True)
        shutil.copytree(first, wrong)
    if harm in ("doubled", "impossible"):
        (first / "record.json").write_text(sealed(data))
    loaded = scores.read(runs)
    assert len(loaded.records) == whole - (wrong == first) and [item.path for item in loaded.corrupt] == [wrong]
    (message,) = caplog.messages
    assert message.startswith(f"left out: {wrong}: ") and "\n" not in message
    printed = report.report(runs, layout="full")
    assert printed.count(wrong.relative_to(runs).as_posix()) == 1
    assert status.status_lines(status.status_of(runs))[-1].startswith(f"left out: {wrong}: ")


@pytest.mark.parametrize("count", [1, 3])
def test_records_of_an_older_schema_are_one_warning_with_what_to_do(runs, caplog, count):
    for path in sorted(runs.glob("records/ffhq/guide/*/record.json"))[:count]:
        path.write_text('{"schema": 2, "key": "abc"}')
    loaded = scores.read(runs)
    (message,) = caplog.messages
    assert f"{count} record" in message and "`guidebench run`" in message and f"schema {SCHEMA}" in message
    assert str(loaded.corrupt[0].path) in message and len(loaded.corrupt) == count
    assert f"{count} record" in report.report(runs), "the report says it, too"


def test_a_directory_of_older_records_alone_says_what_to_do(runs, says):
    paths = list(runs.glob("records/**/record.json"))
    for path in runs.glob("**/record.json"):
        path.write_text('{"schema": 1}')
    with pytest.raises(BadInput, match=says(f"{len(paths) + 1} records", "`guidebench run`")):
        scores.load(runs)


def test_directory_with_nothing_readable_says_what_to_do(tmp_path, make_record, write_record, says):
    write_record(tmp_path, make_record()).joinpath("record.json").write_text("{")
    with pytest.raises(BadInput, match=says("1 records", str(tmp_path), f"`guidebench run --out {tmp_path} …`")):
        scores.load(tmp_path)


def test_empty_and_absent_directories_say_what_to_run(tmp_path):
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match="guidebench run --out"):
            scores.load(directory)


def test_trial_without_scores_still_counts(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record(scores=[], protocol=replace(make_record().spec.protocol, identities=1)))
    loaded = scores.load(tmp_path)
    assert len(loaded) == 1
    assert loaded.metric.isna().all()


def collapse(directory, **wanted):
    rows = scores.load(directory).query("metric == 'target_similarity'")
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows.sort_values("identity")


def test_target_similarity_compares_the_identities_of_one_method(runs):
    """All faces of a method are equally alike, see the record builder; 11 views with each of two others."""
    for method, likeness in (("mean-latent", 0.9), ("guide", 0.6)):
        found = collapse(runs, method=method, protocol="ffhq", judge="beta")
        assert list(found.identity) == ["a", "b", "c"]
        assert found.value.tolist() == pytest.approx([likeness] * 3, abs=1e-6)  # embeddings are float32
        assert (found.n == 22).all() and (found.different_people_mean == 0.05).all()
    lost = collapse(runs, method="scramble", protocol="ffhq", judge="alpha")
    assert lost.value.isna().all() and lost.reason.str.contains("0 of 11 pairs").all()


def test_target_similarity_leaves_out_failed_trials_and_other_seeds(runs, make_record, write_record):
    assert list(collapse(runs, method="mine", protocol="ffhq", judge="alpha").identity) == ["a", "c"]
    write_record(runs, make_record("guide", "a", seed=1, protocol="ffhq"))
    found = collapse(runs, method="guide", protocol="ffhq", judge="alpha")
    assert (found[found.seed == 0].n == 22).all()
    alone = found[found.seed == 1]
    assert alone.value.isna().all() and alone.reason.str.contains("identity").all()


def test_a_record_without_evidence_has_no_target_similarity_and_says_why(runs):
    (path,) = {
        row.path
        for row in scores.load(runs).query("method == 'guide' and protocol == 'ffhq' and identity == 'b'").itertuples()
    }
    Path(path, "evidence.npz").unlink()
    found = collapse(runs, method="guide", protocol="ffhq", judge="alpha").set_index("identity")
    assert found.value.isna().to_dict() == {"a": False, "b": True, "c": False}
    assert "evidence.npz" in found.reason["b"]
    assert found.n.to_dict() == {"a": 11, "b": 0, "c": 11}


def test_a_protocol_that_forgets_one_person_has_no_target_similarity(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record(protocol=replace(make_record().spec.protocol, identities=1)))
    assert collapse(tmp_path).empty


def test_peak_memory_is_a_column(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record(identity="a", peak_memory_bytes=3 * 2**30))
    write_record(tmp_path, make_record(identity="b"))
    column = scores.load(tmp_path).groupby("identity").peak_memory_bytes.first()
    assert column["a"] == 3 * 2**30 and column.isna()["b"]


def test_reporting_loads_no_torch(runs):
    code = (
        "import sys; from guidebench.reporting import report, statistics, figures\n"
        f"report.report({str(runs)!r}, 'terminal', layout='full')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_trial_that_forgets_several_people_has_one_group_and_a_score_per_person_and_request(
    tmp_path, make_record, make_score, write_record
):
    """Two requests: a and b, then c; a is looked at after both. Another trial forgets d, e and f."""
    protocol = replace(make_record().spec.protocol, identities=6, forget=3)
    scored = [make_score("id", 0.1, after_request=1), make_score("id", 0.3, after_request=2)]
    scored.append(make_score("id", 0.5, identity="c", after_request=2))
    write_record(tmp_path, make_record(requests=[["a", "b"], ["c"]], protocol=protocol, scores=scored))
    write_record(tmp_path, make_record(requests=[["d", "e", "f"]], protocol=protocol, scores=[]))
    loaded = scores.load(tmp_path)
    own = loaded[loaded.metric == "id"]
    assert (own.group == "a+2").all() and (own.people == 3).all() and (own.role == "forget").all()
    assert list(zip(own.identity, own.after_request, own.value, strict=True)) == [
        ("a", 1, 0.1),
        ("a", 2, 0.3),
        ("c", 2, 0.5),
    ]
    everybody = loaded[(loaded.metric == "target_similarity") & (loaded.judge == "alpha")]
    assert dict(zip(everybody.identity, everybody.group, strict=True)) == {
        **dict.fromkeys("abc", "a+2"),
        **dict.fromkeys("def", "d+2"),
    }
    assert dict(zip(everybody.identity, everybody.after_request, strict=True)) == {
        **dict.fromkeys("abc", 2),
        **dict.fromkeys("def", 1),
    }
    assert (everybody.n == 5 * 11).all() and everybody.value.tolist() == pytest.approx([0.6] * 6, abs=1e-6)


def test_everybody_of_a_trial_without_evidence_has_the_reason(tmp_path, make_record, write_record):
    path = write_record(tmp_path, make_record(requests=[["a"], ["b"]], scores=[]))
    (path / "evidence.npz").unlink()
    write_record(tmp_path, make_record(requests=[["c"], ["d"]], scores=[]))
    found = collapse(tmp_path, judge="alpha").set_index("identity")
    assert found.value.isna().to_dict() == {"a": True, "b": True, "c": False, "d": False}
    assert (found.after_request == 2).all() and found.reason["b"].endswith("evidence.npz does not exist")


def test_a_failed_trial_has_no_cost(runs):
    failed = scores.load(runs).query("status == 'failed'")
    assert failed[["seconds_unlearn", "seconds_total", "steps", "trainable"]].isna().all(axis=None)


def counting(name, compute):
    return CrossMetric(
        name=name,
        title=name,
        latex=name,
        direction="none",
        unit="",
        summary="a test's own",
        judged=False,
        compute=compute,
    )


def test_a_metric_over_several_trials_that_is_registered_is_computed_and_shown(runs, monkeypatch):
    def company(everybody):
        own = {"judge": None, "role": "forget", "after_request": 1}
        return [Score(metric="company", identity=one.identity, value=float(len(everybody)), **own) for one in everybody]

    monkeypatch.setattr(registry, "known_metrics", lambda: {**METRICS, "company": counting("company", company)})
    found = scores.load(runs).query("metric == 'company' and protocol == 'ffhq'")
    assert dict(zip(found.label, found.value, strict=False))["guide"] == 3 and len(found) == 2 + 2 + 3 + 3 + 2
    assert "company" in report.report(runs, layout="full", protocol="ffhq")


@pytest.mark.parametrize("given", [None, "nobody", "a number"])
def test_a_metric_over_several_trials_that_raises_gives_a_reason_per_person(runs, monkeypatch, given):
    def broken(everybody):
        if given is None:
            raise RuntimeError("no idea")
        own = {"judge": None, "role": "forget", "after_request": 1}
        return [1.0] if given == "a number" else [Score(metric="broken", identity=given, value=1.0, **own)]

    monkeypatch.setattr(registry, "known_metrics", lambda: {**METRICS, "broken": counting("broken", broken)})
    loaded = scores.load(runs)
    found = loaded.query("metric == 'broken' and protocol == 'ffhq' and label == 'guide'")
    assert list(found.identity) == ["a", "b", "c"] and found.value.isna().all()
    assert found.reason.str.contains("no idea" if given is None else "is not a score of broken").all()
    assert (loaded.metric == "target_similarity").any(), "other metrics stay"


def test_a_report_reads_every_evidence_once(runs, monkeypatch):
    read, load = [], evidence_files.load_faces_after
    monkeypatch.setattr(evidence_files, "load_faces_after", lambda path: read.append(path) or load(path))
    report.report(runs, layout="full")
    assert read and len(read) == len(set(read))
