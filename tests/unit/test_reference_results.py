"""The committed results on mini belong together, and pages show them unchanged."""

import csv
import re
from pathlib import Path

import pytest

from guidebench import suites
from guidebench.baselines.ged import Ged
from guidebench.baselines.gradient_ascent import GradientAscent
from guidebench.baselines.guide import Extrapolated, ExtrapolatedAdjacency, Guide, MeanLatent
from guidebench.baselines.legato import Legato
from guidebench.baselines.sugar import Sugar
from guidebench.baselines.targets import Anchor, RandomTarget
from guidebench.testbeds.mini import WEIGHTS_VERSION
from guidebench.testbeds.mini_2d import WEIGHTS_VERSION as VERSION_2D

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "mini"
OF_TABLE_2 = ("celebahq-multi", "guide")
PAPERS = ("table-1", "table-2", "table-3", "table-4", "figure-9")
SUCCESSORS = ("successors", "simultaneous", "sequential")
MEASURED = (*PAPERS, "forgotten-or-hidden", *SUCCESSORS)  # the suites whose results are committed


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "short.md"),
        ("reports/mini/README.md", "orderings.md"),
        ("docs/instrument.md", "instrument.md"),
        ("docs/instrument.md", "sample-count.md"),
        ("docs/instrument.md", "second-codes.md"),
        ("docs/presets.md", "presets.md"),
        ("docs/presets.md", "presets-successors.md"),
        ("docs/successors.md", "successors-short.md"),
        ("docs/successors.md", "simultaneous-short.md"),
        ("docs/successors.md", "sequential-short.md"),
        ("docs/which-metric.md", "which-metric.md"),
    ],
)
def test_a_page_shows_the_committed_file(page, name):
    text = (ROOT / page).read_text()
    shown = re.search(f"<!-- begin reports/mini/{name} -->\n(.*?)<!-- end reports/mini/{name} -->", text, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == (FOLDER / name).read_text().strip()


def test_the_page_of_mini_2d_shows_its_committed_table():
    text, name = (ROOT / "docs/mini-2d.md").read_text(), "reports/mini_2d/short.md"
    shown = re.search(f"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", text, re.DOTALL)
    assert shown is not None and shown[1].strip() == (ROOT / name).read_text().strip()


def test_the_scores_on_mini_2d_are_of_the_weights_that_ship_and_of_equal_people():
    with open(ROOT / "reports/mini_2d/scores.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert {row["testbed"] for row in found} == {"mini-2d"}
    assert {row["weights_version"] for row in found} == {str(VERSION_2D)}
    people: dict[str, set[str]] = {}
    for row in found:
        people.setdefault(row["label"].partition("(")[0], set()).add(row["identity"])
    ladder = [people[method.name] for method in (MeanLatent, Extrapolated, ExtrapolatedAdjacency, Guide)]
    assert all(each == ladder[0] for each in ladder) and len(ladder[0]) == 20


@pytest.fixture(scope="module")
def rows():
    with open(FOLDER / "scores.csv", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("name", PAPERS)
def test_the_committed_scores_hold_every_trial_of_a_suite(rows, name):
    suite = suites.load(name).resolve("mini")
    measured = {(row["protocol"], row["label"], row["identity"], row["seed"]) for row in rows}
    assert suite.table.rows
    for protocol in suite.protocols:
        for label, _ in suite.table.rows:
            found = [trial for trial in measured if trial[:2] == (protocol.name, label)]
            assert len(found) >= protocol.identities * len(protocol.seeds), (protocol.name, label)
    assert {row["testbed"] for row in rows} == {"mini"} and {row["conventions"] for row in rows} == {"corrected"}


def test_the_committed_results_are_of_the_weights_that_ship_which_every_page_names(rows):
    (version,) = {row["weights_version"] for row in rows}
    assert int(version) == WEIGHTS_VERSION
    for name in (*MEASURED, "README"):
        assert re.search(rf"\bversion {version}\b", (FOLDER / f"{name}.md").read_text()), name


def test_the_ladder_was_measured_on_twenty_people_and_three_seeds_under_every_protocol(rows):
    ladder = suites.load("table-2").rows
    for protocol in ("random", "ffhq", "celebahq", "celebahq-multi"):
        for method in (row.method for row in ladder):
            trials = {
                (row["identity"], row["seed"]) for row in rows if (row["protocol"], row["label"]) == (protocol, method)
            }
            assert len({identity for identity, _ in trials}) >= 20 and len(trials) >= 60, (protocol, method)


@pytest.mark.parametrize("name", MEASURED)
def test_every_committed_table_has_the_rows_of_its_suite_and_no_column_twice(name):
    text = (FOLDER / f"{name}.md").read_text()
    for head in (line.split("|") for line in text.splitlines() if line.startswith("| method |")):
        assert len(set(head[1:-1])) == len(head) - 2
    for _, title in suites.load(name).resolve("mini").table.rows:
        assert re.search(rf"^\| {re.escape(title.replace('_', chr(92) + '_'))}( \(.*?\))? \|", text, re.MULTILINE)


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


def test_the_short_table_follows_from_the_committed_scores(rows):
    """Four columns under the first judge, seeds first, then identities; no line is wider than a terminal."""
    labels = ("mean-latent", "extrapolated", "extrapolated-adj", "guide", "grey", "redirect")
    columns = {"id": 0.00501, "id_others": 0.00501, "id_retain": 0.00501, "fid_pre": 0.0501}
    lines = (FOLDER / "short.md").read_text().splitlines()
    table = [line.strip("|").split("|") for line in lines[2:] if line.startswith("|")]
    assert len(table) == len(labels) and max(len(line.replace("**", "")) for line in lines) <= 80
    for label, (_, *cells) in zip(labels, table, strict=True):
        for (metric, tolerance), cell in zip(columns.items(), cells, strict=True):
            by_identity: dict[str, list[float]] = {}
            for row in rows:
                if (row["protocol"], row["label"], row["metric"]) == (OF_TABLE_2[0], label, metric):
                    if row["judge"] in ("", "curricularface"):
                        by_identity.setdefault(row["identity"], []).append(float(row["value"]))
            assert len(by_identity) == 20
            mean = sum(sum(values) / len(values) for values in by_identity.values()) / len(by_identity)
            assert float(cell.strip(" *").split()[0]) == pytest.approx(mean, abs=tolerance), (label, metric)


def test_the_committed_orderings_name_every_claim():
    text = (FOLDER / "orderings.md").read_text()
    from guidebench.reporting.paper_claims import ORDERINGS

    for ordering in ORDERINGS:
        assert f"{ordering.first} - {ordering.second}" in text


def test_the_committed_page_on_the_instrument_follows_from_the_committed_scores(rows):
    """Its mean difference of GUIDE and the baseline in FID_pre: seeds first, then identities."""
    values: dict[str, dict[tuple[str, str], float]] = {"guide": {}, "mean-latent": {}}
    for row in rows:
        if (row["protocol"], row["metric"]) == (OF_TABLE_2[0], "fid_pre") and row["label"] in values:
            values[row["label"]][row["identity"], row["seed"]] = float(row["value"])
    by_identity: dict[str, list[float]] = {}
    for (identity, seed), value in values["guide"].items():
        by_identity.setdefault(identity, []).append(value - values["mean-latent"][identity, seed])
    mean = sum(sum(own) / len(own) for own in by_identity.values()) / len(by_identity)
    start = "| FID\\_pre | guide − mean-latent | "
    (line,) = [line for line in (FOLDER / "instrument.md").read_text().splitlines() if line.startswith(start)]
    assert float(line.removeprefix(start).split()[0]) == pytest.approx(mean, abs=0.00501)


def test_every_preset_is_the_setting_of_the_grid_that_meets_the_criterion_best():
    head, _, *lines = (FOLDER / "presets.md").read_text().splitlines()
    titles, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in [head, *lines])
    chosen_from = [row for row in rows if row[0] == "25"]
    assert len(chosen_from) == 6, "as many settings for every method"
    for kind in (MeanLatent, Extrapolated, ExtrapolatedAdjacency, Guide):
        column = titles.index(kind.name)
        best = max(chosen_from, key=lambda row: float(row[column].strip("*")))
        assert kind.presets["mini"] == {"steps": int(best[0]), "lr": float(best[1])}
        assert [row for row in rows if "**" in row[column]] == [best]


@pytest.mark.parametrize("method", [Sugar, Legato, Ged, GradientAscent, Anchor, RandomTarget])
def test_every_preset_of_a_successor_is_the_best_of_six_learning_rates(method):
    lines = (FOLDER / "presets-successors.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    own = [row for row in rows if row[0] == method.name]
    assert len({row[2] for row in own}) == len(own) == 6 == method.settings_tried["mini"]
    best = max((row for row in own if row[3] != "–"), key=lambda row: float(row[3].strip("*")))
    assert method.presets["mini"] == {"steps": int(best[1]), "lr": float(best[2])}
    assert [row for row in own if "**" in row[3]] == [best] and best not in (own[0], own[-1])
