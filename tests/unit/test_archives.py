"""Archives that people are handed: bounded, and every kind of damage is one short line."""

from __future__ import annotations

import io
import os
import time
import zipfile

import numpy as np
import pytest

from guidebench import archives
from guidebench.archives import Arrays, BadArchive, array, opened, unpack
from guidebench.errors import BadInput


@pytest.fixture
def packed(tmp_path):
    """Writes an archive of files; returns its path."""

    def write(entries, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "given.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in entries:
                archive.writestr(name, data)
        return path

    return write


def refused(path, *words, read=lambda archive: [archive.read(name) for name in archive.namelist()]):
    start = time.process_time()
    with pytest.raises(BadArchive) as caught, opened(path) as archive:
        read(archive)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400 and all(word in message for word in words), message
    assert time.process_time() - start < 1


def test_what_is_no_archive_is_said(tmp_path, packed):
    (tmp_path / "page.zip").write_text("<!doctype html>")
    refused(tmp_path / "page.zip", "not a zip archive")
    whole = packed([("a", b"x" * 99)]).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    refused(tmp_path / "cut.zip", "cut short")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_compression_has_its_own_damage(packed, compression):
    path = packed([("a", bytes(range(256)) * 9)], compression)
    data = bytearray(path.read_bytes())
    data[60:90] = b"\xff" * 30
    path.write_bytes(data)
    refused(path, "is a damaged zip archive")


def test_a_list_of_more_files_than_anybody_needs_is_not_read(packed):
    """zipfile takes 20 s and 2 GB for the list of four million files that 400 MB hold."""
    path = packed([("a", b"")])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\5\6")
    listing = bytes(data[data.find(b"PK\1\2") : at])
    count = archives._LONGEST_CONTENTS // len(listing) + 1
    data[at + 8 : at + 16] = b"\xff\xff\xff\xff" + (count * len(listing)).to_bytes(4, "little")
    path.write_bytes(data[: data.find(b"PK\1\2")] + listing * count + data[at:])
    refused(path, "8.39 MB")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"), opened(tmp_path / "pipe"):
        pass


def test_errors_of_ones_own_pass(packed):
    """Those of guidebench, of a disk that fills, and names that the archive does not have."""
    path = packed([("a", b"x")])
    for error in (BadInput("no"), OSError(28, "No space left on device"), KeyError("b")):
        with pytest.raises(type(error)), opened(path):
            raise error
    with pytest.raises(BadArchive, match="memory"), opened(path):
        raise MemoryError


def test_chosen_files_are_unpacked_where_the_caller_says(tmp_path, packed):
    path = packed([("deep/a.txt", b"one"), ("../b.txt", b"two"), ("deep/", b""), ("c.exe", b"three")])
    unpack(path, lambda name: tmp_path / name.name if name.suffix == ".txt" else None, most_files=2, most_bytes=6)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.txt", "b.txt", "given.zip"]
    assert (tmp_path / "b.txt").read_bytes() == b"two"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"most_files": 1, "most_bytes": 100}, "2 files of 8 bytes together; at most 1 files"),
        ({"most_files": 9, "most_bytes": 7}, "of 7 bytes are taken"),
        ({"most_files": 9, "most_bytes": 99}, "several files named 'a'"),
    ],
)
def test_more_than_is_taken_is_refused_before_it_is_unpacked(tmp_path, packed, limits, words):
    path = packed([("x/a", b"1234"), ("y/a", b"5678")])
    with pytest.raises(BadArchive, match=words):
        unpack(path, lambda name: tmp_path / name.name, **limits)
    assert (tmp_path / "a").exists() == ("several" in words)


def test_an_entry_gives_no_more_than_it_announces(tmp_path, packed):
    path = packed([("a", bytes(10**6))])
    data = path.read_bytes().replace((10**6).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(BadArchive, match="CRC"):
        unpack(path, lambda name: tmp_path / name.name, most_files=1, most_bytes=1000)
    assert (tmp_path / "a").stat().st_size <= 1000


def test_arrays_are_read_by_name_as_numpy_wrote_them(tmp_path):
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "some.npz", a=np.arange(6).reshape(2, 3), b=np.array("text"))
        with opened(tmp_path / "some.npz") as archive:
            arrays = Arrays(archive)
            assert list(arrays) == ["a", "b"] and "a" in arrays and "c" not in arrays
            assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and str(arrays["b"]) == "text"
            assert arrays.unpacked("a") == 6 * 8 + 128
            with pytest.raises(KeyError):
                arrays["c"]


def test_an_array_must_hold_what_it_announces_and_fit_into_memory(monkeypatch):
    stream = io.BytesIO()
    np.save(stream, np.zeros(1000))
    data = stream.getvalue()
    assert array(io.BytesIO(data), len(data)).shape == (1000,)
    with pytest.raises(BadArchive, match="holds fewer"):
        array(io.BytesIO(data.replace(b"(1000,)", b"(9999,)")), len(data))
    with pytest.raises(BadArchive, match="unknown version"):
        array(io.BytesIO(b"\x93NUMPY\x09\x00" + data[8:]), len(data))
    monkeypatch.setattr(archives, "memory", lambda: 9000.0)
    with pytest.raises(MemoryError):
        array(io.BytesIO(data), len(data))
