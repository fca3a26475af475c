"""`guidebench page`, and `guidebench report --format html`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main

RECORDS = str(Path(__file__).parents[1] / "reporting" / "records")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(main, words)


def test_page_is_written_where_it_says(run, tmp_path):
    result = run("page", RECORDS, "--protocol", "ffhq")
    assert (result.exit_code, result.stdout.strip()) == (0, "wrote page/index.html")
    assert "FFHQ" in (tmp_path / "page/index.html").read_text()


def test_report_prints_the_page_or_writes_it(run, tmp_path):
    printed = run("report", RECORDS, "--format", "html", "--protocol", "ffhq")
    assert run("report", RECORDS, "--format", "html", "--protocol", "ffhq", "--out", "one.html").exit_code == 0
    assert printed.stdout == (tmp_path / "one.html").read_text()
    assert printed.stdout.startswith("<!doctype html>") and '"pictures":false' in printed.stdout


def test_report_in_other_formats_is_written_to_a_file_too(run, tmp_path):
    assert run("report", RECORDS, "--out", "table.md", "--protocol", "ffhq").stdout.strip() == "wrote table.md"
    assert (tmp_path / "table.md").read_text() == run("report", RECORDS, "--protocol", "ffhq").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("page", "absent"), ["no such directory", "absent"]),
        (("page", "."), ["no records"]),
        (("page", RECORDS, "--protocol", "fhq"), ["'fhq'", "'ffhq'"]),
        (("page", RECORDS, "--out", "taken"), ["taken", "--out"]),
        (("page", RECORDS, "--against", "nobody"), ["'nobody'", "guide"]),
        (("report", RECORDS, "--format", "html", "--layout", "table-2"), ["--layout table-2"]),
        (("report", RECORDS, "--format", "html", "--published"), ["--published"]),
    ],
)
def test_bad_input_is_answered_in_one_line(run, tmp_path, words, said):
    (tmp_path / "taken").write_text("")
    result = run(*words)
    assert result.exit_code == 2 and result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert all(part in result.stderr for part in said)


def test_records_that_cannot_be_read_are_named(run, tmp_path):
    broken = tmp_path / "runs/records/p/m/x-s0-000000000000"
    broken.mkdir(parents=True)
    (broken / "record.json").write_text("{")
    result = run("page", "runs")
    assert result.exit_code == 2 and "record.json" in result.stderr and not (tmp_path / "page").exists()
