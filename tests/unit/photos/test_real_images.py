"""Files of real-image features and statistics: both kinds agree, and anything else gets one line."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from guidebench import archives
from guidebench.errors import BadInput
from guidebench.evidence import FrechetStatistics
from guidebench.photos import real_images


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


def test_features_and_statistics_say_the_same(tmp_path, features):
    """Both in float64, so that nothing is lost on the way."""
    statistics = FrechetStatistics.of(features)
    np.save(tmp_path / "authors.npy", features)
    np.savez(tmp_path / "named.npz", features=features, description=np.array("FFHQ, 512 px"))
    real_images.write(tmp_path / "statistics.npz", statistics, "FFHQ, 512 px")
    for name in ("authors.npy", "named.npz", "statistics.npz"):
        found, description = real_images.read(tmp_path / name, dim=4)
        assert (found.mean == statistics.mean).all() and (found.covariance == statistics.covariance).all()
        assert found.count == 9 and description.startswith("9 photographs (")
        assert ("FFHQ, 512 px" in description) == (name != "authors.npy")


def test_the_kind_is_told_from_the_content(tmp_path, features):
    """The assets folder calls the file ffhq-real.npz, also if it is one array as the authors' is."""
    with open(tmp_path / "ffhq-real.npz", "wb") as stream:
        np.save(stream, features)
    assert real_images.read(tmp_path / "ffhq-real.npz", dim=4)[0].count == 9


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"features": np.ones((9, 5))}, ["features", "float64", "(9, 5)", "(N, 4)"]),
        ({"features": np.ones((1, 4))}, ["features", "(1, 4)", "(N, 4)"]),
        ({"features": np.ones((9, 4), dtype=int)}, ["features", "int64"]),
        ({"features": np.full((9, 4), np.nan)}, ["finite"]),
        ({"mu": np.ones(4), "sigma": np.eye(4)}, ["mu, sigma", "(N, d)", "mean, covariance"]),
        ({"mean": np.ones(4), "covariance": np.eye(3), "count": np.array(9)}, ["covariance (3, 3)", "(4, 4)"]),
        ({"mean": np.ones(4), "covariance": np.eye(4), "count": np.array(9.5)}, ["count", "float64", "integer"]),
        ({"mean": np.ones(4), "covariance": np.full((4, 4), np.inf), "count": np.array(9)}, ["finite"]),
        ({"features": np.array([{}])}, ["read", "numpy", "unpickled"]),
        ({"mean": np.ones(4), "covariance": np.eye(4), "count": np.array(-7)}, ["-7 photographs"]),
        ({"mean": np.ones(4), "covariance": -np.eye(4), "count": np.array(9)}, ["covariance", "negative"]),
        ({"mean": np.ones(4), "covariance": np.triu(np.ones((4, 4))), "count": np.array(9)}, ["symmetric"]),
        ({"mean": np.ones(4), "covariance": np.eye(4) * 1e308, "count": np.array(9)}, ["covariance"]),
        ({"features": np.eye(4), "description": np.arange(9)}, ["description", "text"]),
        ({"\x1b[2J" + "x" * 100: np.eye(4)}, [r"\x1b[2Jx"]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else " ".join(value),
)
def test_anything_else_gets_one_line(tmp_path, arrays, words, says):
    np.savez(tmp_path / "real.npz", **arrays)
    with pytest.raises(BadInput, match=says(*words)) as caught:
        real_images.read(tmp_path / "real.npz", dim=4)
    assert "real.npz" in str(caught.value) and str(caught.value).isprintable()


def test_a_covariance_of_few_photographs_is_one(tmp_path):
    """Fewer than dimensions, and computed in float32: some eigenvalues are 0, and rounded below it."""
    features = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    covariance = np.cov(features, rowvar=False, dtype=np.float32)
    for matrix in (covariance, covariance * 0):
        np.savez(tmp_path / "real.npz", mean=features.mean(axis=0), covariance=matrix, count=20)
        assert real_images.read(tmp_path / "real.npz", dim=64)[0].count == 20


def test_a_description_is_one_line_for_tables(tmp_path, features):
    np.savez(tmp_path / "real.npz", features=features, description=np.array("FFHQ\x1b[2J\n| all | well |" + "x" * 9999))
    description = real_images.read(tmp_path / "real.npz", dim=4)[1]
    assert description.isprintable() and r"FFHQ\x1b[2J\x0a| all" in description and len(description) < 600


def entry(data: bytes, compression: int = zipfile.ZIP_DEFLATED, name: str = "features.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def stored(array: np.ndarray, **changed: object) -> bytes:
    """The array in numpy's format; changed: what its header says instead."""
    stream = io.BytesIO()
    header = {**np.lib.format.header_data_from_array_1_0(array), **changed}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


def damaged(compression: int) -> bytes:
    data = bytearray(entry(stored(np.random.default_rng(0).normal(size=(99, 4))), compression))
    data[200:600] = b"\xff" * 400
    return bytes(data)


BROKEN = {
    "an entry that is no array": entry(b"x"),
    "an entry of another name": entry(b"x", name="features"),
    "deflate": damaged(zipfile.ZIP_DEFLATED),
    "bzip2": damaged(zipfile.ZIP_BZIP2),
    "lzma": damaged(zipfile.ZIP_LZMA),
    "stored": damaged(zipfile.ZIP_STORED),
    "unknown compression": entry(stored(np.eye(4))).replace(b"\x08\x00", b"\x63\x00"),
    "encrypted": entry(stored(np.eye(4))).replace(b"\x14\x00\x00\x00", b"\x14\x00\x01\x00"),
    "zeros that unpack to 80 MB": entry(stored(np.zeros(0), shape=(10_000_000,)) + bytes(80_000_000)),
    "a header of 400 GB": stored(np.eye(4), shape=(50_000_000_000,)),
    "a packed header of 400 GB": entry(stored(np.eye(4), shape=(50_000_000_000,))),
    "a negative shape": stored(np.eye(4), shape=(-1, 4)),
    "a cut header": stored(np.eye(4))[:50],
    "an unclosed header": stored(np.eye(4)).replace(b"}", b"("),
    "objects": stored(np.eye(4), descr="|O"),
    "a pickle": pickle.dumps({"features": np.eye(4)}),
    "a web page": b"<!doctype html>",
    "nothing": b"",
    "the start of an archive": b"PK\x03\x04",
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_and_hostile_files_get_one_line(tmp_path, name, says):
    path = tmp_path / "real.npz"
    path.write_bytes(BROKEN[name])
    with pytest.raises(BadInput, match=says("real.npz", "cannot be read as numpy arrays")) as caught:
        real_images.read(path, dim=4)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and "allow_pickle" not in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "real.npz")
    with pytest.raises(BadInput, match="pipe"):
        real_images.read(tmp_path / "real.npz", dim=4)


def test_a_file_that_does_not_fit_into_memory_is_not_read(tmp_path, features, monkeypatch):
    np.save(tmp_path / "real.npy", features)
    monkeypatch.setattr(archives, "memory", lambda: 2.0 * features.nbytes)
    with pytest.raises(BadInput, match="does not fit into memory"):
        real_images.read(tmp_path / "real.npy", dim=4)
