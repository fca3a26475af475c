"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from guidebench import digest, files
from guidebench.errors import BadInput


def test_a_file_appears_when_the_block_ends_with_its_folders(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with files.written_aside(path) as stream:
        stream.write("größer")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "größer"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.written_aside(path, "wb") as stream:
        stream.write(b"half of the ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_a_rename_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError), files.written_aside(tmp_path / "taken") as stream:
        stream.write("x")
    assert os.listdir(tmp_path) == ["taken"]


def test_two_writers_of_one_path_do_not_meet(tmp_path):
    path = tmp_path / "a.txt"
    with files.written_aside(path) as first, files.written_aside(path) as second:
        first.write("first")
        second.write("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_the_content_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append("rename"), replace(old, new)))
    files.write_text("x", tmp_path / "a.txt")
    assert done == ["sync", "rename"]


def test_others_may_read_the_file_as_the_umask_says(tmp_path):
    """Temporary files of the standard library are private, and renaming would keep them so."""
    before = os.umask(0o022)
    try:
        files.write_text("x", tmp_path / "a.txt")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644


def test_a_prefix_names_what_is_unfinished(tmp_path):
    with files.written_aside(tmp_path / "a.txt", prefix=".unfinished-"):
        (name,) = os.listdir(tmp_path)
    assert name.startswith(".unfinished-")


def test_json_is_read_back_and_ends_with_a_line_break(tmp_path):
    value = {"name": "größer", "numbers": [1, 2.5, None]}
    files.write_json(value, tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value and text.endswith("\n") and "größer" in text
    with pytest.raises(TypeError):
        files.write_json({"a": {1}}, tmp_path / "b.json")
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    """A pipe without a writer blocks whoever opens it, and /dev/zero never ends."""
    path = tmp_path / "given"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for read in (files.open_regular, digest.of_file):
        with pytest.raises(OSError, match="given"):
            read(path)
    with pytest.raises(BadInput, match="cannot read the protocol file .*given"):
        files.read_text(path, "protocol file")


def test_text_is_read_with_or_without_a_byte_order_mark(tmp_path):
    for name, start in (("plain", b""), ("marked", b"\xef\xbb\xbf")):
        (tmp_path / name).write_bytes(start + "größer\r\nzwei".encode())
        assert files.read_text(tmp_path / name, "file") == "größer\nzwei"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 1500 + "]" * 1500, "nested"),
        ("a" + ".a" * 60_000 + " = 1", "4,096 in a line"),
        ("a = 1\n" * 20_000, "65,536 characters"),
        ("a = ", "not valid TOML"),
    ],
)
def test_toml_that_nobody_wrote_by_hand_is_refused_in_one_line(text, words):
    """tomllib takes 6 GB for the dotted key, and answers the nested lists with Python's recursion limit."""
    with pytest.raises(BadInput, match=words) as caught:
        files.parse_toml(text, "mine.toml")
    assert str(caught.value).startswith("mine.toml ") and "recursion" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("told", "limit"), [("1048576\n", 2**20), ("max\n", None), (None, None)])
def test_memory_is_that_of_the_container_where_it_has_less(told, limit, tmp_path, monkeypatch):
    machine = 4096 * 2**20
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**20}[name], raising=False)
    monkeypatch.setattr(files, "_CONTAINER_MEMORY", tmp_path / "memory.max")
    if told:
        (tmp_path / "memory.max").write_text(told)
    assert files.memory() == (limit or machine)


def test_memory_that_nobody_tells_is_without_limit(tmp_path, monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr("os.sysconf", unknown, raising=False)
    monkeypatch.setattr(files, "_CONTAINER_MEMORY", tmp_path / "memory.max")
    assert files.memory() == float("inf")


def test_a_file_that_is_larger_than_any_of_its_kind_is_not_read(tmp_path):
    with open(tmp_path / "record.json", "wb") as stream:
        stream.truncate(300 * 2**30)
    with pytest.raises(OSError, match="more than 67.1 MB"):
        files.read_bytes(tmp_path / "record.json")
    with pytest.raises(BadInput, match="mine.toml: it has more than"):
        (tmp_path / "record.json").rename(tmp_path / "mine.toml")
        files.read_text(tmp_path / "mine.toml", "protocol file")
