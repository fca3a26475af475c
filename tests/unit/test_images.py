"""One module converts images; its rounding is the authors'."""

import numpy as np
import pytest
import torch
from PIL import Image

from guidebench import images
from guidebench.errors import BadInput


def test_every_uint8_value_survives_the_round_trip():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(images.to_uint8(images.from_uint8(levels)), levels)


def test_rounding_truncates_after_adding_128():
    """floor(127.5 x + 128): 0 -> 128, 0.999/127.5 -> 128, 1/127.5 -> 129; outside [-1, 1] is clamped."""
    values = torch.tensor([0.0, 0.999 / 127.5, 1.001 / 127.5, -1.0, 3.0, -3.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert images.to_uint8(values)[0, 0, 0].tolist() == [128, 128, 129, 0, 255, 0]


def test_quantising_twice_changes_nothing():
    once = images.quantise(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(images.quantise(once), once)


def test_photographs_are_cropped_rotated_and_resized(tmp_path):
    """A wide image with an EXIF rotation: its centre square is kept, upright."""
    array = np.zeros((20, 60, 3), np.uint8)
    array[:10, 20:40] = 255  # the centre square's upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # rotated by 180 degrees
    Image.fromarray(array).save(tmp_path / "photo.png", exif=exif)
    loaded = images.load(tmp_path / "photo.png", 20)
    assert loaded.shape == (3, 20, 20)
    assert loaded[:, :8].max() < -0.9 and loaded[:, 12:].min() > 0.9


def test_grey_and_cmyk_become_rgb(tmp_path):
    for mode in ("L", "CMYK", "P"):
        Image.new(mode, (30, 30)).save(tmp_path / f"{mode}.tiff")
        assert images.load(tmp_path / f"{mode}.tiff", 8).shape == (3, 8, 8)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(BadInput, match=r"note\.jpg"):
        images.load(tmp_path / "note.jpg", 8)
    with pytest.raises(BadInput, match=r"none\.jpg"):
        images.load(tmp_path / "none.jpg", 8)
