"""Zips are written with the same bytes every time; those that are made to harm are one line."""

from __future__ import annotations

import stat
import zipfile

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.submissions import archive


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    """members: (name or ZipInfo, content)."""
    with zipfile.ZipFile(path, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return path


def unpacked(file, folder):
    folder.mkdir()
    archive.unpack(file, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_files_are_equal_bytes_and_come_back(tmp_path):
    content = {"b/c.npz": b"\0" * 5000, "a.json": b"{}" * 5000, "d.bin": b""}
    for name, data in content.items():
        (tmp_path / name.replace("/", "-")).write_bytes(data)
    members = {name: tmp_path / name.replace("/", "-") for name in content} | {"e.txt": b"made here"}
    archive.write(members, tmp_path / "1.zip")
    archive.write(dict(reversed(members.items())), tmp_path / "2.zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert unpacked(tmp_path / "1.zip", tmp_path / "out") == content | {"e.txt": b"made here"}
    sizes = {info.filename: info.compress_size for info in zipfile.ZipFile(tmp_path / "1.zip").infolist()}
    assert sizes["b/c.npz"] == 5000 and sizes["a.json"] < 100


@pytest.mark.parametrize(
    "name", ["../a", "/etc/a", "a/../../b", "a\\..\\b", "C:/a", "a//b", "./a", "a\nb", ".hidden/a", "a/.b", "x" * 300]
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    file = zipped(tmp_path / "a.zip", [("good", b"1"), (name, b"2")])
    with pytest.raises(BadInput, match="not unpacked") as refused:
        unpacked(file, tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip", "out"] or not (tmp_path / "out" / "good").exists()


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(BadInput, match="a link"):
        unpacked(zipped(tmp_path / "a.zip", [(link, b"/etc/passwd")]), tmp_path / "out")


def test_many_small_bombs_are_one(tmp_path):
    """Each file is one that may have any ratio."""
    file = zipped(tmp_path / "a.zip", [(str(number), b"\0" * 900_000) for number in range(10)])
    with pytest.raises(BadInput, match=r"9 MB from .* kB.*not unpacked"):
        unpacked(file, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_list_of_files_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    file = zipped(tmp_path / "a.zip", [(str(number), b"1") for number in range(100)])
    assert len(unpacked(file, tmp_path / "all")) == 100
    monkeypatch.setattr(archive, "_LONGEST_CONTENTS", 2000)
    with pytest.raises(BadInput, match=r"a\.zip lists its files in 4\.\d+ kB"):
        unpacked(file, tmp_path / "out")


def test_a_zip_of_several_disks_is_one_line(tmp_path):
    file = zipped(tmp_path / "a.zip", [("a", b"1")])
    end = b"PK\6\7" + (1).to_bytes(4, "little") + (0).to_bytes(8, "little") + (2).to_bytes(4, "little")
    data = file.read_bytes()
    at = data.rindex(b"PK\5\6")
    file.write_bytes(data[:at] + end + data[at:])
    with pytest.raises(BadInput, match="a.zip is a damaged zip archive .*disks"):
        unpacked(file, tmp_path / "out")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([("a", b"\0" * 20_000_000)], "20 MB in 19.4 kB"),
        ([("a", b"1"), ("a", b"2")], "twice"),
        ([("a", b"1"), ("a/b", b"2")], "as a file and as a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bombs_and_names_that_clash_are_refused(tmp_path, members, says):
    with pytest.raises(BadInput, match=says):
        unpacked(zipped(tmp_path / "a.zip", members), tmp_path / "out")


def test_numbers_of_files_and_bytes_are_bounded(tmp_path, monkeypatch):
    file = zipped(tmp_path / "a.zip", [("a", b"12"), ("b", b"34"), ("c.json", b"[1]")])
    for limit, value, says in (("MOST_FILES", 2, "3 files"), ("MOST_BYTES", 6, "7 bytes"), ("LONGEST_TEXT", 2, "JSON")):
        with monkeypatch.context() as patch:
            patch.setattr(archive, limit, value)
            with pytest.raises(BadInput, match=says):
                unpacked(file, tmp_path / limit)


def test_arrays_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_OF_ARRAYS", 100_000)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10_000))
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    archive.check_arrays(tmp_path, tmp_path / "a.zip")
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(20_000))
    with pytest.raises(BadInput, match="160 kB of arrays in 'b.npz'"):
        archive.check_arrays(tmp_path, tmp_path / "a.zip")


def test_sizes_that_lie_are_noticed(tmp_path):
    """The header says 3 bytes, 300 come out."""
    file = zipped(tmp_path / "a.zip", [("a", b"x" * 300)])
    data = file.read_bytes()
    file.write_bytes(data.replace((300).to_bytes(4, "little"), (3).to_bytes(4, "little")))
    with pytest.raises(BadInput, match="a.zip"):
        unpacked(file, tmp_path / "out")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "folder", "absent", "encrypted", "bzip2"])
def test_what_is_no_zip_or_damaged_is_one_line(tmp_path, damage):
    compression = zipfile.ZIP_BZIP2 if damage == "bzip2" else zipfile.ZIP_STORED
    file = zipped(tmp_path / "a.zip", [("a", b"content" * 100), ("b", b"content")], compression)
    data = file.read_bytes()
    if damage == "folder":
        file = tmp_path
    elif damage == "absent":
        file = tmp_path / "absent.zip"
    elif damage == "encrypted":
        place = data.index(b"PK\x01\x02") + 8
        file.write_bytes(data[:place] + b"\x01" + data[place + 1 :])
    elif damage != "bzip2":
        flipped = data.replace(b"contentcontent", b"content!ontent", 1)
        file.write_bytes({"empty": b"", "text": b"hello", "cut": data[:-40], "flipped": flipped}[damage])
    with pytest.raises(BadInput) as refused:
        archive.unpack(file, tmp_path)
    assert "\n" not in str(refused.value) and str(file) in str(refused.value)
