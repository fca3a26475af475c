"""Folders of records are found at any depth; what cannot be looked into is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from guidebench.store import finding, folders
from guidebench.store.finding import find
from guidebench.store.folders import Store


@pytest.fixture
def three(tmp_path, make_record, put_record):
    """Two records and a failure of one run; returns their folders."""
    return [
        put_record(tmp_path / "runs", record)
        for record in (make_record("anna"), make_record("bert"), make_record("carl", failed="no"))
    ]


def test_records_and_failures_are_found_in_one_run_and_in_a_folder_of_runs(tmp_path, three):
    shutil.copytree(tmp_path / "runs", tmp_path / "deep/er/copy")
    for root, times in ((tmp_path / "runs", 1), (tmp_path, 2), (tmp_path / "deep", 1)):
        found = find(root)
        assert (len(found.records), len(found.failures), found.hidden) == (2 * times, times, [])


def test_later_attempts_come_later(tmp_path, make_record, put_record):
    for number in range(11):
        put_record(tmp_path, make_record(failed=f"attempt {number}"))
    assert [Path(listed.folder).name for listed in find(tmp_path).failures] == [str(number) for number in range(1, 12)]


def test_what_lies_in_a_folder_is_listed_with_it(tmp_path, three):
    (three[1] / "attacks").mkdir()
    listed = {Path(item.folder): item.names for item in find(tmp_path).records}
    assert listed == {folder: {path.name for path in folder.iterdir()} for folder in three[:2]}


def test_what_lies_inside_a_record_is_no_record(tmp_path, three):
    shutil.copytree(three[0], three[1] / "generator")
    assert len(find(tmp_path).records) == 2


def test_a_link_to_a_folder_is_named_and_not_followed(tmp_path, three):
    shutil.move(three[0], tmp_path / "elsewhere")
    three[0].symlink_to(tmp_path / "elsewhere")
    (three[1].parents[1] / "linked").symlink_to(tmp_path / "elsewhere")
    (three[1].parents[1] / "dangling").symlink_to(tmp_path / "nothing")
    (three[1].parents[1] / "notes").symlink_to(tmp_path / "elsewhere/record.json")
    stored, corrupt = folders.scan(tmp_path / "runs")
    assert len(stored) == 2
    assert {item.path.name for item in corrupt} == {three[0].name, "linked", "dangling"}
    assert all("symbolic link" in item.reason and "folder itself" in item.cure for item in corrupt)
    assert Store(tmp_path / "runs").measured(three[0]) is None, "a run measures it again"


def test_a_linked_run_below_a_folder_of_runs_is_named_and_other_links_are_not(tmp_path, three):
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere/runs")
    (tmp_path / "all").mkdir()
    (tmp_path / "all/one").symlink_to(tmp_path / "elsewhere/runs")
    (tmp_path / "all/other").symlink_to(tmp_path / "elsewhere")
    found = find(tmp_path / "all")
    assert (found.records, [item.path.name for item in found.hidden]) == ([], ["one"])


def test_records_may_lie_on_another_disk_as_a_whole(tmp_path, three):
    shutil.move(tmp_path / "runs/records", tmp_path / "disk")
    (tmp_path / "runs/records").symlink_to(tmp_path / "disk")
    assert len(folders.scan(tmp_path / "runs")[0]) == 3


def test_a_folder_that_cannot_be_read_is_named(tmp_path, three, monkeypatch):
    scandir = os.scandir

    def denied(path):
        if os.fspath(path) == os.fspath(three[0]):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(finding.os, "scandir", denied)
    stored, (item,) = folders.scan(tmp_path / "runs")
    assert len(stored) == 2 and item.path == three[0] and item.reason == "cannot be read: Permission denied"


def test_an_unreadable_folder_beside_runs_is_named(tmp_path, three, monkeypatch):
    """Such as lost+found, which every mounted disk has."""
    lost = tmp_path / "lost+found"
    lost.mkdir()

    def denied(real):
        def call(path, *more, **named):
            is_inside = isinstance(path, str | os.PathLike) and lost in Path(path).parents
            if is_inside or (real is scandir and path == str(lost)):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real(path, *more, **named)

        return call

    scandir = os.scandir
    monkeypatch.setattr(os, "stat", denied(os.stat))
    monkeypatch.setattr(os, "scandir", denied(scandir))
    stored, (item,) = folders.scan(tmp_path)
    assert len(stored) == 3 and item.path == lost and item.reason == "cannot be read: Permission denied"


def test_a_folder_that_vanishes_while_it_is_looked_at_is_none(tmp_path, three, monkeypatch):
    scandir = os.scandir

    def removed_just_now(path):
        if str(path) == str(three[0]):
            shutil.rmtree(three[0])
        return scandir(path)

    monkeypatch.setattr(os, "scandir", removed_just_now)
    stored, corrupt = folders.scan(tmp_path / "runs")
    assert len(stored) == 2 and not corrupt


def test_a_record_whose_replacement_was_killed_is_named(tmp_path, three):
    three[0].rename(three[0].with_name(f"{folders.unfinished_prefix()}x-0{finding.RETIRED}{three[0].name}"))
    stored, (item,) = folders.scan(tmp_path / "runs")
    assert len(stored) == 2 and "measured again" in item.reason and "puts it back" in item.cure
