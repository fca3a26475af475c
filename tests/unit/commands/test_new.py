"""`guidebench new` writes a file under a name that fits, and overwrites none. What it writes: tests/contract."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.commands.new import new_method, new_metric
from guidebench.errors import BadInput, StorageError


@pytest.mark.parametrize(
    ("make", "name", "file", "attribute"),
    [
        (new_method, "my-first_idea", "my_first_idea.py", "MyFirstIdea"),
        (new_method, "UFO", "ufo.py", "UFO"),
        (new_method, "none", "none.py", "NoneMethod"),  # None cannot name a class
        (new_metric, "my-idea", "my_idea.py", "MY_IDEA"),
        (new_metric, "coverage", "coverage.py", "COVERAGE_METRIC"),  # the template has a COVERAGE of its own
    ],
)
def test_the_name_gives_the_file_and_what_it_defines(tmp_path, make, name, file, attribute):
    written = make(name, tmp_path / "new" / "folder")
    assert written.path == tmp_path / "new/folder" / file and written.attribute == attribute
    assert written.spec == f"{written.path}:{attribute}" and f'"{name}"' in written.path.read_text()


def test_a_name_that_is_taken_is_refused_by_kind(tmp_path, says):
    with pytest.raises(BadInput, match=says("'guide'", "guidebench list methods")):
        new_method("guide", tmp_path)
    with pytest.raises(BadInput, match=says("'fid_pre'", "guidebench list metrics")):
        new_metric("fid_pre", tmp_path)
    assert new_metric("guide", tmp_path).path.is_file()  # a metric may be called like a method


def test_a_folder_that_cannot_be_written_is_named(tmp_path, says):
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, BadInput), match=says(str(tmp_path / "file"))):
        new_method("mine", tmp_path / "file" / "below")


def test_a_file_is_no_folder_and_a_keyword_no_name(tmp_path, says):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=says(f"{tmp_path / 'file'} is a file")):
        new_method("mine", tmp_path / "file")
    with pytest.raises(BadInput, match=says("'class'", "Python keyword")):
        new_method("class", tmp_path)


def test_the_command_says_what_to_do_next(tmp_path):
    done = CliRunner().invoke(main, ["new", "method", "mine", "--folder", str(tmp_path)])
    assert done.exit_code == 0 and f"guidebench check {tmp_path}/mine.py:Mine" in done.stdout
