"""Rendered reports: whole texts against committed ones, and what each format promises.

`GUIDEBENCH_WRITE_GOLDENS=1 pytest tests/unit/reporting/test_renderers.py` writes the committed texts anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from guidebench.commands import common
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.reporting import renderers, report
from guidebench.store.folders import scan

GOLDENS = Path(__file__).parent / "goldens"
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


def test_the_committed_records_are_what_their_script_writes_and_older_schemas_load(tmp_path):
    script = Path(__file__).parent / "make_records.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "records")], check=True)

    def content(folder):
        return {path.relative_to(folder): path.read_text() for path in folder.rglob("record.json")}

    assert content(tmp_path / "records") == content(script.parent / "records")
    assert {json.loads(text)["schema"] for text in content(script.parent / "records").values()} == {1, 2}
    stored, corrupt = scan(script.parent / "records")
    assert (len(stored), corrupt) == (45, [])


@pytest.mark.parametrize(("style", "layout", "ending"), CASES)
def test_report_is_the_committed_one(committed, style, layout, ending):
    methods = ["guide", "mine"] if layout == "compare" else None
    text = report.report(committed, style, layout=layout, method=methods) + "\n"
    path = GOLDENS / f"{layout}.{ending}"
    if os.environ.get("GUIDEBENCH_WRITE_GOLDENS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _cells(directory):
    lines = csv.DictReader(io.StringIO(report.report(directory, "csv", layout="full")))
    return {(line["protocol"], line["label"], line["metric"], line["judge"]): line for line in lines}


def _edit(directory, label, identity, metric, judge, value):
    (path,) = directory.glob(f"records/celebahq-multi/{label}/{identity}-s0-*/record.json")
    record = json.loads(path.read_text())
    (score,) = (score for score in record["scores"] if (score["metric"], score["judge"]) == (metric, judge))
    score["value"] = value
    path.write_text(json.dumps(record))


def _changed(before, after, *columns):
    """The cells in which one of these columns changed."""
    assert before.keys() == after.keys()
    return {place[1:] for place in before if any(before[place][name] != after[place][name] for name in columns)}


def test_editing_one_score_changes_exactly_its_cell(committed):
    """Under the second judge nothing is tested, so that one value feeds one cell, bold marks of rivals aside."""
    before = _cells(committed)
    _edit(committed, "guide", "p4", "id_others", "beta", 0.5)
    after = _cells(committed)
    every = set(after["celebahq-multi", "guide", "id", "beta"]) - {"best"}
    place = ("guide", "id_others", "beta")
    assert _changed(before, after, *every) == {place}
    # make_records.py: the steps of nine people cancel around 0.29, but p1's second seed is a step of 0.01 further
    level, of_p1, of_p4 = 0.29, 0.5 * 0.01, 0.29 - 0.5 * 0.01
    assert float(after["celebahq-multi", *place]["mean"]) == pytest.approx(level + (of_p1 + 0.5 - of_p4) / 9)


def test_editing_a_tested_score_moves_its_cell_and_the_adjusted_p_of_its_family(committed):
    before = _cells(committed)
    _edit(committed, "guide", "p4", "id", "alpha", 0.9)
    after = _cells(committed)
    place = ("guide", "id", "alpha")
    assert _changed(before, after, "mean", "std", "ci95_low", "difference", "difference_ci95_low", "effect", "p") == {
        place
    }
    moved = _changed(before, after, "p_adjusted")
    assert place in moved
    assert {judge for _, _, judge in moved} <= {"alpha", ""}
    assert _changed(before, after, "pairs", "family", "p_attainable", "identities_paired") == set()


def test_editing_the_reference_moves_its_cell_and_the_differences_to_it(committed):
    before = _cells(committed)
    _edit(committed, "mean-latent", "p4", "fid_pre", None, 30.0)
    after = _cells(committed)
    assert _changed(before, after, "mean", "std") == {("mean-latent", "fid_pre", "")}
    assert _changed(before, after, "difference") == {("guide", "fid_pre", ""), ("mine", "fid_pre", "")}


def test_terminal_fits_its_width_and_loses_nothing(runs):
    for width in (72, 100, 120):
        digest = next(p for p in runs.glob("records/ffhq/guide/*/record.json"))
        found = report.summary(runs, json.loads(digest.read_text())["protocol_digest"], width=width)
        assert max(len(line) for line in found.splitlines()) <= width
        for words in (
            "ID ↓",
            "ID_retain ↑",
            "FID_pre ↓",
            "ΔFID_real ↓",
            renderers.STRANGERS,
            "lost 0/18",
            "1 of 3 failed",
        ):
            assert words in found, (words, width)


@pytest.mark.parametrize("command", [("report", "--format", "terminal"), ("compare", "guide")], ids=lambda c: c[0])
def test_commands_fill_the_terminal_that_they_run_in(committed, monkeypatch, command):
    widest = {}
    for width in (90, 150):
        monkeypatch.setattr(common, "table_width", lambda width=width: width)
        result = CliRunner().invoke(main, [command[0], str(committed), *command[1:]])
        widest[width] = max(map(len, result.output.splitlines()))
    assert widest[90] <= 90 < widest[150] <= 150


def test_summary_takes_one_protocol_and_names_what_is_absent(runs, make_record, says):
    digest = make_record().protocol_digest
    text = report.summary(runs, digest, testbed="mini")
    assert re.search(r"^CelebAHQ \(multi-image\)\W.*\balpha$", text, re.MULTILINE)
    assert "FFHQ" not in text
    only = report.summary(runs, digest, keys={make_record("guide", "a").key})
    assert "\nmean-latent" not in only
    with pytest.raises(BadInput, match=says("protocol 000000000000", f"`guidebench report {runs}`")):
        report.summary(runs, "0" * 64)


def test_terminal_marks_floors_best_rows_intervals_and_caption(runs):
    text = report.report(runs, "terminal", layout="full", protocol="celebahq-multi")
    line = next(line for line in text.splitlines() if line.startswith("guide "))
    assert "0.040 ± 0.020*" in line  # tied with mine: both below the 0.10 of different people
    assert "[-0.010, 0.090]" in text
    assert "nothing (floor)" in text
    assert "scramble (ceiling)" in text
    assert "Rendered faces: not comparable with published figures." in text


def test_what_was_not_run_is_blank_and_what_has_no_value_is_a_dash(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record("scramble", "a", protocol="ffhq"))
    write_record(tmp_path, make_record("guide", "a", protocol="celebahq-multi"))
    lines = [line.split("|") for line in report.report(tmp_path).splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in lines[2][2:4]] == ["– (0 of 1)"] * 2
    assert [cell.strip() for cell in lines[2][6:8]] == ["", ""]
    assert [cell.strip() for cell in lines[3][2:6]] == [""] * 4
    first, second = report.report(tmp_path, "terminal").split("CelebAHQ (multi-image)\n")
    assert ("scramble" in first, "guide " in first, "guide " in second) == (True, False, True)


def test_json_is_null_where_there_is_no_value(runs):
    data = json.loads(report.report(runs, "json"))
    row = next(row for row in data["tables"][0]["rows"] if row["label"] == "scramble")
    assert row["cells"][0]["mean"] is None
    assert (row["cells"][0]["n"], row["cells"][0]["missing"], row["cells"][0]["lost_after"]) == (0, 2, 18)
    assert data["caption"].startswith("Rendered faces")


def test_zero_has_no_sign():
    assert [renderers.number(value, 2) for value in (-0.001, 0.0, -0.009, 1.005)] == ["0.00", "0.00", "-0.01", "1.00"]


def test_markdown_cells_cannot_break_the_table(tmp_path, make_record, write_record):
    write_record(tmp_path, replace(make_record(), label="mine(mode=a|b_c<i>)"))
    lines = [line for line in report.report(tmp_path).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "mine(mode=a\\|b\\_c&lt;i>)" in lines[2]


def test_unknown_format_names_the_known_ones(runs, says):
    with pytest.raises(BadInput, match=says("format 'latx'", "'latex'", "`guidebench report --help`")):
        report.report(runs, "latx")


NASTY = r"m\y_{x}%&$#~^<é>|[0] Δα ± 5° 日本"


def test_latex_escapes_everything_it_may_not_print():
    text = renderers.escape(NASTY)
    assert text.startswith(r"m\textbackslash{}y\_\{x\}\%\&\$\#\textasciitilde{}\textasciicircum{}\textless{}é")
    assert renderers.escape("`--layout`") == "'-{}-layout'"
    assert r"{[}0{]} $\Delta$$\alpha$ $\pm$ 5$^\circ$ \texttt{U+65E5}" in text


def _latex_of_every_layout(runs, make_record, write_record):
    nasty = replace(make_record("mine", "a"), label=NASTY, key="nasty", notes={"caption": NASTY})
    write_record(runs, nasty)
    parts = [report.report(runs, "latex", layout=layout) for layout in ("auto", "table-2", "full")]
    return [*parts, report.report(runs, "latex", layout="compare", method="guide")]


def test_latex_tables_are_balanced_and_every_row_has_its_columns(runs, make_record, write_record):
    """What compiles needs at least this, and it can be checked without LaTeX: a cell may hold a tabular of its own."""
    for text in _latex_of_every_layout(runs, make_record, write_record):
        bare = re.sub(r"\\[\\{}]", "", text)  # without line breaks and escaped braces
        assert bare.count("{") == bare.count("}")
        for name in ("table*", "tabular"):
            assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
        bodies = re.findall(r"^\\begin\{tabular\}\{(l[lc]*)\}\n(.*?)^\\end\{tabular\}", text, re.DOTALL | re.MULTILINE)
        assert len(bodies) == text.count(r"\begin{table*}")
        for columns, body in bodies:
            for line in body.splitlines():
                if line.startswith((r"\toprule", r"\midrule", r"\bottomrule", r"\cmidrule")):
                    continue
                assert line.endswith((r"\\", r"\\[4pt]")), line
                spans = sum(int(width) - 1 for width in re.findall(r"\\multicolumn\{(\d+)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == len(columns), line


def test_latex_tables_that_are_wider_than_a_page_go_on_in_further_floats(runs, monkeypatch):
    texts = {}
    for page in (1000, 80):
        monkeypatch.setattr(renderers, "_PAGE", page)
        texts[page] = report.report(runs, "latex")
    whole, parts = texts[1000], texts[80]
    assert (whole.count(r"\begin{table*}"), whole.count("(continued).")) == (1, 0)
    assert parts.count(r"\begin{table*}") == parts.count("(continued).") + 1 > 2
    values = r"\$[^$]*\\pm[^$]*\$"
    assert sorted(re.findall(values, whole)) == sorted(re.findall(values, parts))
    assert len(re.findall(r"Testbed: mini\b", parts)) == 1, "the notes stand below the last"


def test_latex_compiles(runs, make_record, write_record, tmp_path):
    compiler = shutil.which("pdflatex") or shutil.which("tectonic")
    if compiler is None:
        pytest.skip("neither pdflatex nor tectonic is installed")
    parts = _latex_of_every_layout(runs, make_record, write_record)
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
