"""What is counted and how ratios come about; nothing here is a claim about speed."""

import math

import pytest
import torch

from guidebench.speed import measure

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that works move on by hand."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    return now


def test_a_ratio_is_of_neighbours_in_time_and_the_median_counts(clock):
    """The machine slows down threefold on the way: seconds of either way say nothing, the ratio stays 2."""
    slowness = iter([7, 7] + [1] * 8 + [3] * 4 + [9] * 4)  # the first two are counted, not timed

    def work(seconds):
        def run():
            clock[0] += seconds * next(slowness)

        return run

    found = measure.compare("step", work(4.0), work(2.0), repeats=4, units=2, device=CPU)
    assert found.ratios == (2.0, 2.0, 2.0, 2.0) and found.ratio == 2.0
    assert (found.plain.seconds, found.ours.seconds) == (4.0, 2.0), "medians, of one of two units"


def test_operations_and_traffic_are_counted_per_unit():
    """A product of (2, 3) and (3, 4): 2 * 2 * 3 * 4 operations; 6 + 12 + 8 numbers of 4 bytes; a view costs nothing."""
    a, b = torch.ones(2, 3), torch.ones(4, 3)
    found = measure.compare("step", lambda: a @ b.T, lambda: a @ b.T, repeats=1, units=2, device=CPU)
    assert found.ours.gflop == pytest.approx(48 / 2 / 1e9)
    assert found.ours.gigabytes == pytest.approx(26 * 4 / 2 / 1e9)


def test_the_peak_of_a_device_is_that_of_the_best_try(clock, monkeypatch):
    monkeypatch.setattr(measure, "_PEAK_SIZE", 10)
    monkeypatch.setattr(measure, "_COPIED", 1000)
    spans = iter([5.0, 2.0, 4.0, 3.0, 6.0] + [1.0, 0.5, 3.0, 2.0, 2.0])

    def seconds(work, device):
        work()
        return next(spans)

    monkeypatch.setattr(measure, "_seconds", seconds)
    found = measure.device_peak(CPU)
    assert math.isclose(found.gflops, 2000 / 2.0 / 1e9) and math.isclose(found.gigabytes, 8000 / 0.5 / 1e9)


def test_a_profile_names_the_operations_that_take_the_time():
    a = torch.ones(64, 64)
    assert "aten::mm" in measure.profile(lambda: a @ a, CPU)
