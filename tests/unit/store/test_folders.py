"""Records are complete or absent, whatever happens while they are written."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import pytest

from guidebench.errors import BadInput, StorageError
from guidebench.store import folders
from guidebench.store.folders import Record, Store


def record(**changes):
    base = Record(
        key="k" * 64,
        status="measured",
        protocol={"name": "p"},
        protocol_digest="d",
        testbed="linear",
        conventions="corrected",
        method="guide",
        label="guide",
        fields={"lr": 0.1},
        preset=True,
        source_digest="s",
        floor=False,
        identity="anna b/c",
        seed=0,
        manifest="m",
        digests={},
        judges=["a"],
        strangers={},
        notes={},
        scores=[],
        seconds={},
        steps=1,
        trainable=2,
        device="cpu",
        versions={},
        commit=None,
        created="now",
    )
    return dataclasses.replace(base, **changes)


def write(out, item, folder):
    with Store(out).building(folder) as aside:
        (aside / "record.json").write_text(item.to_json())


def test_a_record_survives_its_file():
    assert Record.from_json(record().to_json()) == record()
    assert record().folder_name() == "anna_b_c-s0-kkkkkkkkkkkk"


def test_long_names_are_cut_and_stay_different():
    names = {folders.slug("guide(" + "x" * 300 + str(place)) for place in range(3)}
    assert len(names) == 3 and max(map(len, names)) == 100


def test_unknown_fields_are_passed_over_and_other_schemas_refused():
    text = record().to_json()
    assert Record.from_json(text.replace('"key":', '"later": 1, "key":')) == record()
    with pytest.raises(ValueError, match="schema 99"):
        Record.from_json(record(schema=99).to_json())
    with pytest.raises(ValueError, match="schema"):
        Record.from_json("[]")


def test_nothing_appears_if_the_writing_fails(tmp_path):
    target = tmp_path / "records" / "p" / "guide" / "one"
    with pytest.raises(RuntimeError), Store(tmp_path).building(target) as aside:
        (aside / "record.json").write_text("half")
        raise RuntimeError
    assert list((tmp_path / "records").rglob("*.json")) == []
    assert not any(target.parent.iterdir())


def test_what_a_killed_process_left_is_removed_but_not_what_a_living_one_builds(tmp_path):
    code = f"""
import os, signal
from guidebench.store.folders import Store
with Store({str(tmp_path)!r}).building(__import__('pathlib').Path({str(tmp_path / "records/p/m/one")!r})) as aside:
    (aside / 'record.json').write_text('half')
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.rglob("record.json"))) == 1
    with Store(tmp_path).building(tmp_path / "records/p/m/two") as aside:
        (aside / "record.json").write_text(record().to_json())
        Store(tmp_path).clean()
        assert aside.is_dir()
    assert [path.parent.name for path in tmp_path.rglob("record.json")] == ["two"]


def test_an_unfinished_folder_is_never_read(tmp_path, says):
    aside = tmp_path / "records/p/m/.building-1-x"
    aside.mkdir(parents=True)
    (aside / "record.json").write_text(record().to_json())
    with pytest.raises(
        BadInput,
        match=says("no records", str(tmp_path), f"`guidebench run --out {tmp_path} --protocol smoke --method guide`"),
    ):
        folders.scan(tmp_path)


def test_a_measured_trial_hides_its_failures_and_the_last_failure_counts(tmp_path):
    for number, reason in ((1, "first"), (2, "second"), (10, "tenth")):
        write(tmp_path, record(status="failed", reason=reason), tmp_path / f"failures/p/m/one/{number}")
    (item,), _ = folders.scan(tmp_path)
    assert item.record.reason == "tenth"
    assert [entry["reason"] for entry in Store(tmp_path).attempts(tmp_path / "failures/p/m/one")][-1] == "tenth"
    write(tmp_path, record(), tmp_path / "records/p/m/one")
    (item,), _ = folders.scan(tmp_path)
    assert item.record.status == "measured"


def test_a_corrupt_record_is_named(tmp_path):
    write(tmp_path, record(), tmp_path / "records/p/m/good")
    write(tmp_path, record(key="x"), tmp_path / "records/p/m/bad")
    (tmp_path / "records/p/m/bad/record.json").write_text("{")
    stored, corrupt = folders.scan(tmp_path)
    assert len(stored) == 1 and [item.path.name for item in corrupt] == ["bad"]


def test_an_existing_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "records/p/m/one"
    write(tmp_path, record(identity="old"), target)
    write(tmp_path, record(identity="new"), target)
    assert folders.read(target).identity == "new"
    assert [path.name for path in target.parent.iterdir()] == ["one"]


def test_a_directory_that_cannot_be_written_is_one_clear_line(tmp_path, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=says(str(tmp_path / "file"), "--out")):
        Store(tmp_path / "file")


def test_a_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(StorageError, match="no space"), Store(tmp_path).building(tmp_path / "records/p/m/one"):
        raise OSError(28, "No space left on device")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a device that is always full")
def test_a_really_full_device_is_recognised(tmp_path):
    with (
        pytest.raises(StorageError, match="no space"),
        folders.storage_errors(tmp_path),
        open("/dev/full", "w") as s,
    ):
        s.write("x")
        s.flush()


def test_a_record_of_schema_1_is_read_as_one_of_today():
    """It knew no neighbours and no memory; its key and scores stay."""
    old = json.loads(record(protocol={"name": "p", "views": 3}, scores=[]).to_json())
    del old["peak_memory_bytes"]
    found = Record.from_json(json.dumps(old | {"schema": 1}))
    assert found.schema == folders.SCHEMA == 2 and found.key == record().key
    assert found.protocol == {"name": "p", "views": 3, "neighbours": 0}
    assert found.peak_memory_bytes is None and "schema 1" in found.notes["memory"]
    assert Record.from_json(found.to_json()) == found


def test_peak_memory_is_a_whole_number_or_missing():
    assert Record.from_json(record(peak_memory_bytes=5).to_json()).peak_memory_bytes == 5
    with pytest.raises(ValueError, match="peak_memory_bytes"):
        Record.from_json(record(peak_memory_bytes="much").to_json())


def test_a_folder_inside_the_records_is_told_where_to_begin(tmp_path):
    inside = tmp_path / "out" / "records" / "p" / "guide" / "a-s0-key"
    inside.mkdir(parents=True)
    (inside / "record.json").write_text(record().to_json())
    for folder in list(inside.parents)[:3]:
        with pytest.raises(BadInput, match=rf"{re.escape(str(folder))}\b.* {re.escape(str(tmp_path))}/out\b(?!/)"):
            folders.scan(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": float("nan")}, ["nan", "'id'", "finite"]),
        ({"value": "0.5"}, ["'0.5'", "'id'", "finite"]),
        ({"n": 1.5}, ["'id'", "count", "integer"]),
    ],
)
def test_what_a_report_would_leave_out_is_not_measured_for_a_run(tmp_path, changes, words, says):
    """Else the same command would never measure it again."""
    score = {"metric": "id", "judge": "a", "identity": "x", "value": 0.1, "reason": None, "n": 1}
    score |= {"lost_before": 0, "lost_after": 0, "after_request": 0}
    text = record(scores=[score]).to_json()
    (tmp_path / "record.json").write_text(text)
    assert Store(tmp_path).measured(tmp_path) is not None
    data = json.loads(text)
    data["scores"][0] |= changes
    (tmp_path / "record.json").write_text(json.dumps(data))
    assert Store(tmp_path).measured(tmp_path) is None
    with pytest.raises(ValueError, match=says(*words)):
        folders.read(tmp_path)


def test_a_file_is_no_directory_of_records(tmp_path, says):
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(BadInput, match=says(str(tmp_path / "record.json"), "file", "records/", "--out")):
        folders.scan(tmp_path / "record.json")
