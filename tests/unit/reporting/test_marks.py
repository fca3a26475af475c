"""Marks behind a row's label, with a footnote each, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.formats import cells, compact, render
from guidebench.reporting.marks import marks_of
from guidebench.reporting.model import Row


def _marked(record, *marks):
    return replace(record, outcome=replace(record.outcome, marks=marks))


@pytest.fixture
def records(make_record):
    plain = [make_record(method, who) for method in ("mean-latent", "guide") for who in "abc"]
    cheat = [make_record("mine", who) for who in "abc"]
    return [*plain, _marked(cheat[0], "in process", "wrapper"), *cheat[1:]]


@pytest.mark.parametrize("style", ["markdown", "latex", "terminal"])
@pytest.mark.parametrize("layout", ["auto", "full", "brief"])
def test_a_mark_stands_behind_the_label_and_below_the_table(build, records, style, layout):
    """In a table of eighty columns several marks are cut, and stand whole in the notes below."""
    text = " ".join(render(build(records, layout), style).replace(r"\scriptsize", "").split())
    behind = "mine (" if layout == "brief" else "mine (wrapper"
    assert behind in text
    for mark, words in (
        ("wrapper", "the returned generator is not the original"),
        ("in process", "ran in the process"),
    ):
        assert f"{mark} (mine): {words}" in text


def test_csv_and_json_hold_the_marks_as_data(build, records):
    report = build(records, "full")
    rows = csv.DictReader(io.StringIO(render(report, "csv")))
    assert {(row["label"], row["marks"]) for row in rows} == {
        ("mean-latent", ""),
        ("guide", ""),
        ("mine", "wrapper; in process"),
    }
    data = json.loads(render(report, "json"))
    assert {row["label"]: row["marks"] for row in data["tables"][0]["rows"]}["mine"] == ["wrapper", "in process"]


def test_a_comparison_names_the_marks_of_both_sides(build, records):
    chosen = [record for record in records if record.spec.method.name != "guide"]
    text = render(build(chosen, "compare", against="mean-latent"), "markdown")
    assert "mine (wrapper, in process) against mean-latent" in text
    assert "against mine (wrapper, in process)" in render(build(chosen, "compare", against="mine"), "markdown")


def test_a_row_has_the_marks_of_any_of_its_records_and_unknown_ones_last(make_record):
    own = [_marked(make_record(), *marks) for marks in (("strange",), ("memorised",), ("wrapper", "strange"))]
    assert marks_of(own) == ("wrapper", "memorised", "strange")


def test_a_long_label_is_cut_before_its_marks():
    row = Row("x", "a-very-long-method-name", "x", "", 1, (), (), ("wrapper",))
    assert cells.label(row, 20) == "a-very-lo… (wrapper)"
    assert len(cells.label(row, 8)) == 8
    assert cells.label(row) == "a-very-long-method-name (wrapper)"


def test_marks_fit_eighty_columns(build, records):
    text = compact.as_compact_text(build(records, "brief"))
    assert max(map(len, text.splitlines())) <= 80


def test_rows_of_different_salts_are_refused_with_how_many_there_are(build, make_record, runs, write_record):
    from guidebench.reporting import report

    salted = make_record("guide", "a")
    write_record(runs, replace(salted, spec=replace(salted.spec, salt=7)))
    with pytest.raises(BadInput, match=r"mix salts: 0 \(\d+ trials\), 7 \(1 trial\).*--out"):
        report.report(runs)
