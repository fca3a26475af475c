"""Forgotten is forgotten: what lies below two strangers' mean is equal in every comparison of methods."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from guidebench.metrics import METRICS
from guidebench.reporting import differences, paper_claims, scores, statistics
from guidebench.reporting.diagnostics.runs import Runs
from guidebench.reporting.diagnostics.sections import resolution_section
from guidebench.reporting.ties import is_forgotten, tie_of, tied
from guidebench.store.folders import StoredRecord

STRANGERS = 0.10  # under judge alpha


def _stored(records):
    return [StoredRecord(record, "path") for record in records]


def _cell(report, label, metric="id"):
    table = report.tables[0]
    place = next(place for place, column in enumerate(table.columns) if column.metric == metric)
    return next(row.cells[place] for row in table.rows if row.label == label)


def test_values_below_different_people_are_lifted_and_missing_ones_stay_missing():
    frame = pd.DataFrame({"value": pd.array([-0.5, 0.1, 0.3, None], "Float64")})
    assert tied(frame, 0.1)["value"].tolist() == [0.1, 0.1, 0.3, pd.NA]
    assert tied(frame, None) is frame


@pytest.mark.parametrize(
    ("metric", "ties"),
    [("id", True), ("id_others", True), ("id_photo", True), ("id_neighbour", True), ("target_similarity", True)]
    + [("id_retain", False), ("inversion", False), ("fid_pre", False), ("precision", False)],
)
def test_only_similarities_of_which_less_is_better_tie(metric, ties):
    frame = pd.DataFrame({"value": [0.0], "different_people_mean": [STRANGERS]})
    assert (tie_of(frame, METRICS[metric]) == STRANGERS) is ties


def test_without_a_known_mean_nothing_ties():
    frame = pd.DataFrame({"value": [0.0], "different_people_mean": [None]})
    assert tie_of(frame, METRICS["id"]) is None and tie_of(frame[["value"]], METRICS["id"]) is None
    assert tie_of(frame, None) is None


@pytest.mark.parametrize(
    ("values", "forgotten"),
    [
        ([0.0, 0.05, 0.12, 0.2], True),  # 0.0925, below
        ([0.0, 0.05, 0.3, 0.2], True),  # 0.1375 [-0.08, 0.35] holds 0.1: nobody can tell
        ([0.2, 0.21, 0.2, 0.22], False),
        ([0.11, 0.11], False),  # two people have no interval worth the name
        ([0.09, 0.09], True),
    ],
)
def test_a_mean_ties_by_its_interval(make, values, forgotten):
    frame = scores.from_records(_stored(make("guide", values)), {})
    assert is_forgotten(statistics.summarise(statistics.select(frame, "id", "alpha")), STRANGERS) is forgotten


def test_differences_effects_and_p_are_of_values_that_tie(build, make):
    """Guide is far below strangers for half of the people, where the baseline is just below them: no difference."""
    baseline = [0.05, 0.09, 0.30, 0.25, 0.08, 0.02, 0.28, 0.31]
    guide = [-0.60, -0.50, 0.20, 0.35, -0.70, -0.40, 0.20, 0.30]
    report = build(make("mean-latent", baseline) + make("guide", guide), "full")
    difference = _cell(report, "guide").contrast.difference
    lifted = [max(a, STRANGERS) - max(b, STRANGERS) for a, b in zip(guide, baseline, strict=True)]
    assert list(difference.values.values()) == pytest.approx(lifted)
    assert (difference.wins, difference.ties, difference.n) == (3, 4, 8)
    assert _cell(report, "guide").contrast.p == statistics.sign_flip(lifted).p
    assert _cell(report, "guide").summary.mean == pytest.approx(sum(guide) / 8)  # what is shown was measured
    assert "3 of 8, 4 tie" in differences.differences(report)[0].rows[0]


def test_orderings_and_resolution_tie_as_tables_do(make):
    records = _stored(make("mean-latent", [0.0, 0.05, 0.02, 0.09]) + make("guide", [-0.9, -0.8, -0.7, -0.6]))
    frame = scores.from_records(records, {})
    (finding,) = paper_claims.findings(frame)
    assert finding.verdict == "not separable" and finding.difference.ties == 4
    (table,) = resolution_section(Runs(records)).tables
    assert table.rows[0][2].startswith("0.000")


def test_means_that_tie_are_all_bold_and_none_is_for_being_lower(build, make):
    """0.12 [0.06, 0.18] holds 0.10; -0.4 is far below; 0.115 [0.111, 0.119] is above, but below a mean that ties."""
    rows = {"guide": [0.08, 0.16, 0.08, 0.16], "mine": [-0.4] * 4, "other": [0.113, 0.117, 0.113, 0.117]}
    records = [record for method, values in rows.items() for record in make(method, values)]
    report = build(records)
    assert {label for label in rows if _cell(report, label).best} == set(rows)
    worse = build(records + make("fourth", [0.2, 0.21, 0.2, 0.21]))
    assert {label for label in (*rows, "fourth") if _cell(worse, label).best} == set(rows)


def test_two_means_that_tie_have_both_forgotten_unless_a_test_separates_them(build, make):
    """People a little above strangers, alike for both: no knife's edge. Always above for one: worse."""
    wide = [0.0, 0.02, 0.28, 0.05, 0.25, 0.01, 0.3, 0.04]
    other = [0.27, 0.02, 0.01, 0.3, 0.0, 0.03, 0.04, 0.26]
    (found,) = differences.comparison(
        build(make("mean-latent", wide) + make("guide", other), "compare", against="mean-latent")
    )
    assert found.rows[0][-1] == "both forgotten"
    above = [0.2, 0.3, 0.25, 0.28, 0.22, 0.31, 0.27, 0.24]
    (found,) = differences.comparison(
        build(make("mean-latent", wide) + make("guide", above), "compare", against="mean-latent")
    )
    assert found.rows[0][-1] != "both forgotten"


def test_a_metric_in_another_unit_never_ties():
    share = dataclasses.replace(METRICS["id"], unit="share")
    assert METRICS["id"].ties and not share.ties
