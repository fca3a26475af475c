"""A submission is a results directory for as long as it is open."""

from __future__ import annotations

import json
import stat
import zipfile

import pytest
from tampering import rezipped

from guidebench.errors import BadInput
from guidebench.reporting import report
from guidebench.store import folders
from guidebench.submissions.manifest import NAME
from guidebench.submissions.opening import found_in, opened


def test_every_command_reads_it_and_it_is_gone_afterwards(packed, runs):
    with opened(packed) as found:
        assert (found.submission.name, found.wrong) == ("A", ())
        assert [item.record for item in folders.scan(found.folder)[0]] == [
            item.record for item in folders.scan(runs)[0]
        ]
        assert report.report(found.folder, "csv") == report.report(runs, "csv")
        for path in (found.folder, *found.folder.rglob("*")):
            assert not stat.S_IMODE(path.stat().st_mode) & 0o222
        folder = found.folder
    assert not folder.exists()


def test_files_that_were_changed_are_refused_or_listed(packed, tmp_path):
    def change(name, content):
        return {"salt": b"1\n"}.get(name, content) if "redirect" not in name else None

    file = rezipped(packed, tmp_path / "b.zip", change)
    with pytest.raises(BadInput, match="submit verify"), opened(file):
        pass
    with opened(file, lenient=True) as found:
        assert any(text.startswith("salt is not the file") for text in found.wrong)
        assert sum("redirect" in text and "not in the file" in text for text in found.wrong) == len(found.wrong) - 1


def test_a_zip_that_is_no_submission_is_one_line(packed, tmp_path):
    without = rezipped(packed, tmp_path / "b.zip", lambda name, content: None if name == NAME else content)
    other = rezipped(packed, tmp_path / "c.zip", lambda name, content: b"{}" if name == NAME else content)
    for file in (without, other):
        with pytest.raises(BadInput, match=file.name), opened(file):
            pass


def test_a_file_that_nobody_listed_is_listed(packed, tmp_path):
    def drop(name, content):
        if name != NAME:
            return content
        data = json.loads(content)
        del data["files"]["salt"]
        return json.dumps(data).encode()

    with opened(rezipped(packed, tmp_path / "b.zip", drop), lenient=True) as found:
        assert found.wrong == (f"salt is not in {NAME}",)


@pytest.mark.parametrize("name", ["../copy", "/tmp/copy", "a/../../copy", "records/.hidden"])
def test_a_copy_is_not_put_outside(packed, tmp_path, name):
    def change(member, content):
        if member != NAME:
            return content
        data = json.loads(content)
        data["files"][name] = data["files"]["salt"]
        return json.dumps(data).encode()

    file = rezipped(packed, tmp_path / "b.zip", change)
    with pytest.raises(BadInput, match="copy|hidden"), opened(file, lenient=True):
        pass


def test_pictures_that_rows_share_are_stored_once_and_are_there_when_it_is_open(packed):
    names = zipfile.ZipFile(packed).namelist()
    with opened(packed) as found:
        pictures = [path.name for path in found.folder.rglob("*.png")]
    for name, stored in (("photo.png", 3), ("before.png", 3), ("after.png", 6)):
        assert pictures.count(name) == 6 and sum(path.endswith(name) for path in names) == stored


def test_a_leaderboard_is_a_folder_of_zips(packed):
    (packed.parent / "notes.txt").touch()
    assert found_in(packed.parent) == [packed]
