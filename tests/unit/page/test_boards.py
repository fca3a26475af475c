"""Which records share a table of the page."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.page.boards import Source, boards_of, conditions
from guidebench.reporting.selection import Filter


@pytest.fixture
def out(tmp_path, make_record, write_record):
    for protocol in ("ffhq", "celebahq-multi"):
        write_record(tmp_path / "one", make_record("guide", "a", protocol=protocol))
    return tmp_path


def names(*sources, **options):
    return [board.name for board in boards_of([Source(source) for source in sources], **options)]


def test_every_protocol_is_a_table_of_its_own(out):
    assert names(out / "one") == ["ffhq", "celebahq-multi"]
    assert names(out / "one", chosen=Filter(protocol="ffhq")) == ["ffhq"]


@pytest.mark.parametrize(
    "change",
    [{"numerics": 2}, {"weights": {"generator": "f" * 64}}, {"manifest": "f" * 64}, {"conventions": "published"}],
)
def test_rows_that_measured_different_things_share_no_table(out, make_record, write_record, change):
    """What a table in Markdown refuses to mix becomes two tables, and each says what is different."""
    write_record(out / "two", make_record("mine", "a", protocol="ffhq", **change))
    boards = boards_of([Source(out / "one"), Source(out / "two")], Filter(protocol="ffhq"))
    assert [board.name for board in boards] == ["ffhq@mini@1", "ffhq@mini@2"]
    first, second = (conditions(board.first) for board in boards)
    assert first != second
    assert [[row.label for row in board.report.tables[0].rows] for board in boards] == [["guide"], ["mine"]]


def test_testbeds_are_told_apart_by_name(out, make_record, write_record):
    write_record(out / "two", make_record("guide", "a", protocol="ffhq", testbed="linear"))
    assert names(out / "one", out / "two") == ["ffhq@linear", "ffhq@mini", "celebahq-multi"]


def test_a_network_that_not_every_record_has_separates_nothing(out, make_record, write_record):
    weights = {"generator": "a" * 64, "recogniser": "9" * 64}
    write_record(out / "two", make_record("mine", "a", protocol="ffhq", weights=weights))
    assert names(out / "one", out / "two") == ["ffhq", "celebahq-multi"]


def test_a_trial_in_several_directories_is_of_the_first(out, make_record, write_record, caplog):
    for person in "ab":
        write_record(out / "two", make_record("guide", person, protocol="ffhq"))
    board, _ = boards_of([Source(out / "one", "Ann"), Source(out / "two", "Bob")])
    by = {stored.record.spec.group: board.by[trial].by for trial, stored in board.stored.items()}
    assert by == {"a": "Ann", "b": "Bob"}
    assert board.report.tables[0].rows[0].cells[0].summary.n == 2
    assert "in several of" in caplog.text


def test_what_cannot_be_shown_is_refused(out, tmp_path, says):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=says("no records", "empty")):
        names(out / "one", tmp_path / "empty")
    with pytest.raises(BadInput, match=says("'celeba'", "ffhq")):
        names(out / "one", chosen=Filter(protocol="celeba"))
    with pytest.raises(BadInput, match=says("'nobody'", "guide")):
        names(out / "one", against="nobody")
