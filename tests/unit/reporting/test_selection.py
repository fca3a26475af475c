"""Rows that measured different things never share a column; the message says what is mixed and how to part it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report, selection


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"testbed": "linear"},
            ["testbeds", "linear (1 trial), mini (16 trials)", "--testbed linear`", "--testbed mini`"],
        ),
        (
            {"conventions": "published"},
            ["conventions", "corrected (16 trials), published (1 trial)", "--conventions published`"],
        ),
        ({"numerics": 2}, ["numerics", "1 (16 trials), 2", "--out"]),
        ({"precision": "tf32"}, ["precisions", "strict (16 trials), tf32", "--out"]),
        ({"weights": {"alpha": "e" * 64}}, ["alpha", "bbbbbbbbbbbb", "--weights eeeeeeeeeeee"]),
        ({"weights": {"features": "e" * 64}}, ["features", "--weights dddddddddddd"]),
        ({"features": "other features"}, ["mini features, 64 px", "other features", "--out"]),
        ({"manifest": "e" * 64}, ["photo sets", "celebahq-multi", "eeeeeeeeeeee", "--out"]),
    ],
)
def test_mixed_records_are_refused(tmp_path, make_record, write_record, changes, words):
    for method in ("nothing", "guide", "mean-latent", "mine"):
        for identity in "abcd":
            write_record(tmp_path, make_record(method, identity))
    write_record(tmp_path, make_record(label="other", **changes))
    with pytest.raises(BadInput) as error:
        report.report(tmp_path)
    for text in words:
        assert text in str(error.value)
    for option in changes.keys() & {"testbed", "conventions"}:
        chosen = report.report(tmp_path, "csv", **{option: changes[option]})
        rest = report.report(tmp_path, "csv", **{option: {"testbed": "mini", "conventions": "corrected"}[option]})
        assert ",guide,other," in chosen
        assert ",guide,guide," not in chosen
        assert ",guide,guide," in rest
        assert ",guide,other," not in rest


def test_two_variants_of_a_protocol_are_refused_and_can_be_chosen(tmp_path, make_record, write_record):
    first = make_record().spec.protocol
    second = replace(first, samples=5000)
    write_record(tmp_path, make_record(protocol=first))
    write_record(tmp_path, make_record(label="other", protocol=second))
    with pytest.raises(BadInput) as error:
        report.report(tmp_path)
    assert re.search(r"\b2 variants\b.*\bcelebahq-multi\b.*\bsamples 400 or 5000\b", str(error.value))
    assert f"--protocol celebahq-multi@{second.digest()[:12]}`" in str(error.value)
    for chosen in (f"celebahq-multi@{second.digest()[:4]}", second.digest()[:6]):
        assert "5,000 samples" in report.report(tmp_path, protocol=chosen)
    assert "400 samples" in report.report(tmp_path, protocol=f"celebahq-multi@{first.digest()[:8]}")


def test_records_are_grouped_by_row_in_the_order_given(make_record):
    first, second = make_record("guide", "a"), make_record("guide", "b")
    other, changed = make_record("mine", "a"), make_record("guide", "a", source_digest="e" * 64)
    rows = selection.by_variant([first, other, changed, second])
    assert list(rows.values()) == [[first, second], [other], [changed]]
    assert list(rows) == [selection.Variant.of(record) for record in (first, other, changed)]


def test_number_of_people_is_not_a_variant(tmp_path, make_record, write_record):
    first = make_record()
    write_record(tmp_path, first)
    write_record(tmp_path, make_record(label="other", protocol=replace(first.spec.protocol, identities=20)))
    assert "| other" in report.report(tmp_path)


def test_filters_choose_methods_by_name_and_label(runs):
    text = report.report(runs, method="guide", protocol="ffhq")
    assert "guide" in text
    assert "| mean-latent" not in text
    both = report.report(runs, method=["guide", "nothing"])
    assert "nothing (floor" in both
    assert "scramble" not in both


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"method": "guid"}, ["method 'guid'", "'guide'", "guide, mean-latent"]),
        ({"testbed": "linear"}, ["testbed 'linear'", "mini"]),
        ({"protocol": "celeb"}, ["protocol 'celeb'", "celebahq-multi, ffhq"]),
        ({"conventions": "published"}, ["conventions 'published'", "corrected"]),
    ],
)
def test_filter_without_a_match_names_what_is_there(runs, filters, words):
    with pytest.raises(BadInput) as error:
        report.report(runs, **filters)
    assert [word for word in words if word not in str(error.value)] == []


def test_failure_is_dropped_once_changed_code_measured_the_same(tmp_path, make_record, write_record):
    """The key of a trial holds the code's digest, so a fixed method never re-tries the old key."""
    broken = make_record("mine", "a", source_digest="1" * 64, failed="boom", created="2026-01-01")
    write_record(tmp_path, broken)
    assert "1 of 1 failed" in report.report(tmp_path)
    write_record(tmp_path, make_record("mine", "a", source_digest="2" * 64, created="2026-01-02"))
    text = report.report(tmp_path)
    assert "failed" not in text
    assert re.search(r"\b1 failure\b.* code\b", text)
    write_record(tmp_path, make_record("mine", "a", source_digest="3" * 64, failed="boom", created="2026-01-03"))
    assert "1 of 1 failed" in report.report(tmp_path)
