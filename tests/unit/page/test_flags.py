"""What makes a row of the page unreliable."""

from __future__ import annotations

import pytest

from guidebench.page.flags import flags_of, seen


@pytest.fixture
def flags(build):
    """Of a row of a full report: kind and text of every flag."""

    def of(records, label="guide"):
        report = build(records, "full")
        cells, rows = {}, [row for table in report.tables for row in table.rows if row.label == label]
        for table in report.tables:
            cells |= {column: cell for row, column, cell in table.placed() if row.label == label}
        return flags_of(rows[0], cells, report.against)

    return of


def both(make_record, make_score, method, alpha, beta):
    """Records of one metric under two judges, a person per value."""
    return [
        make_record(
            method,
            person,
            scores=[
                make_score("id_retain", value, judge, identity=person)
                for judge, value in zip(("alpha", "beta"), pair, strict=True)
            ],
        )
        for person, pair in zip("abcdef", zip(alpha, beta, strict=True), strict=False)
    ]


SPREAD = (0.00, 0.01, 0.02, 0.01, 0.00, 0.02)


@pytest.mark.parametrize(
    ("second", "disagree"),
    [
        (+0.20, False),  # both see an improvement of as much
        (+0.30, False),  # by another amount
        (0.0, True),  # the second one sees none
        (-0.20, True),  # the opposite
    ],
)
def test_judges_disagree_where_they_answer_differently(make_record, make_score, flags, second, disagree):
    base = [0.5] * 6
    alpha, beta = [0.7 + one for one in SPREAD], [0.5 + second + one for one in reversed(SPREAD)]
    records = both(make_record, make_score, "mean-latent", base, base)
    records += both(make_record, make_score, "guide", alpha, beta)
    found = flags(records)
    assert [flag.kind for flag in found] == ["judges disagree"] * disagree
    if disagree:
        assert "mean-latent" in found[0].text and "0.210 (alpha)" in found[0].text
        assert [column.judge for column in found[0].columns] == ["alpha", "beta"]


def test_a_difference_within_the_spread_is_no_disagreement(make_record, make_score, flags):
    wide = (-0.5, 0.4, -0.2, 0.6, -0.4, 0.3)
    base = [0.5] * 6
    records = both(make_record, make_score, "mean-latent", base, base) + both(
        make_record, make_score, "guide", [0.5 + one for one in wide], [0.45 - one / 9 for one in wide]
    )
    assert flags(records) == []


@pytest.mark.parametrize(("lost", "flagged"), [(1, False), (2, True)])
def test_faces_are_lost_from_a_tenth_of_the_pairs_on(make_record, make_score, flags, lost, flagged):
    score = make_score("id", 0.1, identity="a", n=18 if lost == 2 else 19, lost_after=lost)
    found = flags([make_record("guide", "a", scores=[score])])
    assert [flag.kind for flag in found] == ["faces lost"] * flagged
    assert not flagged or "2 of 20" in found[0].text


def test_training_that_nobody_saw_is_said(make_record, flags, build):
    records = [make_record("guide", "a", training_seen=False)]
    assert [flag.kind for flag in flags(records)] == ["training not seen"]
    assert not seen(build(records, "full").tables[0].rows[0])
