"""Several people from the command line: groups of any size, one by one, and the two layouts."""

import json

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main

SINGLE, LINEAR = "redirect", ("--testbed", "linear", "--workers", "0")
QUICK = ("--testbed", "linear", "--samples", "40", "--method", "redirect", "--set", "radius=2", "--workers", "0")


def report(out, *words):
    result = CliRunner().invoke(main, ["report", str(out), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_sizes_are_columns_and_requests_are_curves(tmp_path, guidebench_run):
    out = tmp_path / "out"
    for words in (
        ("--protocol", "celebahq-simultaneous", "--forget", "2", "--identities", "4"),
        ("--protocol", "celebahq-simultaneous-3", "--identities", "3"),
        ("--protocol", "celebahq-sequential", "--requests", "2", "--identities", "2"),
    ):
        result = guidebench_run("run", *words, *QUICK, "--one-by-one", "--floors", "none", out=out)
        assert result.exit_code == 0 and "one by one" in result.stdout, result.output
    scenario = report(out, "--layout", "scenario")
    assert "| method | 2 people | 3 people |" in scenario and "2 groups × 2 people, in one request" in scenario
    assert "one by one" in scenario
    sequence = json.loads(report(out, "--layout", "sequence", "--format", "json"))
    assert sequence["people"] == {"celebahq-sequential-2x1": 2} and sequence["matrices"]
    relapse = next(table for table in sequence["tables"] if "Relapse" in table["title"])
    assert [column["after_request"] for column in relapse["columns"]] == [2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--forget", "50"), ("50 people", "'celebahq' holds 40", "--forget")),
        (("--forget", "20"), ("60 identities", "'celebahq' holds 40", "ask for 40 or fewer")),
        (("--forget", "0"), ("forget = 0", "1 to")),
        (("--forget", "5", "--identities", "7"), ("identities = 7", "multiple of 5")),
    ],
)
def test_groups_that_do_not_fit_are_one_clear_line(tmp_path, guidebench_run, words, said):
    result = guidebench_run(
        "run", "--protocol", "celebahq-simultaneous", *words, *QUICK, "--one-by-one", out=tmp_path / "out"
    )
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert all(part in result.stderr for part in said), result.stderr


def test_a_method_for_one_person_is_refused_with_what_would_help(tmp_path, guidebench_run):
    result = guidebench_run("run", "--protocol", "celebahq-sequential", "--method", SINGLE, *LINEAR, out=tmp_path)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert all(part in result.stderr for part in ("supports: single", "5 requests", "--one-by-one"))
