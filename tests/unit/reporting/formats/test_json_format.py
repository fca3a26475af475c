"""JSON: null where there is no value."""

from __future__ import annotations

import json

from guidebench.reporting import report


def test_json_is_null_where_there_is_no_value(runs):
    data = json.loads(report.report(runs, "json"))
    row = next(row for row in data["tables"][0]["rows"] if row["label"] == "scramble")
    assert row["cells"][0]["mean"] is None
    assert (row["cells"][0]["n"], row["cells"][0]["missing"], row["cells"][0]["lost_after"]) == (0, 2, 18)
    assert data["caption"].startswith("Rendered faces")
