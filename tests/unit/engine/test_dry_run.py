"""Forecasts: which trials an estimate stands on, what it adds up to, and what nobody knows."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench.engine.dry_run import (
    Forecast,
    Line,
    Timing,
    in_words,
    lines_of,
    reference_timings,
    timings_of,
    typical_seconds,
)

HERE = [
    Timing("ffhq", "guide(lr=0.1)", 7.0),
    Timing("ffhq", "guide", 5.0),
    Timing("ffhq", "guide", 1.0),
    Timing("ffhq", "guide", 3.0),
    Timing("random", "guide", 20.0),
    Timing("random", "nothing", 1.0),
]
SHIPPED = [Timing("celebahq", "mean-latent", 11.0)]


@pytest.mark.parametrize(
    ("protocol", "label", "seconds", "basis"),
    [
        ("ffhq", "guide", 3.0, "3 trials of this row in runs"),
        ("ffhq", "guide(steps=5)", 4.0, "4 trials of guide in runs"),
        ("celebahq", "guide", 5.0, "5 trials of guide under other protocols in runs"),
        ("celebahq", "mean-latent", 4.0, "6 trials of any row in runs"),
    ],
)
def test_an_estimate_stands_on_the_most_similar_trials_that_were_measured_here(protocol, label, seconds, basis):
    assert typical_seconds({protocol, "digest"}, label, {"runs": HERE, "shipped": SHIPPED}) == (seconds, basis)


def test_reference_results_serve_where_nothing_was_measured_here():
    assert typical_seconds({"celebahq"}, "mean-latent", {"runs": [], "shipped": SHIPPED}) == (
        11.0,
        "1 trial of this row in shipped",
    )
    assert typical_seconds({"ffhq"}, "guide", {"runs": [], "shipped": []})[0] is None


def test_trials_on_other_weights_tell_no_time():
    """Another testbed's, an older version's, and this one's."""
    kinds = [("linear", None, 1.0), ("mini", "1", 2.0), ("mini", "2", 3.0)]
    recorded = [
        SimpleNamespace(testbed=name, weights_version=version, protocol_digest="d", label="guide", seconds={"total": s})
        for name, version, s in kinds
    ]
    for name, version, seconds in (("linear", None, 1.0), ("mini", 2, 3.0)):
        testbed = SimpleNamespace(name=name, weights_version=version)
        assert timings_of(recorded, testbed) == [Timing("d", "guide", seconds)]


def test_reference_results_count_a_trial_once():
    """The ladder on 20 people and 3 seeds under every protocol, floors on two people."""
    timings = Counter((timing.protocol, timing.label) for timing in reference_timings("mini"))
    assert timings["celebahq-multi", "guide"] == timings["celebahq-multi", "mean-latent"] == 60
    assert timings["celebahq-multi", "scramble"] == 6
    assert timings["random", "guide"] == 60
    assert reference_timings("linear") == []


def test_the_time_is_trials_by_median_over_workers():
    lines = (Line("ffhq", "guide", 30, 10, 6.0, "x"), Line("ffhq", "mine", 4, 4, 9.0, "x"))
    found = Forecast("mini", Path("runs"), 2, lines, ())
    assert found.to_run == 20
    assert found.seconds == 20 * 6.0 / 2
    assert "20 trials to run, 2 at a time: 60 s" in lines_of(found, {})


def test_unknown_time_is_said_and_not_added_as_zero():
    known, unknown = Line("ffhq", "guide", 3, 0, 6.0, "x"), Line("ffhq", "mine", 4, 0, None, "nothing measured")
    both = lines_of(Forecast("mini", Path("runs"), 1, (known, unknown), ()), {"guide": "GUIDE"})
    assert "7 trials to run, 1 at a time: 18 s, and unknown time for 4 of them" in both
    assert both[1].split()[:2] == ["ffhq", "GUIDE"] and both[2].split()[-3:] == ["unknown", "nothing", "measured"]
    assert "4 trials to run, 1 at a time: unknown" in lines_of(Forecast("mini", Path("runs"), 1, (unknown,), ()), {})


def test_missing_assets_are_listed_and_what_is_recorded_stays_open():
    line = Line("ffhq", "guide", 3, None, 6.0, "x")
    shown = lines_of(Forecast("big", Path("runs"), 1, (line,), ("weights.pkl: fetch it",)), {})
    assert shown[-2:] == ["missing assets of testbed big:", "  weights.pkl: fetch it"]
    assert shown[1].split()[2:5] == ["3", "?", "3"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "unknown"), (0.24, "0.2 s"), (38.4, "38 s"), (725.0, "12 min"), (12240.0, "3.4 h")]
)
def test_durations_are_told_to_two_digits(seconds, words):
    assert in_words(seconds) == words
