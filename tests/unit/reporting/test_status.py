"""What is recorded below a directory, counted."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report
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
    assert lines[-1].startswith(f"left out: {path.parent}")


def test_weights_are_named_so_that_a_report_takes_them(runs):
    (weights,) = {row["weights"] for row in status_of(runs)["rows"]}
    assert report.report(runs, "csv", weights=weights[:6]) == report.report(runs, "csv", weights=weights)
    with pytest.raises(BadInput, match=rf"{weights[:5]}'.* 6 or more digits.* {weights}"):
        report.report(runs, weights=weights[:5])


@pytest.mark.parametrize("damage", ["directory", "empty", "cut", "edited"])
def test_a_record_that_cannot_be_read_is_named_with_what_to_do(runs, damage):
    (path, *_) = sorted(runs.glob("records/ffhq/guide/*/record.json"))
    text = path.read_text()
    path.unlink()
    if damage == "directory":
        path.mkdir()
    else:
        path.write_text({"empty": "", "cut": text[:99], "edited": text.replace('"seed": 0', '"seed": 7')}[damage])
    line = status_lines(status_of(runs))[-1]
    assert line.startswith(f"left out: {path.parent}: ") and "run its trial again" in line
    words = {"directory": "directory", "empty": "empty or cut off", "cut": "empty or cut off", "edited": "edited"}
    assert words[damage] in line and "Errno" not in line and line.count(str(path.parent)) == 1
