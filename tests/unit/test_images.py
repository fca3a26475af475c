"""One module converts images; its rounding is the authors'."""

import os

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


def test_sixteen_bits_per_channel_are_refused_though_pillow_opens_them(tmp_path, says):
    import cv2

    deep = np.full((30, 30, 4), 4660, np.uint16)
    for channels, name in ((3, "rgb.png"), (4, "rgba.png")):
        cv2.imwrite(str(tmp_path / name), deep[..., :channels])
        with pytest.raises(BadInput, match=says(name, "16 bits", "8-bit RGB")):
            images.load(tmp_path / name, 8)


def profile(space=b"RGB ", gamma=1.0):
    """An ICC profile, version 2: the primaries of sRGB (or grey), and a plain power for its curve."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big") + bytes(2)

    def point(*numbers):
        return b"XYZ " + bytes(4) + b"".join(round(65536 * number).to_bytes(4, "big") for number in numbers)

    tags = {b"wtpt": point(0.9642, 1, 0.8249)}
    if space == b"RGB ":  # adapted to D50, as ICC asks
        tags |= {b"rXYZ": point(0.4361, 0.2225, 0.0139), b"gXYZ": point(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": point(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    else:
        tags[b"kTRC"] = curve
    table, body = len(tags).to_bytes(4, "big"), b""
    for tag, value in tags.items():
        table += tag + (128 + 4 + 12 * len(tags) + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value
    head = bytes(4) + b"test" + b"\x02\x10\0\0" + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += b"".join(round(65536 * number).to_bytes(4, "big") for number in (0.9642, 1, 0.8249))
    whole = head.ljust(128, b"\0") + table + body
    return len(whole).to_bytes(4, "big") + whole[4:]


@pytest.mark.parametrize(("mode", "space"), [("RGB", b"RGB "), ("L", b"RGB "), ("L", b"GRAY"), ("P", b"RGB ")])
def test_colours_of_another_profile_become_srgb(tmp_path, mode, space):
    """Of linear light 55 / 255 = 0.2157, sRGB makes 1.055 x^(1 / 2.4) - 0.055 = 0.5018, 128."""
    Image.new("L", (30, 30), 55).convert(mode).save(tmp_path / "linear.png", icc_profile=profile(space))
    picture = np.asarray(images.open_photo(tmp_path / "linear.png"))
    assert picture.shape == (30, 30, 3) and np.abs(picture.astype(int) - 128).max() <= 1


def test_a_profile_that_is_srgb_changes_nothing(tmp_path):
    from PIL import ImageCms

    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noise).save(tmp_path / "tagged.png", icc_profile=srgb)
    assert np.array_equal(images.open_photo(tmp_path / "tagged.png"), noise)


def test_a_profile_that_does_not_fit_is_refused(tmp_path, says):
    for name, wrong in (("damaged.png", b"no profile"), ("grey.png", profile(b"GRAY")), ("ink.png", profile(b"CMYK"))):
        Image.new("RGB", (30, 30), (9, 99, 9)).save(tmp_path / name, icc_profile=wrong)
        with pytest.raises(BadInput, match=says(name, "profile", "sRGB")):
            images.open_photo(tmp_path / name)


def test_pillows_limit_is_lifted_for_a_moment_and_ours_is_named(tmp_path, monkeypatch, says):
    Image.new("RGB", (300, 200)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert images.open_photo(tmp_path / "large.png").size == (300, 200)
    monkeypatch.setattr(images, "_MOST_PIXELS", 59_999)
    with pytest.raises(BadInput, match=says("large.png", "megapixels", "smaller")):
        images.open_photo(tmp_path / "large.png")
    assert Image.MAX_IMAGE_PIXELS == 1000


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for_and_no_other_program_is_run(tmp_path, says):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadInput, match=says("pipe.png", "it is a pipe or a device")):
        images.open_photo(tmp_path / "pipe.png")
    (tmp_path / "program.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(BadInput, match=says("program.png", "not an image")):
        images.open_photo(tmp_path / "program.png")


def test_a_bitmap_of_any_width_is_read(tmp_path):
    Image.new("RGB", (720, 720), (10, 20, 30)).save(tmp_path / "wide.bmp")  # a row of it takes 2160 bytes
    assert images.open_photo(tmp_path / "wide.bmp").getpixel((0, 0)) == (10, 20, 30)
