"""Which cells are bold: the best of rows that were measured on the same trials."""

from __future__ import annotations

import pytest


def _best(report, metric, judge="alpha"):
    table = report.tables[0]
    place = next(n for n, column in enumerate(table.columns) if (column.metric, column.judge) == (metric, judge))
    return {row.label for row in table.rows if row.cells[place].best}


def _of(make_record, make_score, method, metric, values, judge="alpha", **changes):
    """One record an identity with one score each."""
    return [
        make_record(method, who, scores=[make_score(metric, value, judge, identity=who)], **changes)
        for who, value in zip("abcdefgh", values, strict=False)
    ]


def test_best_is_lowest_or_highest_by_direction_and_never_a_floor(build, make_record, make_score):
    def records(metric):
        rows = {"nothing": (1.0, 1.0), "scramble": (0.0, 0.0), "guide": (0.5, 0.7), "mine": (0.6, 0.8)}
        return [
            record for name, values in rows.items() for record in _of(make_record, make_score, name, metric, values)
        ]

    assert _best(build(records("id")), "id") == {"guide"}
    assert _best(build(records("id_retain"), "full"), "id_retain") == {"mine"}


def test_values_at_or_below_the_mean_of_different_people_tie(build, make_record, make_score):
    """Different people are at 0.10 under alpha: 0.10 and -0.4 are both forgotten, 0.12 is not yet."""
    rows = {"guide": (0.10, 0.10), "mine": (-0.4, -0.4), "other": (0.12, 0.12)}
    records = [record for name, values in rows.items() for record in _of(make_record, make_score, name, "id", values)]
    assert _best(build(records), "id") == {"guide", "mine"}


def test_rows_below_different_people_do_not_tie_where_higher_is_better(build, make_record, make_score):
    rows = {"guide": (0.02, 0.02), "mine": (-0.4, -0.4)}
    records = [r for name, values in rows.items() for r in _of(make_record, make_score, name, "id_retain", values)]
    assert _best(build(records, "full"), "id_retain") == {"guide"}


def test_values_that_are_shown_equal_tie(build, make_record, make_score):
    rows = {"guide": (0.301, 0.301), "mine": (0.304, 0.304)}
    records = [record for name, values in rows.items() for record in _of(make_record, make_score, name, "id", values)]
    assert _best(build(records), "id") == {"guide", "mine"}


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.1), set()), ((0.1, None, 0.1), set()), ((0.35, 0.35), {"guide"}), ((0.35, None, 0.35), {"guide"})],
    ids=["fewer identities, better", "a missing value, better", "fewer identities, worse", "a missing value, worse"],
)
def test_row_of_smaller_coverage_never_wins_and_takes_the_mark_away_if_it_looks_better(
    build, make_record, make_score, values, best
):
    records = _of(make_record, make_score, "mine", "id", values)
    for name, value in (("guide", 0.3), ("mean-latent", 0.4)):
        records += _of(make_record, make_score, name, "id", [value] * 3)
    assert _best(build(records), "id") == best


def test_row_that_lost_faces_has_smaller_coverage(build, make_record, make_score):
    records = [
        make_record("guide", scores=[make_score("id", 0.2)]),
        make_record("other", scores=[make_score("id", 0.3)]),
    ]
    worse, better = (
        [make_record("mine", scores=[make_score("id", value, n=9, lost_after=2)])] for value in (0.25, 0.1)
    )
    assert _best(build(records + worse), "id") == {"guide"}
    assert _best(build(records + better), "id") == set()


def test_rows_without_a_rival_or_with_other_identities_are_not_bold(build, make_record, make_score):
    alone = _of(make_record, make_score, "guide", "id", [0.1])
    assert _best(build(alone), "id") == set()
    other = make_record("mine", "b", scores=[make_score("id", 0.2, identity="b")])
    assert _best(build([*alone, other]), "id") == set()
