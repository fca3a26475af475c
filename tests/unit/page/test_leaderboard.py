"""Submissions on a page: who handed in what, and bad files in one line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from page_records import save_with_pictures
from unit.page.test_bundle import embedded

from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.page.boards import Source
from guidebench.page.bundle import write_page
from guidebench.page.leaderboard import gathered
from guidebench.submissions.manifest import Submission, Tuning
from guidebench.submissions.pack import pack

LINK = "https://example.org/paper"


@pytest.fixture
def submissions(tmp_path, make_record):
    """A folder with what two authors handed in."""
    folder = tmp_path / "submissions"
    folder.mkdir()
    for method, authors, tuning in (("guide", "Ann", Tuning(settings_tried=6)), ("mine", "", Tuning())):
        save_with_pictures(tmp_path / method, make_record(method, "a"))
        about = Submission(form="method", name=method, authors=authors, link=LINK, tuning=tuning, evidence=False)
        pack([tmp_path / method], folder / f"{method}.zip", about)
    return folder


def test_a_folder_of_submissions_is_a_leaderboard(submissions, tmp_path):
    result = CliRunner().invoke(main, ["page", str(submissions), "--out", str(tmp_path / "page")])
    assert result.exit_code == 0, result.output
    (board,) = embedded(tmp_path / "page/index.html")["boards"]
    assert {row["label"]: row["by"] for row in board["rows"]} == {
        "guide": [{"name": "guide, Ann", "link": LINK, "tuning": "6 settings tried"}],
        "mine": [{"name": "mine", "link": LINK, "tuning": ""}],
    }
    assert all(trial["pictures"] for row in board["rows"] for trial in row["trials"])


def test_results_and_submissions_stand_side_by_side(submissions, tmp_path, make_record):
    save_with_pictures(tmp_path / "own", make_record("nothing", "a"))
    with gathered([tmp_path / "own", submissions / "mine.zip"]) as given:
        assert [source.by for source in given.sources] == ["", "mine"]
        (board,) = embedded(write_page(given.sources, tmp_path / "page"))["boards"]
    assert {row["label"]: len(row["by"]) for row in board["rows"]} == {"nothing": 0, "mine": 1}


def test_what_attacks_find_stands_in_the_row_of_the_attacked_trials_and_in_no_other(tmp_path, make_record):
    """Two testbeds have rows of one protocol and one label."""
    records = [make_record("mine", person, testbed=testbed) for person in "ab" for testbed in ("mini", "other")]
    for record in records:
        save_with_pictures(tmp_path / "own", record)
    attacked = [record for record in records if record.spec.testbed == "other"]
    found = {(record.key, "mine"): ["found"] for record in attacked}
    boards = embedded(write_page([Source(tmp_path / "own")], tmp_path / "page", attacked=found))["boards"]
    assert {board["testbed"]: [row["attacked"] for row in board["rows"]] for board in boards} == {
        "mini": [[]],
        "other": [["found"]],
    }


def test_a_zip_that_is_no_submission_is_named(submissions, tmp_path, says):
    (submissions / "odd.zip").write_bytes(b"PK")
    with pytest.raises(BadInput, match=says(str(submissions / "odd.zip"))), gathered([submissions]):
        pass
