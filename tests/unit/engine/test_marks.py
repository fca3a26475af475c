"""Marks of a row: wrappers, methods that know the evaluation's codes, methods that ran where they were judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from guidebench.engine.marks import CHANCE, chance_of_difference, mann_whitney, marks_of
from guidebench.engine.peak_memory import Peak
from guidebench.engine.unlearning import Unlearned
from guidebench.evidence import Evidence, Samples
from guidebench.testbeds.linear import LinearGenerator

RNG = np.random.default_rng(0)
WEIGHTS = Unlearned(LinearGenerator(), [], 0.0, 0, Peak(), wrapper=False)


def evidence(public_move, secret_move, public=32, secret=300):
    """Features of a generator whose samples moved so far, on the public and on the secret codes."""
    source, shown = (Samples(RNG.normal(size=(count, 8)).astype(np.float32)) for count in (secret, public))

    def moved(samples, move):
        way = RNG.normal(size=samples.features.shape) * move
        return Samples((samples.features + way).astype(np.float32))

    return Evidence(
        subjects=(),
        sights={},
        frontal=0,
        source=source,
        after=(moved(source, secret_move),),
        real=None,
        public=(shown, moved(shown, public_move)),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_the_rank_test_is_scipys(seed, decimals):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=32).round(decimals), (rng.normal(size=200) + 0.3).round(decimals)
    expected = mannwhitneyu(first, second, method="asymptotic").pvalue
    assert mann_whitney(first, second) == pytest.approx(expected, rel=1e-9)
    assert mann_whitney(first, np.flip(first)) == pytest.approx(1.0)


def test_values_that_are_all_equal_differ_by_nothing():
    assert mann_whitney(np.zeros(32), np.zeros(300)) == 1.0


def test_a_method_that_leaves_the_public_codes_alone_is_marked():
    assert marks_of(evidence(0.0, 1.0), [WEIGHTS], in_process=False) == ("memorised",)
    assert marks_of(evidence(1.0, 0.0), [WEIGHTS], in_process=False) == ("memorised",)


def test_honest_methods_are_not_marked_and_would_be_as_rarely_as_is_said():
    assert marks_of(evidence(0.0, 0.0), [WEIGHTS], in_process=False) == ()
    chances = np.array([chance_of_difference(evidence(0.5, 0.5), 0) for _ in range(300)])
    assert chances.min() > CHANCE
    assert 0.02 < (chances < 0.1).mean() < 0.2  # about one in ten


def test_wrappers_and_methods_without_a_process_of_their_own_are_marked():
    wrapper = dataclasses.replace(WEIGHTS, wrapper=True)
    assert marks_of(evidence(0.5, 0.5), [WEIGHTS, wrapper], in_process=True) == ("wrapper", "in process")


def test_evidence_without_public_samples_says_nothing():
    bare = dataclasses.replace(evidence(0.0, 1.0), public=())
    assert marks_of(bare, [WEIGHTS], in_process=False) == ()
