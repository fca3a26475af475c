"""Records as a table: nothing missing is a number, nothing broken is silent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from guidebench import registry
from guidebench.errors import BadInput
from guidebench.metric import CrossMetric, Score
from guidebench.metrics import METRICS
from guidebench.reporting import report, scores
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
