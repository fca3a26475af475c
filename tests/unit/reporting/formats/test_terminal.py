"""Plain text: it fits its width and loses nothing."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from guidebench.commands import common, main
from guidebench.reporting import report


def test_terminal_fits_its_width_and_loses_nothing(runs):
    for width in (72, 100, 120):
        found = report.report(runs, "terminal", layout="full", protocol="ffhq", width=width)
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


@pytest.mark.parametrize("command", [("report", "--format", "terminal"), ("compare", "guide")], ids=lambda c: c[0])
def test_commands_fill_the_terminal_that_they_run_in(committed, monkeypatch, command):
    widest = {}
    for width in (90, 150):
        monkeypatch.setattr(common, "table_width", lambda width=width: width)
        result = CliRunner().invoke(main.main, [command[0], str(committed), *command[1:]])
        widest[width] = max(map(len, result.output.splitlines()))
    assert widest[90] <= 90 < widest[150] <= 150


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
