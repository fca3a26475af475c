"""What lies beside record.json is what the trial wrote, or is noticed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from guidebench import digest
from guidebench.chosen import ChosenAttack
from guidebench.store import folders
from guidebench.store.contents import check_contents
from guidebench.store.record import AttackRun


@pytest.fixture
def two(tmp_path, make_record, put_record):
    """The folders of two people's records."""
    return [put_record(tmp_path, make_record(person)) for person in ("anna", "bert")]


def only_left_out(tmp_path, folder):
    """The reason why one of several records is left out."""
    stored, corrupt = folders.scan(tmp_path)
    assert folder not in [item.path for item in stored] and stored
    (item,) = corrupt
    assert item.path == folder and "\n" not in item.reason
    assert folders.Store(tmp_path).measured(folder) is None, "a run measures it again"
    return item.reason


def test_every_file_is_in_the_record_but_hidden_ones(two):
    assert set(folders.read(two[0]).files) == {"evidence.npz", "progress.csv", "pictures/sheet.png"}
    (two[0] / ".DS_Store").write_text("of a file manager")
    assert folders.read(two[0])


@pytest.mark.parametrize("name", ["evidence.npz", "progress.csv"])
def test_a_file_of_another_trial_is_named_and_its_record_left_out(tmp_path, two, name):
    shutil.copy(two[1] / name, two[0] / name)
    assert only_left_out(tmp_path, two[0]).startswith(f"{name} is not the one that the trial wrote")


def test_one_changed_byte_of_evidence_is_noticed_after_it_was_read_before(tmp_path, two):
    assert len(folders.scan(tmp_path)[0]) == 2
    content = bytearray((two[0] / "evidence.npz").read_bytes())
    content[-40] ^= 1
    (two[0] / "evidence.npz").write_bytes(content)
    assert "evidence.npz" in only_left_out(tmp_path, two[0])


def test_a_file_that_was_put_beside_a_record_later_is_not_its_own(tmp_path, two):
    shutil.copy(two[0] / "evidence.npz", two[0] / "latents.npz")
    assert only_left_out(tmp_path, two[0]).startswith("latents.npz is not the record's own")


def test_a_file_that_is_gone_costs_only_what_is_read_from_it(two):
    (two[0] / "evidence.npz").unlink()
    assert folders.read(two[0]).outcome.scores


def test_pictures_are_checked_where_they_are_shown(two):
    (two[0] / "pictures/sheet.png").write_text("another picture")
    record = folders.read(two[0])
    with pytest.raises(ValueError, match=r"^pictures/sheet\.png "):
        check_contents(record, two[0], ["pictures/sheet.png"])


@pytest.mark.parametrize("change", ["changed", "another", "unlisted", "gone"])
def test_files_of_attacks_are_checked_as_those_that_hold_numbers(tmp_path, two, change):
    folder, (name, other) = two[0], ("attacks/a-1.npz", "attacks/b-2.npz")
    attack = ChosenAttack(
        spec="a",
        name="a",
        class_name="Attack",
        label="a",
        fields={},
        source_digest="s",
        knows="",
        unit="",
        shows_anybody=False,
    )
    (folder / "attacks").mkdir()
    (folder / name).write_bytes(b"numbers")
    record = replace(folders.read(folder), attacks=(AttackRun(attack=attack, seconds=1.0, file=name),))
    folders.rewrite_record(replace(record, files={**record.files, name: digest.of_file(folder / name)}), folder)
    assert folders.read(folder).attack_files == (name,)
    if change == "changed":
        (folder / name).write_bytes(b"other numbers")
        assert only_left_out(tmp_path, folder).startswith(f"{name} is not the one that the trial wrote")
    elif change == "another":
        record = folders.read(folder)
        kept = {file: sha for file, sha in record.files.items() if file != name}
        folders.rewrite_record(replace(record, files=kept), folder)
        assert only_left_out(tmp_path, folder).startswith(f"{name} is not the record's own")
    else:
        (folder / other).write_bytes(b"left by a process that was killed")
        (folder / name).unlink() if change == "gone" else None
        assert folders.read(folder).outcome.scores
