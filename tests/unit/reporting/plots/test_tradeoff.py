"""Forgetting against damage: the same numbers as tables, the front of what is best, floors apart."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.reporting.plots import style, trials
from guidebench.reporting.plots.tradeoff import front, mean_of, tradeoff


def row(found, label):
    return next(one for one in found.variants if one.label == label)


def test_a_mark_is_the_mean_of_the_table_and_a_point_is_a_trial(runs):
    found = trials.load(runs, protocol="ffhq")
    mean = mean_of(found, row(found, "guide"), "fid_pre", "id")
    assert (mean.x, mean.y) == (pytest.approx(8 + 50 * 0.02), pytest.approx(0.04))
    assert sorted(mean.points.tolist()) == [pytest.approx([8 + 50 * shift, 0.02 + shift]) for shift in (0, 0.02, 0.04)]
    assert mean.x_ends[0] < mean.x < mean.x_ends[1] and mean.y_ends[0] < mean.y < mean.y_ends[1]


def test_two_trials_have_no_interval(runs):
    found = trials.load(runs, protocol="ffhq")
    mean = mean_of(found, row(found, "nothing"), "fid_pre", "id")
    assert len(mean.points) == 2 and mean.x_ends is None and mean.y_ends is None


def test_what_has_no_value_is_not_at_zero(runs):
    found = trials.load(runs, protocol="ffhq")
    assert mean_of(found, row(found, "scramble"), "fid_pre", "id") is None
    with style.house():
        figure, caption = tradeoff(found)
    assert "Without values in any panel: scramble" in caption
    assert [axes.get_xlabel() for axes in figure.axes] == ["FID$_{pre}$ ↓", "ID$_{retain}$ ↑"]


def test_better_is_to_the_left_and_below(runs):
    with style.house():
        figure, _ = tradeoff(trials.load(runs, protocol="ffhq"))
    assert [axes.xaxis_inverted() for axes in figure.axes] == [False, True]


@pytest.mark.parametrize(
    ("places", "best"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(1, 2), (1, 1), (2, 1)], [1]),
        ([(3, 0), (0, 3), (2, 2)], [1, 2, 0]),
    ],
)
def test_the_front_holds_what_nothing_beats(places, best):
    assert front(places) == best


def test_what_is_forgotten_ties_on_the_front(runs):
    """Guide's ID is 0.04 and mine's -0.04; both are below the strangers' 0.10 and hence equal."""
    found = trials.load(runs, protocol="ffhq")
    means = [mean_of(found, row(found, label), "fid_pre", "id") for label in ("guide", "mine")]
    assert means[1].y < means[0].y and means[0].tied == means[1].tied == pytest.approx(0.1)
    assert front([(mean.x, mean.tied) for mean in means]) == [0]  # guide costs less


def test_records_without_both_are_refused(tmp_path, make_record, make_score, write_record, says):
    write_record(tmp_path, make_record("guide", "a", scores=[make_score("id", 0.1)]))
    with style.house(), pytest.raises(BadInput, match=says("id or", "fid_pre", "alpha", "--judge")):
        tradeoff(trials.load(tmp_path))
