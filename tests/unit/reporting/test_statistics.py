"""Means, intervals and paired differences, by hand and by simulation."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from guidebench.errors import BadInput
from guidebench.reporting import scores, statistics
from guidebench.store.folders import StoredRecord


def _frame(records):
    return scores.from_records([StoredRecord(record, f"path/{place}") for place, record in enumerate(records)])


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
    assert (summary.n, summary.groups, summary.missing, summary.lost_after) == (2, 3, 1, 9)
    assert "2 of 11 pairs" in summary.reason


def test_one_identity_has_no_spread_and_none_has_no_mean(make_record, make_score):
    one = _summary([_record(make_record, make_score, "guide", "a", 0.4)])
    assert (one.mean, one.std, one.low, one.high, one.n) == (0.4, None, None, None, 1)
    none = _summary([_record(make_record, make_score, "guide", "a", None)])
    assert (none.mean, none.std, none.low, none.n, none.groups) == (None, None, None, 0, 1)
    assert _summary([_record(make_record, make_score, "guide", "a", 0.4)], metric="id_others") is None


def test_select_takes_each_persons_last_score_of_a_trial(make_record, make_score):
    """A metric that looks at everybody after every request counts once; one that looks once, at whom it looks."""
    scores = [make_score("id", value, after_request=place) for place, value in enumerate((0.9, 0.1), start=1)]
    assert _summary([make_record("guide", "a", scores=scores)]).mean == pytest.approx(0.1)
    scores = [
        make_score("inversion", value, identity=who, after_request=place)
        for who, value, place in (("a", 0.9, 1), ("b", 0.1, 2))
    ]
    found = _summary([make_record("guide", requests=[["a"], ["b"]], scores=scores)], metric="inversion")
    assert found.mean == pytest.approx(0.5) and found.scores == 2


def _together(make_record, make_score, method, people, values, seed=0):
    scores = [make_score("id", value, identity=who) for who, value in zip(people, values, strict=True)]
    return make_record(method, requests=[list(people)], seed=seed, scores=scores)


def test_people_who_are_forgotten_together_are_one_group(make_record, make_score):
    """a and b together: seed 0 (0.0 + 1.0) / 2, seed 1 (2.0 + 3.0) / 2, so 1.5; c and d: only d has a value, 4.5."""
    summary = _summary(
        [
            _together(make_record, make_score, "guide", "ab", (0.0, 1.0)),
            _together(make_record, make_score, "guide", "ab", (2.0, 3.0), seed=1),
            _together(make_record, make_score, "guide", "cd", (None, 4.5)),
        ]
    )
    assert (summary.mean, summary.n, summary.groups, summary.missing, summary.scores) == (3.0, 2, 2, 1, 6)
    assert summary.std == pytest.approx(3.0 / math.sqrt(2))
    assert summary.units == {("a+1", 0), ("a+1", 1), ("c+1", 0)}


def test_groups_are_paired_as_people_are(make_record, make_score):
    """Differences of the groups' means: (1.5 - 2.5) and (2.0 - 4.0); people of a group cannot be paired apart."""
    values = {"guide": ((1.0, 2.0), (2.0, 2.0)), "mine": ((2.0, 3.0), (3.0, 5.0))}
    table = _frame(
        [
            _together(make_record, make_score, method, people, own)
            for method, both in values.items()
            for people, own in zip(("ab", "cd"), both, strict=True)
        ]
    )
    found = statistics.paired(table, "id", "alpha", "guide", "mine")
    assert (dict(found.values), found.n, found.wins) == ({"a+1": -1.0, "c+1": -2.0}, 2, 2)


def _coverage(samples, mean, interval):
    """The share of samples whose interval holds the mean."""
    covered = 0
    for sample in samples:
        low, high = interval(sample)
        covered += low <= mean <= high
    return covered / len(samples)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_interval_covers_the_mean_in_95_percent_of_normal_samples(n, capsys):
    """4,000 samples: the standard error of the share is 0.0034, so that 93-97 % is nearly six of them to each side.

    On lognormal samples the t interval covers less: printed, not asserted, as that is the data's doing.
    """
    draws = np.random.default_rng(n)
    normal = _coverage(draws.normal(0.3, 0.1, size=(4000, n)), 0.3, statistics.t_interval)
    skewed = _coverage(draws.lognormal(0.0, 1.0, size=(4000, n)), math.exp(0.5), statistics.t_interval)
    with capsys.disabled():
        print(f"\n95 % t interval, n = {n}: covers {normal:.1%} of normal, {skewed:.1%} of lognormal samples")
    assert 0.93 <= normal <= 0.97


def test_bootstrap_interval_is_given_from_thirty_groups_on(capsys):
    """200 normal samples of 30: standard error 0.0154, four of them below; BCa is known to cover a little less."""
    draws = np.random.default_rng(30)
    normal = _coverage(draws.normal(0.3, 0.1, size=(200, 30)), 0.3, statistics.bca_interval)
    skewed = _coverage(draws.lognormal(0.0, 1.0, size=(200, 30)), math.exp(0.5), statistics.bca_interval)
    with capsys.disabled():
        print(f"\n95 % BCa interval, n = 30: covers {normal:.1%} of normal, {skewed:.1%} of lognormal samples")
    assert normal >= 0.95 - 4 * 0.0154
    assert statistics.bca_interval([0.1] * 29 + [0.2]) is not None
    assert statistics.bca_interval([0.1] * 28 + [0.2]) is None
    assert statistics.bca_interval([0.1] * 30) is None


def test_bootstrap_interval_is_the_same_at_every_call_and_follows_the_data():
    values = np.random.default_rng(0).lognormal(size=40)
    first = statistics.bca_interval(values)
    assert statistics.bca_interval(values) == first
    assert statistics.bca_interval(values + 1) == pytest.approx((first[0] + 1, first[1] + 1))
    assert first[0] < values.mean() < first[1]


def test_summary_and_difference_hold_the_bootstrap_interval(make_record, make_score):
    people = [f"p{number:02}" for number in range(30)]
    values = dict(zip(people, np.random.default_rng(1).normal(size=30), strict=True))
    metric = "id_retain"  # values of which none ties
    records = [_record(make_record, make_score, "guide", who, value, metric=metric) for who, value in values.items()]
    records += [_record(make_record, make_score, "mine", who, 0.0, metric=metric) for who in people]
    summary = statistics.summarise(statistics.select(_frame(records[:30]), metric, "alpha"))
    assert summary.bca == statistics.paired(_frame(records), metric, "alpha", "guide", "mine").bca
    assert summary.bca[0] < summary.mean < summary.bca[1]


def test_each_metric_is_selected_as_if_alone(make_record, make_score):
    """Two requests, of which the last score counts; another judge, a metric without one, a value lost, a failure."""
    scored = [make_score("id", value, after_request=request) for request, value in ((1, 0.1), (2, None))]
    scored += [make_score("id", 0.2, judge="beta"), make_score("fid_pre", 9.0, judge=None)]
    records = [make_record("guide", who, seed=seed, scores=scored) for who in "ab" for seed in (0, 1)]
    frame = _frame([*records, make_record("guide", "c", failed="the loss is not finite")])
    found = statistics.select_each(frame)
    for metric, judge in (("id", "alpha"), ("id", "beta"), ("fid_pre", None), ("target_similarity", "alpha")):
        selected = found[metric, judge]
        pd.testing.assert_frame_equal(selected, statistics.select(frame, metric, judge))
        assert len(selected) == 4
    assert set(found["id", "alpha"]["after_request"]) == {2}


# The sign-flip test -----------------------------------------------------------------------------------------------


def test_sign_flip_by_hand():
    """-1, -2, -3 and 1 sum to -5. All of one sign they would sum to 7, and each that has the other sign takes away
    twice its size: at least 5 is left if none (1 pattern) or one of the two ones (2 patterns) has it. With the mirror
    images these are 6 of 16 patterns.
    """
    assert statistics.sign_flip([-1, -2, -3, 1]) == statistics.SignFlip(6 / 16, exact=True)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_is_the_enumeration_of_all_signs(n):
    values = np.random.default_rng(n).normal(0.5, 1.0, n).round(1)  # rounded: sums tie
    reached = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True))) >= abs(values.sum()) - 1e-9
        for signs in itertools.product((-1, 1), repeat=n)
    ]
    assert statistics.sign_flip(values).p == sum(reached) / 2**n


def test_sign_flip_agrees_with_scipy():
    values = np.random.default_rng(3).normal(0.3, 1.0, 12)
    theirs = stats.permutation_test((values,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert statistics.sign_flip(values).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_sums_that_differ_by_rounding_only_tie():
    """0.1 + 0.2 - 0.3 is 5.6e-17: without a tolerance, patterns of equal sum would be told apart by the last bit."""
    values = [0.1, 0.2, -0.3, 0.3]
    assert statistics.sign_flip(values).p == statistics.sign_flip([1, 2, -3, 3]).p
    assert statistics.sign_flip(values).p == statistics.sign_flip([value * 1e6 for value in values]).p


def test_equal_methods_have_p_1_and_an_order_or_a_sign_changes_nothing():
    assert statistics.sign_flip([0.0, 0.0, 0.0]).p == 1.0
    values = [0.3, -0.1, 0.4, 0.1, 0.2]
    assert {statistics.sign_flip(found).p for found in (values, values[::-1], [-v for v in values])} == {
        6 / 32
    }  # 0.9 of 1.1 is left by flipping nothing or one 0.1
    with pytest.raises(ValueError, match="difference"):
        statistics.sign_flip([])


def test_beyond_twenty_differences_signs_are_drawn_and_agree_with_counting_all(monkeypatch):
    """99,999 patterns: the standard error of p = 0.09 is 0.0009; the tolerance is four of them."""
    values = np.random.default_rng(8).normal(0.4, 1.0, 20)
    counted = statistics.sign_flip(values)
    monkeypatch.setattr(statistics, "EXACT_UP_TO", 19)
    drawn = statistics.sign_flip(values)
    assert (counted.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(counted.p, abs=4 * math.sqrt(counted.p * (1 - counted.p) / 99_999))
    assert statistics.sign_flip(values) == drawn
    assert statistics.sign_flip(np.ones(25)).p == 1 / 100_000  # no pattern drawn reaches it: p is never 0


def test_smallest_p_is_reached_where_all_differences_have_one_sign():
    for n in (1, 2, 6, 20):
        assert statistics.sign_flip(range(1, n + 1)).p == statistics.smallest_p(n)
    assert [statistics.smallest_p(n) for n in (0, 1, 6)] == [1.0, 1.0, 1 / 32]


@pytest.mark.parametrize("n", [6, 10])
def test_null_is_rejected_in_at_most_5_percent(n, capsys):
    """Of 4,000 pairs of equal methods; at most four standard errors (0.0034) above 5 %. Skewed values, as differences
    of two alike are symmetric all the same."""
    draws = np.random.default_rng(n)
    differences = draws.lognormal(size=(4000, n)) - draws.lognormal(size=(4000, n))
    rejected = np.mean([statistics.sign_flip(found).p <= 0.05 for found in differences])
    with capsys.disabled():
        print(f"\nsign-flip test, n = {n}: rejects {rejected:.2%} of 4000 null samples")
    assert rejected <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 4000)


def test_family_of_correlated_null_tests_is_rejected_in_at_most_5_percent(capsys):
    """Six tests that share half of their variance, 1,500 families; four standard errors (0.0056) above 5 %."""
    draws = np.random.default_rng(0)
    values = draws.normal(size=(1500, 6, 10)) + draws.normal(size=(1500, 1, 10))
    rejected = np.mean([min(statistics.holm([statistics.sign_flip(one).p for one in own])) <= 0.05 for own in values])
    with capsys.disabled():
        print(f"\nHolm over six tests, n = 10: {rejected:.2%} of 1500 null families with a rejection")
    assert rejected <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 1500)


def test_clear_difference_is_found():
    """Differences of 2 standard deviations in ten people: the test finds nearly all of them."""
    found = np.random.default_rng(5).normal(2.0, 1.0, size=(300, 10))
    assert np.mean([statistics.sign_flip(one).p <= 0.05 for one in found]) > 0.95


def test_holm_by_hand():
    """0.01, 0.02, 0.03, 0.5 of four: 4 × 0.01, 3 × 0.02, then 2 × 0.03 tied with the one before, 0.5."""
    assert statistics.holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert statistics.holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert statistics.holm([0.9, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_adjusted_p_never_falls_as_any_raw_one_grows():
    """So that `holm` of the smallest raw values is the smallest that adjusted ones can be."""
    draws = np.random.default_rng(2)
    for raw in draws.uniform(size=(200, 5)):
        larger = np.minimum(1.0, raw + draws.uniform(0, 0.3, 5) * draws.integers(0, 2, 5))
        assert all(a <= b + 1e-15 for a, b in zip(statistics.holm(raw), statistics.holm(larger), strict=True))


def test_wilcoxon_agrees_with_scipy_and_stays_exact_with_ties():
    values = np.random.default_rng(4).normal(0.5, 1.0, 11)
    assert statistics.wilcoxon(values).p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert statistics.wilcoxon([0.0, *values]).p == statistics.wilcoxon(values).p
    assert statistics.wilcoxon([1, 1, 1, -1]).p == 10 / 16  # ranks 2.5 each: |sum| >= 5 unless two are flipped
    assert statistics.wilcoxon([0.0, 0.0]) is None


def test_effect_size_is_the_mean_over_the_std_of_the_differences(make_record, make_score):
    """Differences -1, -2, -3: mean -2, std 1. Differences that do not vary have none."""
    values = {"guide": (1.0, 1.0, 1.0), "mine": (2.0, 3.0, 4.0), "other": (2.0, 2.0, 2.0)}
    table = _frame(
        [
            _record(make_record, make_score, name, who, value)
            for name, own in values.items()
            for who, value in zip("abc", own, strict=True)
        ]
    )
    assert statistics.paired(table, "id", "alpha", "guide", "mine").effect == pytest.approx(-2.0)
    assert statistics.paired(table, "id", "alpha", "guide", "other").effect is None


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


def test_paired_refuses_what_cannot_be_paired(make_record, make_score, says):
    one = _record(make_record, make_score, "guide", "a", 0.1)
    with pytest.raises(BadInput, match=says(" id ", "'mine'", "guide")):
        statistics.paired(_frame([one]), "id", "alpha", "guide", "mine")
    other = make_record("guide", protocol="ffhq", scores=[make_score("id", 0.1)])
    with pytest.raises(BadInput, match=says("protocol_digest", "2")):
        statistics.paired(_frame([one, other]), "id", "alpha", "guide", "guide")
    edited = make_record("guide", source_digest="e" * 64, scores=[make_score("id", 0.1)])
    with pytest.raises(BadInput, match=says("'guide'", "versions", "source_digest")):
        statistics.paired(_frame([one, edited]), "id", "alpha", "guide", "guide")


# The documentation ------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8")


def _numbers(row):
    line = next(line for line in PAGE.splitlines() if re.match(rf"\| {row}\b[^|]*\|", line))
    return [float(cell.replace("−", "-")) for cell in line.strip("|").split("|")[1:]]


def test_the_example_that_the_documentation_works_by_hand(make_record, make_score):
    people = [("a", 0), ("b", 0), ("c", 0), ("d", 0), ("e", 0), ("f", 0), ("f", 1)]
    records = [
        _record(make_record, make_score, method, who, value, seed=seed)
        for method in ("guide", "mean-latent")
        for (who, seed), value in zip(people, _numbers(method), strict=True)
    ]
    found = statistics.paired(_frame(records), "id", "alpha", "guide", "mean-latent")
    assert list(found.values.values()) == pytest.approx([-0.30, -0.10, -0.20, 0.10, -0.40, -0.30])
    assert f"−1.2 / 6 = −{-found.mean:.2f}" in PAGE
    assert f"std = √(0.16 / 5) = {found.std:.3f}" in PAGE
    assert f"= −{-found.effect:.2f}" in PAGE
    assert re.search(rf"\[−{-found.low:.3f}, −{-found.high:.3f}\].*\b{found.wins} of {found.n}\b", PAGE, re.DOTALL)
    p = statistics.sign_flip(list(found.values.values())).p
    assert p == 6 / 64
    assert re.search(rf"\b6 of 64\b.*\bp = {p:.3f}\b", PAGE, re.DOTALL)


def test_the_documentation_says_how_many_tests_so_many_people_can_answer():
    for people, tests in zip(_numbers("people"), _numbers("largest m"), strict=True):
        smallest = statistics.smallest_p(int(people))
        assert tests * smallest <= statistics.ALPHA < (tests + 1) * smallest
