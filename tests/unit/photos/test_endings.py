"""Which files of a folder are photographs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from guidebench.errors import BadInput
from guidebench.photos import endings


def test_files_of_photographs_are_kept_in_order(tmp_path):
    names = ["b.JPG", "a.jpe", "sub/c.webp", ".hidden.png", ".trash/d.png", "__MACOSX/._b.JPG", "notes.txt", "e.heic"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = endings.photographs([tmp_path / name for name in [*names, "folder.png"]], tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.JPG", "a.jpe", "sub/c.webp"]


def test_a_folder_may_itself_be_hidden(tmp_path):
    """What counts are the names below the folder that was given."""
    root = tmp_path / ".cache" / "__MACOSX"
    root.mkdir(parents=True)
    (root / "a.png").touch()
    assert endings.photographs([root / "a.png"], root) == [root / "a.png"]


def test_no_ending_is_both_read_and_passed_over():
    assert not endings.READ & endings.NOT_READ
    assert all(ending == Path(f"x{ending}").suffix.lower() for ending in endings.READ | endings.NOT_READ)


def test_linked_folders_are_searched_and_circles_are_not(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for path in (root / "own" / "a.png", elsewhere / "sub" / "b.png", root / "__MACOSX" / "._a.png"):
        path.parent.mkdir(parents=True)
        path.touch()
    (root / "linked").symlink_to(elsewhere)
    (root / "own" / "back").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nowhere")
    found = endings.files_below(root)
    names = [path.relative_to(root).as_posix() for path in found]
    assert names == ["__MACOSX", "gone.png", "linked/sub/b.png", "own/a.png", "own/back"]
    shown = [path.relative_to(root).as_posix() for path in endings.photographs(found, root)]
    assert shown == ["linked/sub/b.png", "own/a.png"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch, says):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadInput, match=says(str(tmp_path), "Permission denied")):
        endings.files_below(tmp_path)


def test_what_is_passed_over_is_named_and_photographs_among_it_are_a_warning(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    system = [tmp_path / name for name in ("._a.png", "Thumbs.db", "notes.txt", "__MACOSX")]
    system[-1].mkdir()
    endings.tell_what_is_passed_over(system, tmp_path)
    photographs = [tmp_path / name for name in ("a.HEIC", "b.tif", "c.tif", "d.tif", "loose.PNG")]
    endings.tell_what_is_passed_over([*system, *photographs], tmp_path)
    endings.tell_what_is_passed_over([*system, *photographs], tmp_path)
    quiet, loud = caplog.records
    assert quiet.levelno == logging.INFO and "(4: ._a.png, Thumbs.db, __MACOSX/, …)" in quiet.getMessage()
    assert loud.levelno == logging.WARNING
    for words in (".heic, .tif", "(4: a.HEIC, b.tif, c.tif, …)", "JPEG", "(1: loose.PNG)", "(4: ._a.png"):
        assert words in loud.getMessage()
