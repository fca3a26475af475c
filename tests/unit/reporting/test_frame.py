"""Records as a table: nothing missing is a number, nothing broken is silent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import frame


def test_frame_has_the_documented_columns_and_one_row_per_score(runs):
    loaded = frame.load(runs)
    assert list(loaded.columns) == list(frame.COLUMNS)
    own = loaded[(loaded.method == "guide") & (loaded.protocol == "ffhq") & (loaded.identity == "b")]
    assert len(own) == 2 * 2 + 2  # two judges x (id, id_retain), two Fréchet distances
    row = own[(own.metric == "id") & (own.judge == "alpha")].iloc[0]
    assert row.value == pytest.approx(0.04)
    assert (row.n, row.strangers_mean, row.seconds_unlearn, row.numerics) == (11, 0.10, 20.0, "1")


def test_missing_value_is_missing_and_keeps_its_reason(runs):
    loaded = frame.load(runs)
    own = loaded[(loaded.method == "scramble") & (loaded.metric == "id")]
    assert own.value.isna().all()
    assert own.value.sum() == 0
    assert own.value.count() == 0
    assert own.reason.str.contains("2 of 11 pairs").all()
    assert (own.lost_after == 9).all()


def test_failed_trial_is_one_row_without_a_metric(runs):
    failed = frame.load(runs).query("status == 'failed'")
    assert len(failed) == 1
    assert failed.metric.isna().all()
    assert failed.reason.item() == "the loss is not finite at step 7"
    assert (failed.method.item(), failed.identity.item()) == ("mine", "b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ('{"schema": 99}', "schema 99"),
        (("0.02", "NaN"), "no finite number"),
        (('"value": 0.02', '"value": "low"'), "no finite number"),
        (('"lost_after": 0,', ""), "lacks lost_after"),
        (('"status": "measured"', '"status": "odd"'), "neither measured nor failed"),
    ],
)
def test_corrupt_record_is_named_on_stderr_and_left_out(runs, make_record, write_record, capsys, text, reason):
    path = write_record(runs, make_record("guide", "a")) / "record.json"
    whole = len(frame.read(runs).records)
    content = path.read_text().replace(*text) if isinstance(text, tuple) else text
    path.write_text(content)
    loaded = frame.read(runs)
    assert len(loaded.records) == whole - 1
    assert [item.path for item in loaded.corrupt] == [path.parent]
    message = capsys.readouterr().err
    assert str(path.parent) in message
    assert reason in message
    assert message.count("\n") == 1


def test_directory_with_nothing_readable_says_what_to_do(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record()).joinpath("record.json").write_text("{")
    with pytest.raises(BadInput, match="none of the 1 records .* can be read; .*guidebench run"):
        frame.load(tmp_path)


def test_empty_and_absent_directories_say_what_to_run(tmp_path):
    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(BadInput, match="guidebench run --out"):
            frame.load(directory)


def test_trial_without_scores_still_counts(tmp_path, make_record, write_record):
    write_record(tmp_path, replace(make_record(), scores=[]))
    loaded = frame.load(tmp_path)
    assert len(loaded) == 1
    assert loaded.metric.isna().all()


def test_reporting_loads_no_torch(runs):
    code = (
        "import sys; from guidebench.reporting import tables, statistics, figures\n"
        f"tables.report({str(runs)!r}, 'terminal', layout='full')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
