"""Forecasts: which trials an estimate stands on, what it adds up to, and what nobody knows."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine.asked import options_of
from guidebench.engine.dry_run import (
    Forecast,
    Line,
    Timing,
    forecast,
    lines_of,
    reference_timings,
    timings_of,
    typical_seconds,
)
from guidebench.engine.run import measure

HERE = [
    Timing("ffhq", "guide(lr=0.1)", 7.0),
    Timing("ffhq", "guide", 5.0),
    Timing("ffhq", "guide", 1.0),
    Timing("ffhq", "guide", 3.0),
    Timing("random", "guide", 20.0),
    Timing("random", "nothing", 1.0),
]
SHIPPED = [Timing("celebahq", "mean-latent", 11.0)]


def _total(lines):
    """The line that sums up."""
    (line,) = (line for line in lines if re.match(r"\d+ trials ", line))
    return line


@pytest.mark.parametrize(
    ("protocol", "label", "seconds", "trials"),
    [
        ("ffhq", "guide", 3.0, 3),
        ("ffhq", "guide(steps=5)", 4.0, 4),
        ("celebahq", "guide", 5.0, 5),
        ("celebahq", "mean-latent", 4.0, 6),
    ],
)
def test_an_estimate_stands_on_the_most_similar_trials_that_were_measured_here(protocol, label, seconds, trials):
    found, basis = typical_seconds({protocol, "digest"}, label, {"runs": HERE, "shipped": SHIPPED})
    assert found == seconds and re.fullmatch(rf"{trials} trials .*\bruns", basis)


def test_reference_results_serve_where_nothing_was_measured_here():
    found, basis = typical_seconds({"celebahq"}, "mean-latent", {"runs": [], "shipped": SHIPPED})
    assert found == 11.0 and re.fullmatch(r"1 trial .*\bshipped", basis)
    assert typical_seconds({"ffhq"}, "guide", {"runs": [], "shipped": []})[0] is None


def test_trials_on_other_weights_tell_no_time():
    """Another testbed's, an older version's, and this one's."""
    kinds = [("linear", None, 1.0), ("mini", "1", 2.0), ("mini", "2", 3.0)]
    spec = SimpleNamespace(protocol=SimpleNamespace(digest=lambda: "d"), method=SimpleNamespace(label="guide"))
    recorded = [
        SimpleNamespace(
            spec=SimpleNamespace(**vars(spec), testbed=name),
            instrument=SimpleNamespace(weights_version=version),
            cost=SimpleNamespace(seconds_total=seconds),
        )
        for name, version, seconds in kinds
    ]
    recorded.append(SimpleNamespace(**{**vars(recorded[0]), "cost": None}))  # a failure
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
    assert re.fullmatch(r"20 trials .*\b2\b.*: 60 s", _total(lines_of(found, {})))


def test_unknown_time_is_said_and_not_added_as_zero():
    known, unknown = Line("ffhq", "guide", 3, 0, 6.0, "x"), Line("ffhq", "mine", 4, 0, None, "nothing measured")
    both = lines_of(Forecast("mini", Path("runs"), 1, (known, unknown), ()), {"guide": "GUIDE"})
    assert re.fullmatch(r"7 trials .*\b1\b.*: 18 s\b.* unknown .*\b4\b.*", _total(both))
    assert both[1].split()[:2] == ["ffhq", "GUIDE"] and both[2].split()[-3:] == ["unknown", "nothing", "measured"]
    alone = lines_of(Forecast("mini", Path("runs"), 1, (unknown,), ()), {})
    assert re.fullmatch(r"4 trials .*\b1\b.*: unknown", _total(alone))


def test_missing_assets_are_listed_and_what_is_recorded_stays_open():
    line = Line("ffhq", "guide", 3, None, 6.0, "x")
    shown = lines_of(Forecast("big", Path("runs"), 1, (line,), ("weights.pkl: fetch it",)), {})
    assert re.search(r"missing .*\bbig:$", shown[-2]) and shown[-1] == "  weights.pkl: fetch it"
    assert shown[1].split()[2:5] == ["3", "?", "3"]


def test_a_trial_is_to_run_until_it_has_the_attacks_that_are_asked_for(tmp_path):
    smoke = (protocols.load("smoke").resolve("linear", identities=1, seeds=(0,), samples=20),)
    nothing = [chosen.choose("nothing", "linear")]
    plain, attacked = (
        options_of("linear", {"out": tmp_path, "salt": 1, "workers": 0, "attacks": attacks})
        for attacks in ([], ["strip"])
    )
    measure(smoke, nothing, plain)
    assert [forecast(smoke, nothing, options).to_run for options in (plain, attacked)] == [0, 1]
    measure(smoke, nothing, attacked)
    assert forecast(smoke, nothing, attacked).to_run == 0
