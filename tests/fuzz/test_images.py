"""Photographs: damaged files of every kind that is read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from damage import EDITS, answers, cases, damaged
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from guidebench import images


def stored(kind: str, mode: str, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return stored("JPEG", "RGB", exif=exif)


FILES = [
    stored("PNG", "RGB"),
    stored("PNG", "P"),
    stored("PNG", "RGBA"),
    stored("JPEG", "RGB"),
    stored("JPEG", "L", progressive=True),
    turned(),
    stored("BMP", "RGB"),
    stored("WEBP", "RGB"),
    stored("GIF", "P"),
    stored("TIFF", "RGB", compression="tiff_lzw"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "photo.png"


@cases(1000)
@given(data=some.sampled_from(FILES), edits=EDITS)
def test_damaged_photographs(path, data, edits):
    path.write_bytes(damaged(data, edits))
    with answers():
        assert images.load(path, 8).shape == (3, 8, 8)
