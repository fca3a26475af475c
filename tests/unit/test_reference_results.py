"""The committed results on mini belong together, and the README shows them unchanged."""

import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "mini"


@pytest.mark.parametrize("name", ["celebahq-multi.md", "orderings.md"])
def test_the_readme_shows_the_committed_file(name):
    readme = (ROOT / "README.md").read_text()
    shown = re.search(f"<!-- begin reports/mini/{name} -->\n(.*?)<!-- end reports/mini/{name} -->", readme, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == (FOLDER / name).read_text().strip()


def test_the_committed_scores_hold_the_ladder_over_all_identities_and_seeds():
    with open(FOLDER / "scores.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for method in ("mean-latent", "extrapolated", "extrapolated-adj", "guide"):
        trials = {(row["identity"], row["seed"]) for row in rows if row["label"] == method}
        assert len(trials) == 30, method
    assert {row["testbed"] for row in rows} == {"mini"} and {row["conventions"] for row in rows} == {"corrected"}


def test_the_committed_means_follow_from_the_committed_scores():
    """GUIDE's mean ID under the first judge: seeds averaged within an identity, then identities."""
    with open(FOLDER / "scores.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if (row["label"], row["metric"]) == ("guide", "id")]
    by_identity: dict[str, list[float]] = {}
    for row in rows:
        if row["judge"] == "curricularface":
            by_identity.setdefault(row["identity"], []).append(float(row["value"]))
    mean = sum(sum(values) / len(values) for values in by_identity.values()) / len(by_identity)
    line = next(line for line in (FOLDER / "celebahq-multi.md").read_text().splitlines() if line.startswith("| guide"))
    first = line.split("|")[2].replace("**", "")
    assert float(first.split("±")[0]) == pytest.approx(mean, abs=0.00501)


def test_the_committed_orderings_name_every_claim():
    text = (FOLDER / "orderings.md").read_text()
    from guidebench.reporting.orderings import ORDERINGS

    for ordering in ORDERINGS:
        assert f"{ordering.first} - {ordering.second}" in text
