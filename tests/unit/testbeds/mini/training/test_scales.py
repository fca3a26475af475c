"""What few images cost in FID."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.evidence import FrechetStatistics
from guidebench.testbeds.mini.training.scales import fid_floor


def test_the_floor_is_bias_that_falls_with_the_number_of_images():
    """Features of the real Gaussian itself: generator and Gaussian agree, and both fall about as 1 / n."""
    rng = np.random.default_rng(1)
    real = FrechetStatistics(np.zeros(8), np.eye(8), 6_000)
    floor = fid_floor(rng.standard_normal((3_000, 8)), real)
    assert list(floor) == ["300", "1000"]
    assert floor["300"]["generator"] == pytest.approx(floor["300"]["gaussian"], rel=0.3)
    assert floor["300"]["gaussian"] == pytest.approx(floor["1000"]["gaussian"] * 10 / 3, rel=0.3)


def test_too_few_images_have_no_floor():
    features = np.random.default_rng(1).standard_normal((400, 4))
    assert list(fid_floor(features, FrechetStatistics(np.zeros(4), np.eye(4), 6_000))) == ["300"]
