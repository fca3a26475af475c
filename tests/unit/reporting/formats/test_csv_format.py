"""CSV: what changes in it if one recorded number changes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.reporting import report
from guidebench.store import folders


def _cells(directory):
    lines = csv.DictReader(io.StringIO(report.report(directory, "csv", layout="full")))
    return {(line["protocol"], line["label"], line["metric"], line["judge"]): line for line in lines}


def _edit(directory, label, identity, metric, judge, value):
    (folder,) = directory.glob(f"records/celebahq-multi/{label}/{identity}-s0-*")
    record = folders.read(folder)
    scores = [
        replace(score, value=value) if (score.metric, score.judge) == (metric, judge) else score
        for score in record.outcome.scores
    ]
    folders.rewrite_record(replace(record, outcome=replace(record.outcome, scores=tuple(scores))), folder)


def _changed(before, after, *columns):
    """The cells in which one of these columns changed."""
    assert before.keys() == after.keys()
    return {place[1:] for place in before if any(before[place][name] != after[place][name] for name in columns)}


def test_editing_one_score_changes_exactly_its_cell(committed):
    """Under the second judge nothing is tested, so that one value feeds one cell, bold marks of rivals aside."""
    before = _cells(committed)
    _edit(committed, "guide", "p4", "id_others", "beta", 0.5)
    after = _cells(committed)
    every = set(after["celebahq-multi", "guide", "id", "beta"]) - {"best"}
    place = ("guide", "id_others", "beta")
    assert _changed(before, after, *every) == {place}
    # make_records.py: the steps of nine people cancel around 0.29, but p1's second seed is a step of 0.01 further
    level, of_p1, of_p4 = 0.29, 0.5 * 0.01, 0.29 - 0.5 * 0.01
    assert float(after["celebahq-multi", *place]["mean"]) == pytest.approx(level + (of_p1 + 0.5 - of_p4) / 9)


def test_editing_a_tested_score_moves_its_cell_and_the_adjusted_p_of_its_family(committed):
    before = _cells(committed)
    _edit(committed, "guide", "p4", "id", "alpha", 0.9)
    after = _cells(committed)
    place = ("guide", "id", "alpha")
    assert _changed(before, after, "mean", "std", "ci95_low", "difference", "difference_ci95_low", "effect", "p") == {
        place
    }
    moved = _changed(before, after, "p_adjusted")
    assert place in moved
    assert {judge for _, _, judge in moved} <= {"alpha", ""}
    assert _changed(before, after, "pairs", "family", "p_attainable", "groups_paired") == set()


def test_editing_the_reference_moves_its_cell_and_the_differences_to_it(committed):
    before = _cells(committed)
    _edit(committed, "mean-latent", "p4", "fid_pre", None, 30.0)
    after = _cells(committed)
    assert _changed(before, after, "mean", "std") == {("mean-latent", "fid_pre", "")}
    assert _changed(before, after, "difference") == {("guide", "fid_pre", ""), ("mine", "fid_pre", "")}


def test_numbers_have_all_their_digits(committed):
    """The mean of nine people's values as Python writes it: whoever reads it back gets the same float."""
    place = ("celebahq-multi", "guide", "id", "alpha")
    shown = _cells(committed)[place]["mean"]
    assert repr(float(shown)) == shown and len(shown) > 12
    exported = CliRunner().invoke(main, ["scores", str(committed)]).output
    values = [row["value"] for row in csv.DictReader(io.StringIO(exported)) if row["value"]]
    assert [repr(float(value)) for value in values] == values
