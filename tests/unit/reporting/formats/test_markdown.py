"""Markdown: labels cannot break a table."""

from __future__ import annotations

from guidebench.reporting import report


def test_markdown_cells_cannot_break_the_table(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record(label="mine(mode=a|b_c<i>)"))
    lines = [line for line in report.report(tmp_path).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "mine(mode=a\\|b\\_c&lt;i>)" in lines[2]
