"""What readings are worth, against independent computations and simulated experiments."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from guidebench.evidence import Evidence, Samples
from guidebench.reporting import statistics
from guidebench.reporting.diagnostics import reliability


def scores(values, label="guide"):
    """values: (groups, seeds), NaN where a trial has no value."""
    rows = [
        {"label": label, "group": f"p{person}", "seed": seed, "value": value}
        for person, line in enumerate(values)
        for seed, value in enumerate(line)
    ]
    return pd.DataFrame(rows).astype({"value": "Float64"})


def test_the_seeds_share_is_one_minus_the_intraclass_correlation():
    """ICC(1,1) = (MSB - MSW) / (MSB + (k - 1) MSW), and F = MSB / MSW is scipy's one-way analysis of variance."""
    draws = np.random.default_rng(0)
    values = draws.normal(size=(6, 1)) + 0.7 * draws.normal(size=(6, 3))
    f = stats.f_oneway(*values).statistic
    within = values.var(axis=1, ddof=1).mean()
    found = reliability.retest(scores(values))
    assert found.share == pytest.approx(1 - (f - 1) / (f + 2))
    assert (found.seeds, found.df, found.n) == (pytest.approx(math.sqrt(within)), 12, 6)
    assert found.groups == pytest.approx(values.mean(axis=1).std(ddof=1))


def test_one_seed_widens_the_standard_error_by_what_it_adds_to_the_variance():
    """Of a mean over people: (between + within / seeds) / people. Share 0.5: sqrt(1 / (0.5 + 0.5 / 3)) = 1.2247."""
    half = reliability.Retest(seeds=1.0, df=20, groups=1.2, n=10, share=0.5)
    assert half.widening(1, 3) == pytest.approx(math.sqrt(1.5))
    assert half.widening(3, 3) == 1.0


def test_components_are_found_again_with_unequal_numbers_of_seeds():
    """3,000 people, std 2 between them and 1 over one to three seeds: the share is 1 / 5, and known to about 0.01."""
    draws = np.random.default_rng(1)
    values = 2 * draws.normal(size=(3000, 1)) + draws.normal(size=(3000, 3))
    values[np.arange(3) > draws.integers(0, 3, size=(3000, 1))] = np.nan
    found = reliability.retest(scores(values))
    assert found.share == pytest.approx(0.2, abs=0.03)
    assert found.seeds == pytest.approx(1.0, abs=0.05)
    assert found.df == int((~np.isnan(values)).sum()) - 3000


def test_more_spread_over_seeds_than_over_people_is_all_the_seeds():
    """The variance that people add would be negative: 1 between the means, 100 over two seeds."""
    assert reliability.retest(scores([[-10.0, 10.0], [-9.0, 11.0]])).share == 1.0


def test_one_seed_has_no_spread_and_one_person_no_share():
    once = reliability.retest(scores([[0.1], [0.2], [np.nan]]))
    assert (once.seeds, once.df, once.share, once.n, once.widening(1, 3)) == (None, 0, None, 2, None)
    alone = reliability.retest(scores([[0.1, 0.2]]))
    assert (alone.df, alone.groups, alone.share) == (1, None, None)
    nobody = reliability.retest(scores([[np.nan]]))
    assert (nobody.n, nobody.seeds, nobody.groups) == (0, None, None)


def test_rounding_is_not_spread():
    noise = 1e-8 * np.random.default_rng(2).normal(size=(5, 3))
    assert reliability.retest(scores(1 + noise)).share is None
    assert reliability.retest(scores(np.zeros((5, 3)))).share is None
    assert reliability.rank_correlation(list(1 + noise[:, 0]), [1.0, 2.0, 3.0, 4.0, 5.0]) is None


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_resolvable_difference_is_found_in_four_of_five_experiments(n, capsys):
    """40,000 experiments with a t test: the standard error of 0.8 is 0.002, so 0.79 to 0.81 is five of them.

    The benchmark's own sign-flip test, on 2,000 of them (standard error 0.009), needs little more: printed, and at
    least 0.70 where people suffice for it at all.
    """
    draws = np.random.default_rng(n).normal(reliability.resolvable(n), 1.0, size=(40_000, n))
    t, p = stats.ttest_1samp(draws, 0.0, axis=1)
    assert np.mean((p < 0.05) & (t > 0)) == pytest.approx(0.8, abs=0.01)
    if n == 10:
        flipped = np.mean([statistics.sign_flip(row).p < 0.05 for row in draws[:2000]])
        with capsys.disabled():
            print(f"\nsign flips find the difference that a t test resolves at n = {n} in {flipped:.1%} of experiments")
        assert flipped >= 0.7


def test_more_people_resolve_less_and_one_resolves_nothing():
    """From many people on, t is normal: (1.96 + 0.8416) / sqrt(n)."""
    found = [reliability.resolvable(n) for n in (2, 3, 10, 20, 50, 5000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx((1.959964 + 0.841621) / math.sqrt(5000), rel=1e-3)
    with pytest.raises(ValueError, match=r"\btwo\b.*\b1\b"):
        reliability.resolvable(1)


def test_the_interval_of_a_standard_deviation_covers_it():
    """20,000 samples of ten: the standard error of the share is 0.0015; 0.94 to 0.96 is six of them."""
    estimates = np.random.default_rng(3).normal(size=(20_000, 10)).std(axis=1, ddof=1)
    low, high = reliability.spread_interval(10)
    assert np.mean((low * estimates < 1) & (high * estimates > 1)) == pytest.approx(0.95, abs=0.01)


def two_judges():
    """Three methods on eight people; the second judge reads 0.1 more with noise, and has lost one person."""
    draws = np.random.default_rng(4)
    first, second = [], []
    for place, label in enumerate(("mean-latent", "extrapolated", "guide")):
        values = 0.5 - 0.2 * place + 0.05 * draws.normal(size=(8, 2))
        other = values + 0.1 + 0.05 * draws.normal(size=(8, 2))
        other[7] = np.nan
        first.append(scores(values, label))
        second.append(scores(other, label))
    return pd.concat(first), pd.concat(second)


def test_agreement_is_that_of_scipy_over_units_with_both_values():
    first, second = two_judges()
    units = [
        (judge.groupby(["label", "group"])["value"].mean().astype(float)).drop("p7", level=1)
        for judge in (first, second)
    ]
    found = reliability.agreement(first, second)
    assert (found.n, found.methods, found.swapped, found.kendall) == (21, 3, (), 1.0)
    assert found.pearson == pytest.approx(stats.pearsonr(*units).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(*units).statistic)
    inner = [stats.spearmanr(*(unit[label] for unit in units)).statistic for label in units[0].index.levels[0]]
    assert found.within == pytest.approx(np.mean(inner))
    difference = (units[1] - units[0]).to_numpy()
    assert found.shift == pytest.approx(difference.mean())
    reach = 1.96 * difference.std(ddof=1)
    assert found.limits == pytest.approx((difference.mean() - reach, difference.mean() + reach))


def test_judges_that_order_methods_differently_are_named():
    first = pd.concat(
        [scores([[0.1], [0.2]], "guide"), scores([[0.3], [0.4]], "mine"), scores([[0.5], [0.7]], "other")]
    )
    second = pd.concat(
        [scores([[0.4], [0.5]], "guide"), scores([[0.1], [0.2]], "mine"), scores([[0.8], [0.9]], "other")]
    )
    found = reliability.agreement(first, second)
    assert found.swapped == (("guide", "mine"),)
    assert found.kendall == pytest.approx(stats.kendalltau([0.15, 0.35, 0.6], [0.45, 0.15, 0.85]).statistic)


def test_judges_with_nothing_in_common_have_no_agreement():
    found = reliability.agreement(scores([[0.1]]), scores([[np.nan]]))
    assert (found.n, found.methods) == (0, 0)
    assert {found.pearson, found.spearman, found.within, found.shift, found.limits, found.kendall} == {None}


def evidence(source, after):
    return Evidence((), {}, 0, Samples(source), (Samples(after),), None)


def test_fid_of_the_first_samples_is_the_frechet_distance_of_these_alone():
    """Against scipy's matrix square root; features after the N-th are made enormous."""
    draws = np.random.default_rng(5)
    source, after = draws.normal(size=(60, 4)), draws.normal(0.3, 1.2, size=(60, 4))
    source[40:] *= 1e6
    (m1, c1), (m2, c2) = ((part[:40].mean(axis=0), np.cov(part[:40].T)) for part in (source, after))
    wanted = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert reliability.fid_of_first(evidence(source, after), 40) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("count", "words"), [(4, r"\b4 samples .*\b4 features"), (61, r"\b60 samples .*\b61\b")])
def test_a_singular_covariance_and_too_few_samples_are_refused(count, words):
    features = np.random.default_rng(6).normal(size=(60, 4))
    assert reliability.fid_of_first(evidence(features, features), 5) == 0.0
    with pytest.raises(ValueError, match=words):
        reliability.fid_of_first(evidence(features, features), count)
