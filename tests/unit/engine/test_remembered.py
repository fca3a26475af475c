"""What is remembered, and what is forgotten first."""

import numpy as np
import torch

from guidebench.engine.remembered import Remembered, size_of
from guidebench.evidence import Seen


def test_a_value_is_made_once_and_the_least_recently_used_one_goes_first():
    """Three arrays of 80 bytes where two fit."""
    made, known = [], Remembered(most_bytes=200)

    def recall(key):
        return known.recall(key, lambda: made.append(key) or np.zeros(10))

    first = recall("a")
    recall("b")
    assert recall("a") is first
    recall("c")  # b was used longest ago
    assert recall("a") is first and made == ["a", "b", "c"]
    recall("b")
    assert made == ["a", "b", "c", "b"]


def test_a_value_that_is_too_large_is_kept_until_the_next_one():
    known = Remembered(most_bytes=10)
    large = known.recall("large", lambda: np.zeros(10))
    assert known.recall("large", list) is large
    known.recall("small", lambda: np.zeros(1))
    assert known.recall("large", lambda: "made again") == "made again"


def test_sizes_are_those_of_tensors_and_arrays_at_any_depth():
    seen = Seen(np.zeros((2, 4), np.float32), np.zeros(2, bool))
    assert size_of({"judge": seen, "name": "text"}) == 2 * 4 * 4 + 2
    assert size_of(torch.zeros(3, dtype=torch.float64)) == 24
    assert size_of(None) == 0
