"""LaTeX: it is escaped, balanced, and compiles where there is a compiler."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from guidebench.reporting import report
from guidebench.reporting.formats import latex

NASTY = r"m\y_{x}%&$#~^<é>|[0] Δα ± 5° 日本"


def test_latex_escapes_everything_it_may_not_print():
    text = latex.escape(NASTY)
    assert text.startswith(r"m\textbackslash{}y\_\{x\}\%\&\$\#\textasciitilde{}\textasciicircum{}\textless{}é")
    assert latex.escape("`--layout`") == "'-{}-layout'"
    assert r"{[}0{]} $\Delta$$\alpha$ $\pm$ 5$^\circ$ \texttt{U+65E5}" in text


def _latex_of_every_layout(runs, make_record, write_record):
    nasty = make_record("mine", "a", label=NASTY, caption=NASTY)
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
        monkeypatch.setattr(latex, "_PAGE", page)
        texts[page] = report.report(runs, "latex")
    whole, parts = texts[1000], texts[80]
    assert (whole.count(r"\begin{table*}"), whole.count("(continued).")) == (1, 0)
    assert parts.count(r"\begin{table*}") == parts.count("(continued).") + 1 > 2
    values = r"\$[^$]*\\pm[^$]*\$"
    assert sorted(re.findall(values, whole)) == sorted(re.findall(values, parts))
    assert len(re.findall(r"Testbed: mini\b", parts)) == 1, "the notes are below the last"


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
