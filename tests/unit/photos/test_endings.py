"""Which files of a folder are photographs."""

from __future__ import annotations

from pathlib import Path

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
    assert not endings.READ & endings._NOT_READ
    assert all(ending == Path(f"x{ending}").suffix.lower() for ending in endings.READ | endings._NOT_READ)
