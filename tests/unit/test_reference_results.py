"""The committed results on mini belong together, and the README shows them unchanged."""

import csv
import re
from pathlib import Path

import pytest

from guidebench import suites

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "mini"
OF_TABLE_2 = ("celebahq-multi", "guide")


@pytest.mark.parametrize("name", ["table-2.md", "orderings.md"])
def test_the_readme_shows_the_committed_file(name):
    readme = (ROOT / "README.md").read_text()
    shown = re.search(f"<!-- begin reports/mini/{name} -->\n(.*?)<!-- end reports/mini/{name} -->", readme, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == (FOLDER / name).read_text().strip()


@pytest.fixture(scope="module")
def rows():
    with open(FOLDER / "scores.csv", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", suites.names())
def test_the_committed_scores_hold_every_trial_of_a_suite(rows, name):
    suite = suites.load(name).resolve("mini")
    measured = {(row["protocol"], row["label"], row["identity"], row["seed"]) for row in rows}
    assert suite.table.rows
    for protocol in suite.protocols:
        for label, _ in suite.table.rows:
            found = [trial for trial in measured if trial[:2] == (protocol.name, label)]
            assert len(found) >= protocol.identities * len(protocol.seeds), (protocol.name, label)
    assert {row["testbed"] for row in rows} == {"mini"} and {row["conventions"] for row in rows} == {"corrected"}


@pytest.mark.parametrize("name", suites.names())
def test_every_committed_table_has_the_rows_of_its_suite(name):
    text = (FOLDER / f"{name}.md").read_text()
    for _, title in suites.load(name).resolve("mini").table.rows:
        assert f"| {title.replace('_', chr(92) + '_')} |" in text


def test_the_committed_means_follow_from_the_committed_scores(rows):
    """GUIDE's mean ID under the first judge: seeds averaged within an identity, then identities."""
    by_identity: dict[str, list[float]] = {}
    for row in rows:
        if (row["protocol"], row["label"], row["metric"], row["judge"]) == (*OF_TABLE_2, "id", "curricularface"):
            by_identity.setdefault(row["identity"], []).append(float(row["value"]))
    mean = sum(sum(values) / len(values) for values in by_identity.values()) / len(by_identity)
    table = (FOLDER / "table-2.md").read_text().splitlines()
    line = next(line for line in table if line.startswith("| + global loss (GUIDE) |"))
    first = line.split("|")[2].replace("**", "")
    assert float(first.split("±")[0]) == pytest.approx(mean, abs=0.00501)


def test_the_committed_orderings_name_every_claim():
    text = (FOLDER / "orderings.md").read_text()
    from guidebench.reporting.orderings import ORDERINGS

    for ordering in ORDERINGS:
        assert f"{ordering.first} - {ordering.second}" in text
