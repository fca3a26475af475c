"""Rendered reports: whole texts against committed ones, and what each format promises.

`GUIDEBENCH_WRITE_GOLDENS=1 pytest tests/unit/reporting/test_renderers.py` writes the committed texts anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from guidebench.errors import BadInput
from guidebench.reporting import renderers, tables

GOLDENS = Path(__file__).parent / "goldens"
CASES = [
    ("markdown", "table-1", "md"),
    ("markdown", "table-2", "md"),
    ("latex", "table-1", "tex"),
    ("latex", "table-2", "tex"),
    ("csv", "table-1", "csv"),
    ("json", "table-2", "json"),
    ("terminal", "full", "txt"),
]


@pytest.mark.parametrize(("style", "layout", "ending"), CASES)
def test_report_is_the_committed_one(runs, style, layout, ending):
    text = tables.report(runs, style, layout=layout, published=layout == "table-2") + "\n"
    path = GOLDENS / f"{layout}.{ending}"
    if os.environ.get("GUIDEBENCH_WRITE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _cells(directory):
    lines = csv.DictReader(io.StringIO(tables.report(directory, "csv", layout="full")))
    return {(line["protocol"], line["label"], line["metric"], line["judge"]): line for line in lines}


def test_editing_one_score_changes_exactly_its_cell(runs, make_record, write_record):
    """Bold marks aside, which may move to a rival, one value feeds one cell."""
    before = _cells(runs)
    record = make_record("guide", "b")
    scores = [{**s, "value": 0.5} if (s["metric"], s["judge"]) == ("id_others", "beta") else s for s in record.scores]
    write_record(runs, replace(record, scores=scores))
    after = _cells(runs)
    assert before.keys() == after.keys()
    changed = {place for place in before if {**before[place], "best": ""} != {**after[place], "best": ""}}
    assert changed == {("celebahq-multi", "guide", "id_others", "beta")}
    assert float(after[changed.pop()]["mean"]) == pytest.approx((0.21 + 0.5 + 0.25) / 3)


def test_terminal_fits_its_width_and_loses_nothing(runs):
    for width in (72, 100, 120):
        found = tables.report(runs, "terminal", layout="full")
        digest = next(p for p in runs.glob("records/ffhq/guide/*/record.json"))
        found = tables.summary(runs, json.loads(digest.read_text())["protocol_digest"], width=width)
        assert max(len(line) for line in found.splitlines()) <= width
        for words in (
            "ID ↓",
            "ID_retain ↑",
            "FID_pre ↓",
            "ΔFID_real ↓",
            "different people",
            "lost 0/18",
            "1 of 3 failed",
        ):
            assert words in found, (words, width)


def test_summary_takes_one_protocol_and_names_what_is_absent(runs, make_record):
    digest = make_record().protocol_digest
    text = tables.summary(runs, digest, testbed="mini")
    assert "CelebAHQ (multi-image): judge alpha" in text
    assert "FFHQ" not in text
    only = tables.summary(runs, digest, keys={make_record("guide", "a").key})
    assert "mean-latent" not in only
    with pytest.raises(BadInput, match="no records of protocol 000000"):
        tables.summary(runs, "0" * 64)


def test_terminal_marks_floors_best_rows_intervals_and_caption(runs):
    text = tables.report(runs, "terminal", layout="full", protocol="celebahq-multi")
    line = next(line for line in text.splitlines() if line.startswith("guide "))
    assert "0.040 ± 0.020*" in line  # tied with mine: both below the 0.10 of different people
    assert "[-0.010, 0.090]" in text
    assert "nothing (floor)" in text
    assert "scramble (ceiling)" in text
    assert "Rendered faces: not comparable with published figures." in text


def test_what_was_not_run_is_blank_and_what_has_no_value_is_a_dash(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record("scramble", "a", protocol="ffhq"))
    write_record(tmp_path, make_record("guide", "a", protocol="celebahq-multi"))
    lines = [line.split("|") for line in tables.report(tmp_path).splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[2][2:4]] == ["– (0 of 1)"] * 2
    assert [cell.strip() for cell in lines[2][6:8]] == ["", ""]
    assert [cell.strip() for cell in lines[3][2:6]] == [""] * 4
    first, second = tables.report(tmp_path, "terminal").split("CelebAHQ (multi-image)\n")
    assert ("scramble" in first, "guide " in first, "guide " in second) == (True, False, True)


def test_json_is_null_where_there_is_no_value(runs):
    data = json.loads(tables.report(runs, "json", layout="table-1"))
    row = next(row for row in data["tables"][0]["rows"] if row["label"] == "scramble")
    assert row["cells"][0]["mean"] is None
    assert (row["cells"][0]["n"], row["cells"][0]["missing"], row["cells"][0]["lost_after"]) == (0, 2, 18)
    assert data["caption"].startswith("Rendered faces")


def test_zero_has_no_sign():
    assert [renderers.number(value, 2) for value in (-0.001, 0.0, -0.009, 1.005)] == ["0.00", "0.00", "-0.01", "1.00"]


def test_markdown_cells_cannot_break_the_table(tmp_path, make_record, write_record):
    write_record(tmp_path, replace(make_record(), label="mine(mode=a|b_c)"))
    lines = [line for line in tables.report(tmp_path).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "mine(mode=a\\|b\\_c)" in lines[2]


def test_unknown_format_names_the_known_ones(runs):
    with pytest.raises(BadInput, match="unknown format 'latx'; did you mean 'latex'"):
        tables.report(runs, "latx")


NASTY = r"m\y_{x}%&$#~^<é>|[0] Δα ± 5° 日本"


def test_latex_escapes_everything_it_may_not_print():
    text = renderers.escape(NASTY)
    assert text.startswith(r"m\textbackslash{}y\_\{x\}\%\&\$\#\textasciitilde{}\textasciicircum{}\textless{}é")
    assert r"{[}0{]} $\Delta$$\alpha$ $\pm$ 5$^\circ$ \texttt{U+65E5}" in text


def test_latex_compiles(runs, make_record, write_record, tmp_path):
    compiler = shutil.which("pdflatex") or shutil.which("tectonic")
    if compiler is None:
        pytest.skip("neither pdflatex nor tectonic is installed")
    nasty = replace(make_record("mine", "a"), label=NASTY, key="nasty", notes={"caption": NASTY})
    write_record(runs, nasty)
    parts = [tables.report(runs, "latex", layout=layout, published=True) for layout in ("table-1", "table-2", "full")]
    source = tmp_path / "report.tex"
    source.write_text(
        "\\documentclass{article}\\usepackage[utf8]{inputenc}\\usepackage{booktabs}\n\\begin{document}\n"
        + "\n\\clearpage\n".join(parts)
        + "\n\\end{document}\n",
        encoding="utf-8",
    )
    options = ["-interaction=nonstopmode", "-halt-on-error", "-draftmode"] if "pdflatex" in compiler else []
    result = subprocess.run(
        [compiler, *options, source.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if "tectonic" in compiler and "failed to" in result.stderr and "http" in result.stderr:
        pytest.skip("tectonic cannot fetch its packages here")
    if "booktabs.sty' not found" in result.stdout:
        pytest.skip("the LaTeX installation has no booktabs")
    assert result.returncode == 0, result.stdout[-2000:]
