"""Means, intervals and paired differences, by hand and by simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.reporting import frame, statistics
from guidebench.store import StoredRecord


def _frame(records):
    return frame.from_records([StoredRecord(record, f"path/{place}") for place, record in enumerate(records)])


def _record(make_record, make_score, method, identity, value, *, seed=0, metric="id"):
    return make_record(method, identity, seed=seed, scores=[make_score(metric, value, identity=identity)])


def _summary(records, metric="id"):
    return statistics.summarise(statistics.select(_frame(records), metric, "alpha"))


def test_mean_std_and_interval_by_hand(make_record, make_score):
    """1, 2, 3, 4: mean 2.5, std sqrt(5/3), t(0.975, 3) = 3.18245, half width t std / 2."""
    values = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    summary = _summary([_record(make_record, make_score, "guide", who, value) for who, value in values.items()])
    half = 3.1824463053 * math.sqrt(5 / 3) / 2
    assert (summary.mean, summary.n, summary.missing) == (2.5, 4, 0)
    assert summary.std == pytest.approx(math.sqrt(5 / 3))
    assert (summary.low, summary.high) == pytest.approx((2.5 - half, 2.5 + half))
    assert summary.pairs == 44


def test_seeds_are_averaged_within_an_identity_first(make_record, make_score):
    """Person a has seeds 0 and 1, b only seed 0: (0.5 + 3) / 2, not the mean of all three values."""
    rows = [("a", 0, 0.0), ("a", 1, 1.0), ("b", 0, 3.0)]
    summary = _summary([_record(make_record, make_score, "guide", who, v, seed=seed) for who, seed, v in rows])
    assert (summary.mean, summary.n) == (1.75, 2)
    assert summary.std == pytest.approx(2.5 / math.sqrt(2))


def test_missing_is_counted_and_never_zero(make_record, make_score):
    rows = [("a", 0.4), ("b", 0.6), ("c", None)]
    summary = _summary([_record(make_record, make_score, "guide", who, value) for who, value in rows])
    assert summary.mean == pytest.approx(0.5)
    assert (summary.n, summary.identities, summary.missing, summary.lost_after) == (2, 3, 1, 9)
    assert "2 of 11 pairs" in summary.reason


def test_one_identity_has_no_spread_and_none_has_no_mean(make_record, make_score):
    one = _summary([_record(make_record, make_score, "guide", "a", 0.4)])
    assert (one.mean, one.std, one.low, one.high, one.n) == (0.4, None, None, None, 1)
    none = _summary([_record(make_record, make_score, "guide", "a", None)])
    assert (none.mean, none.std, none.low, none.n, none.identities) == (None, None, None, 0, 1)
    assert _summary([_record(make_record, make_score, "guide", "a", 0.4)], metric="id_others") is None


def test_select_takes_the_last_request_of_a_scenario(make_record, make_score):
    scores = [make_score("id", value, after_request=place) for place, value in enumerate((0.9, 0.1))]
    assert _summary([make_record("guide", "a", scores=scores)]).mean == pytest.approx(0.1)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_interval_covers_the_mean_in_95_percent_of_normal_samples(n, capsys):
    """4,000 samples: the standard error of the share is 0.0034; the tolerance is four of them."""
    samples = np.random.default_rng(n).normal(0.3, 0.1, size=(4000, n))
    covered = 0
    for sample in samples:
        low, high = statistics.t_interval(sample)
        covered += low <= 0.3 <= high
    with capsys.disabled():
        print(f"\n95 % interval, n = {n}: {covered / 4000:.2%} of 4000 samples covered")
    assert covered / 4000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


def test_paired_difference_by_hand(make_record, make_score):
    """Differences -1, -2, -3 have mean -2 and std 1: half width t(0.975, 2) / sqrt(3)."""
    values = {"guide": {"a": 1.0, "b": 1.0, "c": 1.0}, "mine": {"a": 2.0, "b": 3.0, "c": 4.0}}
    table = _frame(
        [_record(make_record, make_score, method, who, v) for method, own in values.items() for who, v in own.items()]
    )
    result = statistics.paired(table, "id", "alpha", "guide", "mine")
    half = 4.30265273 / math.sqrt(3)
    assert (result.mean, result.n, result.wins, result.missing) == (-2.0, 3, 3, 0)
    assert (result.low, result.high) == pytest.approx((-2 - half, -2 + half))
    assert statistics.paired(table, "id", "alpha", "guide", "mine", direction="higher").wins == 0
    swapped = statistics.paired(table, "id", "alpha", "mine", "guide")
    assert (swapped.mean, swapped.wins) == (2.0, 0)


def test_paired_takes_only_trials_that_both_have(make_record, make_score):
    """Person b lacks a value, c lacks the trial, a has two seeds: one pair of identities, two trials without."""
    rows = [
        ("guide", "a", 0, 0.1),
        ("guide", "a", 1, 0.3),
        ("mine", "a", 0, 0.2),
        ("mine", "a", 1, 0.6),
        ("guide", "b", 0, None),
        ("mine", "b", 0, 0.5),
        ("guide", "c", 0, 0.5),
    ]
    table = _frame([_record(make_record, make_score, method, who, v, seed=seed) for method, who, seed, v in rows])
    result = statistics.paired(table, "id", "alpha", "guide", "mine")
    assert result.mean == pytest.approx(-0.2)
    assert (result.n, result.low, result.wins, result.missing) == (1, None, 1, 2)


def test_paired_refuses_what_cannot_be_paired(make_record, make_score):
    one = _record(make_record, make_score, "guide", "a", 0.1)
    with pytest.raises(BadInput, match="no id of 'mine' in these records; they hold guide"):
        statistics.paired(_frame([one]), "id", "alpha", "guide", "mine")
    other = replace(one, protocol_digest="e" * 64, key="other")
    with pytest.raises(BadInput, match="one protocol_digest"):
        statistics.paired(_frame([one, other]), "id", "alpha", "guide", "guide")
    edited = replace(one, source_digest="e" * 64, key="edited")
    with pytest.raises(BadInput, match="several versions of its code"):
        statistics.paired(_frame([one, edited]), "id", "alpha", "guide", "guide")
