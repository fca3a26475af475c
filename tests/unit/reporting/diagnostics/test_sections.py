"""Sections of the instrument page: which methods are compared, and what is said where there is nothing to say."""

from __future__ import annotations

import pytest

from guidebench.reporting.diagnostics import sections
from guidebench.reporting.diagnostics.runs import Runs
from guidebench.store.folders import StoredRecord


def runs(records):
    return Runs([StoredRecord(record, f"path/{place}") for place, record in enumerate(records)])


@pytest.mark.parametrize(
    ("methods", "pairs"),
    [
        (["guide"], []),
        (["mean-latent", "guide"], [("guide", "mean-latent")]),  # neighbours and baseline are the same pair
        (
            ["mean-latent", "extrapolated", "guide", "mine"],
            [
                ("extrapolated", "mean-latent"),
                ("guide", "extrapolated"),
                ("guide", "mean-latent"),
                ("mine", "mean-latent"),
            ],
        ),
        (["extrapolated", "guide", "mine"], [("guide", "extrapolated")]),
    ],
)
def test_neighbours_of_the_ladder_are_compared_and_everybody_with_the_baseline(methods, pairs):
    assert sections.compared(methods) == pairs


def test_one_seed_one_method_one_judge_are_said(make_record):
    found = runs([make_record("guide", who, judges=["alpha"]) for who in "abc"])
    assert (
        "guide" in sections.retest_section(found).findings[0]
        and "--seeds" in sections.retest_section(found).findings[0]
    )
    assert sections.resolution_section(found).tables == []
    assert "alpha" in sections.judges_section(found).findings[0] and sections.judges_section(found).tables == []
    assert "nothing, scramble" in sections.brackets_section(found).findings[0]


def test_a_mean_outside_the_brackets_is_named(make_record, make_score):
    """ID: nothing 0.94, scramble 0.0, so guide at 0.02 is between them and mine at -0.06 is not."""
    destroyed = [make_score("id", 0.0, judge) for judge in ("alpha", "beta")]
    records = [make_record(method) for method in ("nothing", "guide", "mine")]
    found = sections.brackets_section(runs([*records, make_record("scramble", scores=destroyed)]))
    outside = {row[0]: row[-1] for row in found.tables[0].rows}
    assert outside["ID (alpha)"] == "mine" and outside["FID_pre"] == "–"


def test_trials_without_evidence_have_no_fid_by_count_and_the_reason(make_record):
    found = sections.samples_section(runs([make_record("guide")]))
    assert any("1 trials without a value" in line and "does not exist" in line for line in found.findings)
