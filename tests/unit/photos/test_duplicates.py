"""Copies of one picture are alike however they were saved; different pictures are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from guidebench.photos import duplicates


def face(seed, side=256):
    """A smooth picture, drawn."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def copies(tmp_path):
    original = face(0)
    original.save(tmp_path / "small.jpg", quality=40)
    with Image.open(tmp_path / "small.jpg") as opened:
        recompressed = opened.convert("RGB")
    return [
        original,
        recompressed,
        original.resize((128, 128)),
        ImageEnhance.Brightness(original).enhance(0.8),
        original.crop((4, 4, 256, 256)),
    ]


def test_copies_of_a_picture_are_alike(copies):
    places = [0, 1, 2, 3, 4]
    assert duplicates.alike(copies) == [(a, b) for a in places for b in places if a < b]


def test_different_and_flat_pictures_are_not_alike():
    flat = Image.new("RGB", (64, 64), (50, 60, 70))
    assert duplicates.alike([face(seed) for seed in range(8)]) == []
    assert duplicates.alike([flat, flat.copy()]) == []


def test_both_names_of_a_pair_are_said(caplog):
    duplicates.warn("anna", ["a.png", "b.png", "c.png"], [(0, 2)])
    (message,) = caplog.messages
    assert "a.png and c.png of anna" in message


def test_the_known_pairs_are_pairs_of_celebahq():
    assert len(duplicates.KNOWN_PAIRS) == 13
    assert all(0 <= first < second < 30_000 for first, second in duplicates.KNOWN_PAIRS)
    assert duplicates.known_pairs(range(30_000)) == list(duplicates.KNOWN_PAIRS)
