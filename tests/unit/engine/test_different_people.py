"""How alike different people are: by hand, against a closed form, and from the cache."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from guidebench import protocol as protocols
from guidebench.engine import different_people
from guidebench.engine.bench import Bench
from guidebench.testbeds.linear import LinearTestbed


class Unmeasured(LinearTestbed):
    """The analytic testbed, whose judges do not say how alike different people are."""

    def judges(self):
        return dataclasses.replace(super().judges(), different_people={})


@pytest.fixture
def testbed(tmp_path):
    return Unmeasured(cache=tmp_path / "cache")


def measured(testbed, source="celebahq"):
    return different_people.measure_different_people(testbed.faces(), source, testbed.judges(), testbed)


def test_three_people_are_three_pairs():
    """Cosines 0, 0.6 and 0.8: mean 7/15, variance with ddof 1 of 0.52/3."""
    found = different_people.pair_statistics(np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]))
    assert found.mean == pytest.approx(1.4 / 3) and found.std**2 == pytest.approx((1.0 - 1.4**2 / 3) / 2)
    assert found.pairs == 3


def test_photographs_agree_with_twenty_thousand_random_pairs(testbed):
    """Pairs share people: the mean over n people varies by about the spread over √(n/2)."""
    known = measured(testbed)
    people = min(testbed.faces().sources()["celebahq"], different_people.MOST_PEOPLE)
    for judge, closed in LinearTestbed().judges().different_people.items():
        assert known[judge].pairs == people * (people - 1) // 2 and closed.pairs is None
        assert known[judge].mean == pytest.approx(closed.mean, abs=closed.std / (people / 2) ** 0.5)
        assert known[judge].std == pytest.approx(closed.std, rel=0.2)


def _people(count):
    rows = np.random.default_rng(0).normal(size=(count, 16))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_threshold_is_what_one_pair_of_strangers_in_a_thousand_exceeds():
    """202 people are 20,301 pairs, of which 20 or 21 are above it."""
    vectors = _people(202)
    found = different_people.pair_statistics(vectors)
    cosines = (vectors @ vectors.T)[np.triu_indices(202, k=1)]
    assert (cosines > found.threshold).sum() in (20, 21)
    low, high = found.threshold_interval
    assert low < found.threshold < high < cosines.max() and high - low < 0.1
    assert different_people.pair_statistics(vectors) == found


def test_fewer_than_twenty_thousand_pairs_give_no_threshold():
    found = different_people.pair_statistics(_people(200))
    assert found.pairs == 19_900 and found.threshold is found.threshold_interval is None


def test_it_is_measured_once(testbed, monkeypatch):
    first = measured(testbed)
    monkeypatch.setattr(different_people, "_measure", None)  # would fail if it were called
    assert measured(testbed) == first


def test_a_damaged_cache_is_measured_again(testbed):
    first = measured(testbed)
    (file,) = (testbed.cache / "different-people").iterdir()
    file.write_text("[1, 2")
    assert measured(testbed) == first and file.read_text() != "[1, 2"


def test_other_judges_people_and_conventions_have_results_of_their_own(testbed, tmp_path):
    measured(testbed)
    measured(testbed, "ffhq")
    measured(Unmeasured(cache=tmp_path / "cache", conventions="published"))
    assert len(list((tmp_path / "cache" / "different-people").iterdir())) == 3


def test_with_fewer_than_ten_people_nothing_is_said(testbed, monkeypatch):
    monkeypatch.setattr(type(testbed.faces()), "sources", lambda self: {"celebahq": 9})
    assert measured(testbed) == {}


def test_a_judge_that_finds_fewer_than_ten_faces_says_nothing(testbed, monkeypatch):
    judges = testbed.judges()
    monkeypatch.setattr(judges.recognizers["plain"], "found", lambda u: u[:, 0] > 1e9)
    known = different_people.measure_different_people(testbed.faces(), "celebahq", judges, testbed)
    assert set(known) == {"weighted"}


def test_what_a_testbed_knows_is_not_measured(tmp_path, testbed):
    smoke = protocols.load("smoke").resolve("linear")
    bench = Bench(LinearTestbed(cache=tmp_path))
    assert bench.different_people(smoke) == bench.judges.different_people and not list(tmp_path.iterdir())
    random = protocols.load("random").resolve("linear")
    assert Bench(testbed).different_people(random) == {}  # no photographs
    assert set(Bench(testbed).different_people(smoke)) == {"plain", "weighted"}
