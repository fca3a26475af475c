"""Whole reports against committed texts, in every format.

`GUIDEBENCH_WRITE_GOLDENS=1 pytest tests/unit/reporting/formats/test_goldens.py` writes the committed texts again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import report
from guidebench.store.folders import scan

REPORTING = Path(__file__).parents[1]
GOLDENS = REPORTING / "goldens"
CASES = [
    ("markdown", "auto", "md"),
    ("markdown", "table-2", "md"),
    ("markdown", "full", "md"),
    ("latex", "table-2", "tex"),
    ("csv", "full", "csv"),
    ("json", "table-2", "json"),
    ("terminal", "full", "txt"),
    ("terminal", "compare", "txt"),
]


def test_the_committed_records_are_what_their_script_writes(tmp_path):
    script = REPORTING / "make_records.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "records")], check=True)

    def content(folder):
        return {path.relative_to(folder): path.read_text() for path in folder.rglob("record.json")}

    assert content(tmp_path / "records") == content(script.parent / "records")
    stored, corrupt = scan(script.parent / "records")
    assert (len(stored), corrupt) == (45, [])


def rounded(text):
    """Numbers with ten significant digits: platforms disagree about the last of seventeen."""
    return re.sub(r"-?\d+\.\d{9,}(e-?\d+)?", lambda found: f"{float(found[0]):.10g}", text)


@pytest.mark.parametrize(("style", "layout", "ending"), CASES)
def test_report_is_the_committed_one(committed, style, layout, ending):
    methods = ["guide", "mine"] if layout == "compare" else None
    text = report.report(committed, style, layout=layout, method=methods) + "\n"
    path = GOLDENS / f"{layout}.{ending}"
    if os.environ.get("GUIDEBENCH_WRITE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert rounded(text) == rounded(path.read_text(encoding="utf-8"))


def test_unknown_format_names_the_known_ones(runs, says):
    with pytest.raises(BadInput, match=says("format 'latx'", "'latex'", "`guidebench report --help`")):
        report.report(runs, "latx")
