"""The text of a report: which records are in it, and what it refuses."""

from __future__ import annotations

import csv
import io

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report
from guidebench.store.folders import scan


def test_keys_choose_trials(runs, says):
    guide = [item.record.key for item in scan(runs)[0] if item.record.spec.method.name == "guide"]
    rows = list(csv.DictReader(io.StringIO(report.report(runs, "csv", keys=guide))))
    assert {row["method"] for row in rows if row["method"]} == {"guide"}
    with pytest.raises(BadInput, match=says(f"`guidebench status {runs}`")):
        report.report(runs, keys=[])


@pytest.mark.parametrize("methods", [[], ["guide", "mine", "nothing"], ["mean-latent"]])
def test_a_comparison_needs_two_methods(runs, says, methods):
    with pytest.raises(BadInput, match=says("two methods", "`guidebench compare DIRECTORY METHOD [AGAINST]`")):
        report.report(runs, layout="compare", method=methods)


def test_a_comparison_takes_the_method_itself_before_its_other_settings(runs, make_record, write_record):
    write_record(runs, make_record("guide", label="guide[lr=1]"))
    alone = report.report(runs, layout="compare", method="guide", protocol="celebahq-multi")
    assert "guide[lr=1]" not in alone.replace("\\", "")
    other = report.report(runs, layout="compare", method="guide[lr=1]", protocol="celebahq-multi")
    assert "guide[lr=1]" in other.replace("\\", "")


def test_brief_is_one_table_per_protocol_and_reads_the_directory_once(runs, monkeypatch):
    digests = sorted({item.record.spec.protocol.digest() for item in scan(runs)[0]})
    each = [report.brief(runs, digest, testbed="mini") for digest in digests]
    reads, read = [], report.scores.read
    monkeypatch.setattr(report.scores, "read", lambda directory: reads.append(directory) or read(directory))
    assert report.brief(runs, digests, testbed="mini") == "\n\n".join(each)
    assert reads == [runs] and len(digests) == 2
