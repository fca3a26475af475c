"""Is a method better than another, in words? Verdicts and the command `guidebench compare`."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import differences

LEVEL = [0.5 + 0.01 * place for place in range(8)]
LOWER = [value - 0.2 - 0.01 * (place % 3) for place, value in enumerate(LEVEL)]
MIXED = [value + (0.1 if place % 2 else -0.1) for place, value in enumerate(LEVEL)]


@pytest.mark.parametrize(
    ("metric", "values", "verdict"),
    [
        ("id", LOWER, "better"),
        ("id", [2 * level - low for level, low in zip(LEVEL, LOWER, strict=True)], "worse"),
        ("id_retain", LOWER, "worse"),
        ("id", MIXED, "separable"),
        ("id", LOWER[:5], differences.TOO_SMALL),
        ("id", [None] * 8, None),
    ],
)
def test_better_and_worse_are_said_by_the_test_alone(build, make, says, metric, values, verdict):
    records = make("mean-latent", LEVEL, metric) + make("guide", values, metric)
    if verdict is None:
        with pytest.raises(BadInput, match=says("guide", "mean-latent", "`guidebench scores`")):
            build(records, "compare", against="mean-latent")
        return
    (found,) = differences.comparison(build(records, "compare", against="mean-latent"))
    assert verdict in found.rows[0][-1]
    assert re.search(rf"\bguide\b.*{verdict}.* {METRICS[metric].title}\b", found.lead)


def test_two_methods_at_or_below_different_people_have_both_forgotten(build, make):
    """Different people are at 0.10 under alpha: however far apart below it, neither is better."""
    records = make("mean-latent", [value - 0.5 for value in LEVEL]) + make("guide", [value - 0.9 for value in LEVEL])
    (found,) = differences.comparison(build(records, "compare", against="mean-latent"))
    assert "forgotten" in found.rows[0][-1]


def test_a_further_judge_is_judged_by_its_interval(build, make):
    records = make("mean-latent", LEVEL, judge="beta") + make("guide", LOWER, judge="beta")
    records += make("mean-latent", LEVEL, seed=1) + make("guide", MIXED, seed=1)
    first, second = differences.comparison(build(records, "compare", against="mean-latent"))
    assert all(word in first.title for word in ("CelebAHQ (multi-image)", "alpha", "guide", "mean-latent"))
    assert "beta" in second.title
    assert first.rows[0][-2] == "1.000" and "separable" in first.rows[0][-1]
    assert "interval" in second.rows[0][-2] and second.rows[0][-1] == "better"


def test_zero_has_no_sign():
    assert [differences.number(value, 2) for value in (-0.001, 0.0, -0.009, 1.005)] == ["0.00", "0.00", "-0.01", "1.00"]


# The command line -------------------------------------------------------------------------------------------------


def _run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_compare_answers_the_reviewer_from_records_alone(committed):
    result = _run("compare", committed, "guide")
    assert result.exit_code == 0
    assert re.search(r"\bguide\b.*better.* ID, ID_others, ID_retain, FID_pre, ΔFID_real\b", result.output)
    assert max(map(len, result.output.splitlines())) <= 120
    assert "mine" not in result.output


def test_compare_is_a_layout_of_report_too(committed):
    by_command = _run("compare", committed, "guide", "mine", "--format", "markdown").output
    assert (
        by_command == _run("report", committed, "--layout", "compare", "--method", "guide", "--method", "mine").output
    )
    options = ("--layout", "compare", "--method", "guide", "--against", "mine")
    assert by_command == _run("report", committed, *options).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare", "guide", "guide"), ["two different methods", "guide, guide", "`guidebench compare "]),
        (("compare", "gide"), ["method 'gide'", "'guide'"]),
        (("compare", "scramble"), ["'scramble'", "floor"]),
        (("report", "--layout", "compare"), ["two different methods", "none", "`guidebench compare "]),
        (("report", "--against", "mien"), ["row 'mien'", "'mine'"]),
        (("report", "--layout", "table-9"), ["layout 'table-9'", "'table-", "table-1, table-2"]),
        (
            ("report", "--layout", "table-4"),
            ["table-4", "celebahq-multi", "ffhq", "`guidebench reproduce table-4`"],
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(committed, arguments, words):
    command, *rest = arguments
    result = _run(command, committed, *rest)
    assert result.exit_code == 2
    assert [word for word in words if word not in result.output] == []
    assert len(result.output.strip().splitlines()) == 1


def test_a_name_that_is_a_label_means_that_row_alone(runs, make_record, write_record):
    """guide(steps=5) is the method guide, too, but nobody who says guide means it where there is a guide."""
    write_record(runs, make_record("guide", "a", label="guide(steps=5)"))
    shown = _run("compare", runs, "guide").output
    assert re.search(rf"\bguide\b.*{differences.TOO_SMALL}.* ID, ", shown)
    assert "3 of 3" in shown
    shown = _run("compare", runs, "guide(steps=5)").output
    assert re.search(rf"\bguide\(steps=5\).*{differences.TOO_SMALL}.* ID, ", shown)
    assert "1 of 1" in shown


def test_methods_of_different_protocols_are_not_compared(tmp_path, make_record, write_record):
    write_record(tmp_path, make_record("guide", protocol="ffhq"))
    write_record(tmp_path, make_record("mean-latent", protocol="celebahq-multi"))
    result = _run("compare", tmp_path, "guide")
    assert result.exit_code == 2 and re.search(r"protocols\b.*\bcelebahq-multi\b.*\bffhq\b", result.output)


def test_reference_stays_when_methods_are_chosen(committed):
    """--method guide --against mine: mine is the row to compare with, so it is not filtered away."""
    data = json.loads(_run("report", committed, "--method", "guide", "--against", "mine", "--format", "json").output)
    assert data["against"] == "mine"
    assert [row["label"] for row in data["tables"][0]["rows"]] == ["guide", "mine"]


def test_json_holds_every_number_of_a_test(committed):
    """guide's ID is lower for all nine people: p = 2 / 2^9; of 8 tests, 6 more are that small or smaller."""
    data = json.loads(_run("report", committed, "--layout", "table-2", "--format", "json").output)
    (family,) = data["families"]
    assert (family["size"], family["judge"], family["methods"]) == (8, "alpha", ["guide", "mine"])
    row = next(row for row in data["tables"][0]["rows"] if row["label"] == "guide")
    cell = row["cells"][0]
    assert (row["title"], cell["n"], len(cell["units"])) == ("+ global loss (GUIDE)", 9, 10)
    contrast = cell["contrast"]
    assert (contrast["p"], contrast["adjusted"], contrast["family"]) == (2 / 512, pytest.approx(8 * 2 / 512), 8)
    assert (contrast["exact"], contrast["separated"], contrast["too_small"]) == (True, True, False)
    assert len(contrast["difference"]["values"]) == contrast["difference"]["n"] == 9
    assert contrast["difference"]["effect"] == pytest.approx(
        contrast["difference"]["mean"] / contrast["difference"]["std"]
    )


def test_unreadable_records_are_named_below_the_table_too(committed, caplog):
    (path,) = committed.glob("records/celebahq-multi/guide/p4-*/record.json")
    path.write_text("{")
    result = _run("report", committed, "--protocol", "celebahq-multi")
    assert str(path.parent) in caplog.text
    assert re.search(rf"^- .*\brecords/celebahq-multi/guide/{path.parent.name}: ", result.stdout, re.MULTILINE)
    assert re.search(r"\bguide \(8 of 9\b", result.stdout)


def test_empty_directory_says_what_to_run_first(tmp_path):
    result = _run("report", tmp_path)
    assert result.exit_code == 2
    assert "no records" in result.output
    assert f"`guidebench run --out {tmp_path} --protocol smoke --method guide`" in result.output
