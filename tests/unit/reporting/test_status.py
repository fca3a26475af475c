"""What is recorded below a directory, counted."""

from __future__ import annotations

from guidebench.reporting.status import status_lines, status_of


def test_trials_are_counted_by_protocol_and_method_and_failures_have_their_reason(runs):
    found = status_of(runs)
    (row,) = (row for row in found["rows"] if (row["protocol"], row["method"]) == ("ffhq", "mine"))
    assert (row["measured"], row["failed"], row["seconds"]) == (2, 1, 50.0)
    assert found["failures"] == [
        {"method": "mine", "group": "b", "seed": 0, "reason": "the loss is not finite at step 7"}
    ]


def test_counts_are_aligned_and_what_cannot_be_read_is_named(runs):
    (path, *_) = sorted(runs.glob("records/ffhq/guide/*/record.json"))
    path.write_text("{")
    head, *lines = status_lines(status_of(runs))
    assert head.split() == ["testbed", "weights", "protocol", "method", "measured", "failed", "seconds"]
    (line,) = (line for line in lines if " ffhq " in line and " guide " in line)
    assert line.endswith(f"2{'0':>{len('  failed')}}{'50.0':>{len('  seconds')}}")
    assert any(line.startswith("failed: mine on b, seed 0") for line in lines)
    assert lines[-1].startswith(f"unreadable: {path.parent}")
