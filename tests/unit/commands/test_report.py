"""`guidebench scores` and its neighbours: what they print without options."""

from __future__ import annotations

from guidebench.commands import report
from guidebench.reporting.scores import COLUMNS


def test_the_default_columns_of_scores_are_columns_and_tell_every_row_apart():
    """A trial of several requests has one score per person, role and request."""
    wanted = report._SCORE_COLUMNS.split(",")
    assert set(wanted) <= set(COLUMNS) and len(set(wanted)) == len(wanted)
    assert {"key", "group", "identity", "role", "after_request", "metric", "judge", "seed"} <= set(wanted)
