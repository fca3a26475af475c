"""The text of a report: which records are in it, and what it refuses."""

from __future__ import annotations

import csv
import io
from collections import Counter

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report, selection
from guidebench.store.folders import scan


def test_keys_choose_trials(runs, says):
    guide = [item.record.key for item in scan(runs)[0] if item.record.spec.method.name == "guide"]
    rows = list(csv.DictReader(io.StringIO(report.report(runs, "csv", keys=guide))))
    assert {row["method"] for row in rows if row["method"]} == {"guide"}
    with pytest.raises(BadInput, match=says(f"`guidebench status {runs}`")):
        report.report(runs, keys=[])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": None}, ["format 'None'", "guidebench report --help"]),
        ({"layout": None}, ["layout 'None'", "auto, compare", "short", "table-4"]),
        ({"layout": "table-5"}, ["layout 'table-5'", "did you mean 'table-"]),
    ],
)
def test_what_is_no_format_or_layout_is_refused_with_what_there_is(runs, options, words, says):
    with pytest.raises(BadInput, match=says(*words)):
        report.report(runs, **options)


@pytest.mark.parametrize("methods", [[], ["guide", "mine", "nothing"], ["mean-latent"], ["guide", "guide"]])
def test_a_comparison_needs_two_methods(runs, says, methods):
    with pytest.raises(
        BadInput, match=says("two different methods", "`guidebench compare DIRECTORY METHOD [AGAINST]`")
    ):
        report.report(runs, layout="compare", method=methods)


def test_a_comparison_takes_the_method_itself_before_its_other_settings(runs, make_record, write_record):
    write_record(runs, make_record("guide", label="guide[lr=1]"))
    alone = report.report(runs, layout="compare", method="guide", protocol="celebahq-multi")
    assert "guide[lr=1]" not in alone.replace("\\", "")
    other = report.report(runs, layout="compare", method="guide[lr=1]", protocol="celebahq-multi")
    assert "guide[lr=1]" in other.replace("\\", "")


@pytest.mark.parametrize("layout", ["auto", "full", "compare"])
def test_a_report_looks_at_each_record_a_few_times(committed, monkeypatch, layout):
    """As often as it has tables, not once per row or other record: thousands of records take seconds."""
    asked, of = [], selection.Variant.of
    monkeypatch.setattr(selection.Variant, "of", lambda record: asked.append(record.key) or of(record))
    report.report(committed, layout=layout, method=["guide"] if layout == "compare" else None)
    assert 1 <= max(Counter(asked).values()) < 20 < len({*asked})


def test_evidence_is_read_only_for_a_column_that_needs_it(runs):
    """A paper's table has no target similarity: it is the same without the files that this is computed from."""
    table, everything = report.report(runs), report.report(runs, layout="full")
    for path in runs.rglob("evidence.npz"):
        path.unlink()
    assert report.report(runs) == table
    assert "its evidence cannot be read" in report.report(runs, layout="full")
    assert "its evidence cannot be read" not in everything


def test_a_comparison_says_which_settings_it_takes_for_a_method_without_a_record_of_its_own(
    tmp_path, make_record, write_record, caplog
):
    for label in ("guide[lr=1]", None):
        runs = tmp_path / str(label)
        write_record(runs, make_record("guide", label=label))
        write_record(runs, make_record("mean-latent"))
        caplog.clear()
        report.report(runs, layout="compare", method="guide")
        messages = [record.getMessage() for record in caplog.records]
        assert [("'guide'" in message, "guide[lr=1]" in message) for message in messages] == (
            [(True, True)] if label else []
        )


def test_brief_is_one_table_per_protocol_and_reads_the_directory_once(runs, monkeypatch):
    digests = sorted({item.record.spec.protocol.digest() for item in scan(runs)[0]})
    each = [report.brief(runs, digest, testbed="mini") for digest in digests]
    reads, read = [], report.scores.read
    monkeypatch.setattr(report.scores, "read", lambda directory: reads.append(directory) or read(directory))
    assert report.brief(runs, digests, testbed="mini") == "\n\n".join(each)
    assert reads == [runs] and len(digests) == 2
