"""A folder of one's own photographs: who is in it, in which order, and what is said where somebody is missing."""

from __future__ import annotations

import pytest
import torch

from guidebench import images
from guidebench.errors import BadInput
from guidebench.photos.own import SOURCE, FolderFaces, list_people


@pytest.fixture
def folder(tmp_path):
    """bert: three photographs of one grey each, numbered 1, 2 and 10; anna: one, among files that are none."""
    for name, grey in (("bert/10.png", 1.0), ("bert/2.PNG", 0.0), ("bert/1.png", -1.0), ("anna/a.png", -1.0)):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        images.save(torch.full((3, 20, 30), grey), path)
    for name in ("anna/notes.txt", "anna/.hidden.png", ".cache/x.png", "__MACOSX/anna/._a.png", "readme.md"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no photograph")
    return tmp_path / "photos"


def test_people_and_photographs_go_by_name_and_number_and_other_files_are_passed_over(folder):
    found = list_people(folder)
    assert {name: [path.name for path in files] for name, files in found.items()} == {
        "anna": ["a.png"],
        "bert": ["1.png", "2.PNG", "10.png"],
    }
    assert list(found) == ["anna", "bert"]


def test_people_with_numbers_are_in_the_order_of_the_numbers(folder):
    for name in ("p10", "p9"):
        (folder / name).mkdir()
        images.save(torch.zeros(3, 20, 20), folder / name / "a.png")
    assert list(list_people(folder)) == ["anna", "bert", "p9", "p10"]


def test_photographs_are_handed_out_at_the_testbeds_resolution_with_their_files(folder):
    faces = FolderFaces(folder, 8)
    assert faces.sources() == {SOURCE: 2}
    (bert,) = faces.people(SOURCE, [1], photos=2)
    assert bert.identity == "bert" and bert.photos.shape == (2, 3, 8, 8)
    assert [float(photo.mean()) for photo in bert.photos] == [-1.0, pytest.approx(0.0, abs=1 / 127)]  # 8 bits
    assert bert.files == (str(folder / "bert/1.png"), str(folder / "bert/2.PNG"))


def test_too_few_photographs_of_somebody_name_the_folder_and_both_cures(folder, says):
    with pytest.raises(BadInput, match=says(str(folder / "anna"), "1", "2", "probe_photos")):
        FolderFaces(folder, 8).people(SOURCE, [0], photos=2)


def test_the_manifest_changes_with_a_file_and_with_a_name(folder):
    before = FolderFaces(folder, 8).manifest(SOURCE)
    assert FolderFaces(folder, 16).manifest(SOURCE) == before
    (folder / "anna").rename(folder / "anne")
    renamed = FolderFaces(folder, 8).manifest(SOURCE)
    (folder / "anne/a.png").write_bytes((folder / "bert/10.png").read_bytes())
    assert len({before, renamed, FolderFaces(folder, 8).manifest(SOURCE)}) == 3


def test_a_folder_without_people_or_without_photographs_says_what_it_should_hold(tmp_path, folder, says):
    empty, bare = tmp_path / "empty", tmp_path / "bare"
    empty.mkdir()
    (bare / "carl").mkdir(parents=True)
    for path, words in (
        (tmp_path / "nowhere", ["folder"]),
        (folder / "bert/1.png", ["folder"]),
        (empty, ["each person"]),
        (bare, ["carl", ".jpeg", ".png"]),
    ):
        with pytest.raises(BadInput, match=says("photos", str(path), *words)):
            list_people(path)


def test_a_name_that_cannot_be_printed_is_refused(folder, says):
    (folder / "new\nline").mkdir()
    with pytest.raises(BadInput, match=says("'new\\nline'")):
        list_people(folder)


def test_photographs_that_are_not_read_are_named_once(folder, caplog):
    """Once a command, though it looks at the folder for every protocol and in every worker."""
    assert list_people(folder)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    for name in ("anna/b.HEIC", "anna/c.tif", "bert/d.avif", "__MACOSX/anna/e.heic"):
        (folder / name).write_bytes(b"x")
    assert [path.name for path in list_people(folder)["anna"]] == ["a.png"]
    list_people(folder)
    FolderFaces(folder, 8)
    (message,) = caplog.messages
    assert str(folder) in message and "(3: " in message and ".avif, .heic, .tif" in message and "JPEG" in message


def test_photographs_in_nobodys_folder_are_named(folder, caplog):
    (folder / "loose.png").write_bytes((folder / "anna/a.png").read_bytes())
    (folder / "anna" / "older").mkdir()
    list_people(folder)
    assert "loose.png" in caplog.text and "anna/older/" in caplog.text


def test_nearly_equal_photographs_of_somebody_are_named_once(folder, caplog):
    noise = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images.save(noise, folder / "bert/1.png")
    images.save(0.9 * noise, folder / "bert/2.PNG")
    faces = FolderFaces(folder, 20)
    for _ in range(2):
        faces.people(SOURCE, [0, 1], photos=1)
        faces.people(SOURCE, [1], photos=3)
    (message,) = caplog.messages
    assert "1.png and 2.PNG of bert" in message


@pytest.mark.parametrize("ending", [".jpe", ".JFIF"])
def test_other_names_of_jpeg_files_are_read(folder, ending):
    (folder / "bert/10.png").rename(folder / f"bert/10{ending}")  # the content decides, not the name
    assert [path.name for path in list_people(folder)["bert"]] == ["1.png", "2.PNG", f"10{ending}"]
