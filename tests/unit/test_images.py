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


def test_grey_and_palette_become_rgb_with_the_same_levels(tmp_path):
    for mode in ("L", "P", "LA", "RGBA"):
        Image.new("L", (30, 30), 77).convert(mode).save(tmp_path / f"{mode}.png")
        loaded = images.load(tmp_path / f"{mode}.png", 8)
        assert loaded.shape == (3, 8, 8) and (images.to_uint8(loaded[None]) == 77).all()


def test_what_no_conversion_keeps_is_refused_with_the_cure(tmp_path, says):
    Image.new("CMYK", (30, 30)).save(tmp_path / "print.jpg")
    Image.new("I;16", (30, 30)).save(tmp_path / "deep.png")
    Image.new("RGBA", (30, 30), (9, 9, 9, 128)).save(tmp_path / "veil.png")
    for name, word in (("print.jpg", "CMYK"), ("deep.png", "I;16"), ("veil.png", "transparent")):
        with pytest.raises(BadInput, match=says(name, word, "RGB JPEG or PNG")):
            images.load(tmp_path / name, 8)


def test_a_photograph_of_less_than_half_the_resolution_is_too_small(tmp_path, says):
    Image.new("RGB", (7, 40)).save(tmp_path / "thin.png")
    assert images.load(tmp_path / "thin.png", 14).shape == (3, 14, 14)
    with pytest.raises(BadInput, match=says("thin.png", "small", "7 x 40", "8 x 8")):
        images.load(tmp_path / "thin.png", 15)


def test_a_square_may_be_demanded(tmp_path, says):
    Image.new("RGB", (40, 41)).save(tmp_path / "tall.png")
    assert images.load(tmp_path / "tall.png", 40).shape == (3, 40, 40)
    with pytest.raises(BadInput, match=says("tall.png", "square", "40 x 41", "`guidebench align IN OUT`")):
        images.load(tmp_path / "tall.png", 40, must_be_square=True)


def test_a_photograph_that_is_cut_short_is_named(tmp_path, says):
    for name in ("whole.png", "whole.jpg"):
        Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        for length in (0, 20, len(data) // 2):
            (tmp_path / f"cut-{name}").write_bytes(data[:length])
            with pytest.raises(BadInput, match=says("read", f"cut-{name}")):
                images.load(tmp_path / f"cut-{name}", 8)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "note.jpg").write_text("hello")
    with pytest.raises(BadInput, match=r"note\.jpg"):
        images.load(tmp_path / "note.jpg", 8)
    with pytest.raises(BadInput, match=r"none\.jpg"):
        images.load(tmp_path / "none.jpg", 8)
