"""What the page shows, beside what a table in Markdown says of the same records."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from page_records import attacked
from unit.reporting.conftest import build_record, judged

from guidebench.page.boards import Board, Source, boards_of, trial_of
from guidebench.page.data import data_of
from guidebench.page.html import html_of
from guidebench.protocol import Protocol
from guidebench.reporting import report
from guidebench.reporting.choice import Choice
from guidebench.reporting.scores import Loaded
from guidebench.store.folders import StoredRecord

COMMITTED = Path(__file__).parents[1] / "reporting" / "records"


def board_of(records, name="board"):
    """A board of records without folders."""
    stored = [StoredRecord(record, f"out/records/p/m/{place}") for place, record in enumerate(records)]
    made = report.report_of(Loaded(stored, []), Path("out"), Choice("full"), None, False, None)
    return Board(name, made, MappingProxyType({trial_of(one.record): one for one in stored}), {})


@pytest.fixture(scope="module")
def committed():
    return data_of(boards_of([Source(COMMITTED)]))


@pytest.fixture(scope="module")
def markdown():
    return report.report(COMMITTED, "markdown", layout="full")


def test_numbers_are_those_of_the_table_in_markdown(committed, markdown):
    """Every cell of every table, to the digit."""
    tables = [line for line in markdown.splitlines() if line.startswith("| ")]
    cells = [cell.replace("**", "").strip() for line in tables for cell in line.split("|")[2:-1]]
    printed = Counter(re.split(r" [\[(]", cell)[0] for cell in cells)
    shown = [cell["text"] for board in committed["boards"] for row in board["rows"] for cell in row["cells"] if cell]
    assert len(shown) > 100
    assert all(printed[text] >= count for text, count in Counter(shown).items())


def test_points_are_what_means_are_over(committed):
    for board in committed["boards"]:
        for row in board["rows"]:
            for cell, column in zip(row["cells"], board["columns"], strict=True):
                values = [value for value in (cell or {}).get("values", []) if value is not None]
                if values:
                    assert len(values) == cell["n"] <= len(board["people"])
                    assert sum(values) / len(values) == pytest.approx(cell["mean"], abs=10 ** -(column["digits"] + 1))


def test_seeds_of_a_person_are_one_point_and_two_trials(committed):
    (board,) = [one for one in committed["boards"] if one["name"] == "celebahq-multi"]
    (guide,) = [row for row in board["rows"] if row["label"] == "guide"]
    at = board["people"].index("p1")
    assert [trial["seed"] for trial in guide["trials"] if trial["group"] == at] == [0, 1]
    assert all(board["texts"][trial["command"]].startswith("guidebench run") for trial in guide["trials"])


def test_a_zero_is_shown_and_what_is_lacking_is_said(committed):
    (board,) = [one for one in committed["boards"] if one["name"] == "celebahq-multi"]
    rows = {row["label"]: row for row in board["rows"]}
    fid = [column["metric"] for column in board["columns"]].index("fid_pre")
    assert rows["nothing"]["cells"][fid]["mean"] == 0.0
    assert rows["scramble"]["cells"][0]["n"] == 0 and rows["scramble"]["doubts"] == ["faces lost"]
    (failed,) = [trial for trial in rows["mine"]["trials"] if "failed" in trial]
    assert "not finite" in failed["failed"]
    lacks = [lack for trial in rows["mine"]["trials"] for lack in trial.get("lacks", [])]
    metrics = [board["columns"][place]["metric"] for place, *_ in lacks]
    assert metrics == ["id_others", "id_others"] and [lack[2:] for lack in lacks] == [[9, 11], [9, 11]]
    assert "2 of 11" in board["texts"][lacks[0][1]]


def test_columns_of_attacks_are_a_set_of_their_own(make_record):
    records = [attacked(make_record(method, "a")) for method in ("guide", "mean-latent")]
    (board,) = data_of([board_of(records)])["boards"]
    kinds = {column["metric"]: column["kind"] for column in board["columns"]}
    assert kinds["id_after_neighbourhood"] == kinds["id_worst"] == "attacks"
    assert (kinds["id"], kinds["fid_pre"], kinds["seconds_unlearn"]) == ("identity", "images", "cost")


def test_published_numbers_stand_apart_with_link_and_venue(committed):
    reported = {board["name"]: board["reported"] for board in committed["boards"]}
    table = next(table for table in reported["celebahq-multi"] if table["title"] == "GUIDE, Table 2")
    assert (table["venue"], table["link"]) == ("CVPR 2024", "https://arxiv.org/abs/2405.09879")
    assert table["rows"][-1]["cells"] == ["0.03 ± 0.05", "0.17 ± 0.08", "7.88 ± 1.96", "3.34 ± 1.10"]


def test_groups_of_people_are_the_points_where_a_trial_forgets_several(make_record):
    protocol = Protocol(name="two", version=1, title="Two", source="ffhq", identities=4, forget=2, samples=400)
    requests = ([["a", "b"]], [["c", "d"]])
    scores = [judged("id", 0.1, identity="a"), judged("id", 0.3, identity="b")]
    own = [make_record("guide", protocol=protocol, requests=each, scores=scores) for each in requests]
    (board,) = data_of([board_of(own)])["boards"]
    assert board["unit"] == "group" and board["people"] == ["a+1", "c+1"]
    assert board["rows"][0]["trials"][0]["people"] == ["a", "b"]
    assert board["rows"][0]["cells"][0]["values"] == [0.2, 0.2]


def test_two_thousand_records_stay_below_five_megabytes():
    """Of twenty metrics under two judges: what a hundred records add to an empty page, twenty times."""
    metrics = ("id", "id_others", "id_retain", *(f"metric_{number}" for number in range(17)))
    records = []
    for person in (f"celebahq-{number:04d}" for number in range(20)):
        scores = tuple(
            judged(name, 0.1234567 * (place + 1) / 21, judge, identity=person)
            for judge in ("alpha", "beta")
            for place, name in enumerate(metrics)
        )
        first = build_record("guide", person, scores=scores)
        for number in range(5):
            fields = {"steps": number, "lr": 0.001}
            method = replace(first.spec.method, label=f"guide(steps={number})", fields=fields)
            records.append(replace(first, spec=replace(first.spec, method=method)))
    data = data_of([board_of(records)], records=True)
    empty, whole = (len(html_of({**data, "boards": boards}).encode()) for boards in ([], data["boards"]))
    assert empty + 20 * (whole - empty) < 5e6
