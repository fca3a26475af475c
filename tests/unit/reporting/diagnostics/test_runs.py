"""The trials of one protocol, by method and quantity."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.diagnostics.runs import Quantity, Runs, Section, percent, shown_mean
from guidebench.reporting.differences import TextTable
from guidebench.reporting.statistics import Summary
from guidebench.store.folders import StoredRecord


def runs(records):
    return Runs([StoredRecord(record, f"path/{place}") for place, record in enumerate(records)])


def test_methods_are_in_the_order_of_tables_without_floors_and_without_other_settings(make_record):
    records = [make_record(method) for method in ("mine", "scramble", "guide", "mean-latent")]
    records += [make_record("guide", label="guide[lr=1]"), make_record("other", label="other[lr=1]")]
    found = runs(records)
    assert found.methods == ["mean-latent", "guide", "mine", "other[lr=1]"]
    assert found.floors == ["scramble"] and found.judges == ["alpha", "beta"]


def test_a_judged_metric_is_one_quantity_per_judge(make_record):
    found = runs([make_record("guide")])
    assert [quantity.title for quantity in found.quantities(["id", "fid_pre", "kid_pre"])] == [
        "ID (alpha)",
        "ID (beta)",
        "FID_pre",
    ]
    assert found.scores("guide", Quantity("id", "beta"))["value"].tolist() == [0.03]


def test_units_are_groups_and_seeds_of_measured_trials(make_record):
    records = [make_record("guide", who, seed=seed) for who in "ab" for seed in (0, 1)]
    found = runs([*records, make_record("guide", "c", failed="no")])
    assert found.units("guide") == {("a", 0), ("a", 1), ("b", 0), ("b", 1)}
    assert (found.people("guide"), found.failed, len(found.trials("guide"))) == (2, 1, 4)


def test_floors_alone_are_answered_with_what_to_run(make_record, says):
    with pytest.raises(BadInput, match=says("celebahq-multi", "`guidebench run --protocol celebahq-multi")):
        runs([make_record("nothing")])


@pytest.mark.parametrize(("share", "text"), [(0.5, "50 %"), (0.0994, "9.9 %"), (0.0996, "10 %"), (None, "–")])
def test_per_cent_have_a_decimal_below_ten(share, text):
    assert percent(share) == text


def test_a_mean_names_its_coverage_where_somebody_has_no_value():
    of = {"std": None, "low": None, "high": None, "missing": 1, "scores": 3}
    assert shown_mean(Summary(mean=0.1234, n=2, groups=3, **of), Quantity("id", "alpha")) == "0.123 (2 of 3)"
    assert shown_mean(Summary(mean=0.1234, n=3, groups=3, **of), Quantity("fid_pre", None)) == "0.12"
    assert shown_mean(None, Quantity("id", "alpha")) == ""


def test_a_section_is_its_heading_its_reading_findings_and_tables():
    section = Section("Title", "How to read it.", ["One."], [TextTable("", ("a", "b"), (("1", "2"),))])
    parts = section.markdown().split("\n\n")
    assert parts[:3] == ["## Title", "How to read it.", "- One."] and "| a" in parts[3]
    assert Section("Title", "How to read it.").markdown() == "## Title\n\nHow to read it."
