"""Numbers of a method that were varied alone."""

from __future__ import annotations

from guidebench.reporting.diagnostics.runs import Runs
from guidebench.reporting.diagnostics.sensitivity import sensitivity_section, sweeps
from guidebench.reporting.selection import Variant
from guidebench.store.folders import StoredRecord


def variant(make_record, label=None, method="guide", **fields):
    return Variant.of(make_record(method, label=label, fields=fields))


def test_a_sweep_is_one_number_that_varies_while_all_others_are_equal(make_record):
    lr = {value: variant(make_record, f"guide[lr={value}]", lr=value, steps=3) for value in (0.2, 0.1)}
    (found,) = sweeps([*lr.values(), variant(make_record, "guide[steps=9]", lr=0.4, steps=9)])
    assert (found.title, found.plain) == ("lr of guide", None)
    assert list(found.labels) == [0.1, 0.2] and found.labels[0.1] == "guide[lr=0.1]"


def test_switches_texts_and_other_code_make_no_sweep(make_record):
    assert sweeps([variant(make_record, f"guide[on={value}]", on=value) for value in (True, False)]) == []
    assert sweeps([variant(make_record, f"guide[how={value}]", how=value) for value in "ab"]) == []
    other = [
        Variant.of(make_record("guide", fields={"lr": lr}, source_digest=digit * 64))
        for lr, digit in ((1, "a"), (2, "b"))
    ]
    assert sweeps(other) == []


def test_a_method_as_it_is_is_set_apart_from_a_sweep_that_it_is_not_part_of(make_record):
    swept = [variant(make_record, f"guide[lr={lr},steps=9]", lr=lr, steps=9) for lr in (0.1, 0.2)]
    (found,) = sweeps([*swept, variant(make_record, lr=0.4, steps=3)])
    assert found.plain == "steps=3"


def runs(records):
    return Runs([StoredRecord(record, f"path/{place}") for place, record in enumerate(records)])


def test_a_sweep_is_a_table_over_the_people_that_all_rows_share(make_record, make_score):
    """Everybody's ID is 0.1 under lr = 0.1 and 0.3 under lr = 0.2; person c has no trial of the second."""
    records = []
    for lr, level, people in ((0.1, 0.1, "abc"), (0.2, 0.3, "ab")):
        for who in people:
            scores = [make_score("id", level, identity=who)]
            records.append(make_record("guide", who, label=f"guide[lr={lr}]", fields={"lr": lr}, scores=scores))
    (table,) = sensitivity_section(runs(records)).tables
    assert table.title == "lr of guide (n = 2, seeds 0)" and table.heads[:2] == ("lr", "ID (alpha)")
    assert [row[0] for row in table.rows] == ["0.1", "0.2", "range"] and table.rows[-1][1] == "0.200"


def test_without_a_sweep_the_section_says_what_makes_one(make_record):
    found = sensitivity_section(runs([make_record("guide")]))
    assert found.tables == [] and "`guidebench reproduce table-3`" in found.findings[0]
