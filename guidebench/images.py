"""The one place that converts images. Inside guidebench an image is float32 RGB in [-1, 1], NCHW."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from guidebench.errors import BadInput, in_one_line
from guidebench.files import open_regular
from guidebench.text import bytes_in_words

PathLike = str | Path
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # of Pillow; for others it runs further programs
_EXACT_MODES = {"RGB", "RGBA", "L", "LA", "P", "PA", "1"}  # of Pillow; any other changes its colours on the way to RGB
_MOST_PIXELS = 300_000_000  # of a photograph; it takes about 2.5 GB to open one
_PIXELS_OF_ANY_FILE, _PIXELS_PER_BYTE = 2**25, 1000  # that a file may announce; JPEG of one grey has 200 per byte
_SAME_COLOURS = 3  # grey levels; a profile that moves no colour by more is sRGB under another name


def to_uint8(images: Tensor) -> Tensor:
    """(n, 3, h, w) float in about [-1, 1] -> uint8: floor(clamp(127.5 x + 128, 0, 255)), as GUIDE writes PNGs.

    >>> to_uint8(torch.tensor([-1.2, -1.0, 0.0, 1.0])).tolist()
    [0, 0, 128, 255]
    """
    return (127.5 * images + 128).clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """(n, 3, h, w) uint8 -> float32 in [-1, 1]: x / 127.5 - 1.

    >>> from_uint8(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
    [-1.0, 1.0]
    """
    return images.to(torch.float32) / 127.5 - 1


def quantise(images: Tensor) -> Tensor:
    """The float image that a PNG of this image would be read back as; what every judge sees."""
    return from_uint8(to_uint8(images))


def to_arrays(images: Tensor) -> np.ndarray:
    """(n, 3, h, w) float -> (n, h, w, 3) uint8 numpy, for PIL, OpenCV and matplotlib."""
    return to_uint8(images.detach()).permute(0, 2, 3, 1).cpu().numpy()


def load(path: PathLike, resolution: int, *, must_be_square: bool = False) -> Tensor:
    """(3, resolution, resolution) from a photograph file, resized with PIL's bicubic filter (antialiased).

    Photographs that are not square are cut to their centre square; with ``must_be_square`` they are refused. Raises
    `guidebench.errors.BadInput`, naming the file and the cure, as `open_photo` does, and for a photograph of less than
    half the resolution: what it lacks would be invented.
    """
    image = open_photo(path, least=(resolution + 1) // 2, must_be_square=must_be_square)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((resolution, resolution), Image.Resampling.BICUBIC)
    return from_uint8(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def open_photo(path: PathLike, *, least: int = 1, must_be_square: bool = False) -> Image.Image:
    """A photograph file as an upright sRGB picture: EXIF rotation and colour profile applied, grey and palettes as RGB.

    least: smallest shorter side in pixels. Raises `guidebench.errors.BadInput`, naming the file and the cure, if it is
    not an image, damaged, too small, not square though it must be, or of a kind that no conversion to RGB keeps as it
    looks: CMYK, more than 8 bits per channel, transparency, a colour profile that does not fit. So is one of more than
    300 megapixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow passes over in damaged files
            image = _open_rgb(path)
    except BadInput:
        raise
    except UnidentifiedImageError:
        raise BadInput(f"cannot read the image {path}: it is not an image; give a JPEG or PNG photograph") from None
    except Exception as error:  # Pillow's readers raise anything
        reason = (isinstance(error, OSError) and error.strerror) or in_one_line(error)
        raise BadInput(f"cannot read the image {path}: {reason[:200]}; give a JPEG or PNG photograph") from None
    if min(image.size) < least:
        size = f"{image.width} x {image.height} pixels"
        raise BadInput(f"the image {path} is too small: {size}; give one of at least {least} x {least}")
    if must_be_square and image.width != image.height:
        raise BadInput(
            f"the image {path} is not square: {image.width} x {image.height} pixels; "
            "`guidebench align IN OUT` cuts faces out"
        )
    return image


def _open_rgb(path: PathLike) -> Image.Image:
    with open_regular(path) as stream, _of_any_size(), Image.open(stream, formats=_FORMATS) as opened:
        pixels, size = opened.width * opened.height, os.fstat(stream.fileno()).st_size
        if pixels > _MOST_PIXELS:
            raise BadInput(
                f"the image {path} has {pixels / 1e6:.0f} megapixels, more than {_MOST_PIXELS / 1e6:.0f} are not read; "
                "give a smaller copy"
            )
        if pixels > max(_PIXELS_OF_ANY_FILE, _PIXELS_PER_BYTE * size):
            raise BadInput(
                f"the image {path} announces {pixels / 1e6:.0f} megapixels in {bytes_in_words(size)}, as no photograph "
                "does; give a JPEG or PNG photograph"
            )
        if opened.mode not in _EXACT_MODES:
            raise BadInput(
                f"the image {path} holds {opened.mode} pixels, which no plain conversion shows as they look; "
                "save it as an 8-bit RGB JPEG or PNG"
            )
        if opened.format == "PNG" and opened.tile and ";16" in str(opened.tile[0][3]):  # Pillow would drop half of each
            raise BadInput(f"the image {path} has 16 bits per channel; save it as an 8-bit RGB JPEG or PNG")
        ImageOps.exif_transpose(opened, in_place=True)
        if opened.has_transparency_data and opened.convert("RGBA").getchannel("A").getextrema()[0] != 255:
            raise BadInput(f"the image {path} is transparent in places; save it as an RGB JPEG or PNG without alpha")
        if profile := opened.info.get("icc_profile"):
            return _in_srgb(opened, profile, path)
        return opened.convert("RGB")


@contextmanager
def _of_any_size() -> Iterator[None]:
    """Lifts Pillow's limit of 89 megapixels, which phones exceed, while a file is opened."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _in_srgb(image: Image.Image, profile: bytes, path: PathLike) -> Image.Image:
    """A picture with a colour profile as sRGB: relative colorimetric, black point adapted.

    Where the profile is sRGB in effect, the numbers stay as they are.
    """
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"RGB": "RGB", "GRAY": "L"}[source.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "L" and image.mode not in ("L", "LA", "1"):
            raise ValueError("it is a profile of grey pictures")
    except (ImageCms.PyCMSError, KeyError, ValueError, OSError) as error:
        raise BadInput(
            f"the image {path} has a colour profile that cannot be applied ({str(error).strip()[:80]}); save it as an "
            "sRGB JPEG or PNG"
        ) from None
    plain = image.convert(mode)
    probe = _some_colours(mode)
    moved = np.asarray(ImageCms.applyTransform(probe, transform)).astype(int) - np.asarray(probe.convert("RGB"))
    if np.abs(moved).max() <= _SAME_COLOURS:
        return plain.convert("RGB")
    converted = ImageCms.applyTransform(plain, transform)
    assert converted is not None  # only a conversion in place returns nothing
    return converted


def _some_colours(mode: str) -> Image.Image:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
    return Image.fromarray(grid if mode == "RGB" else grid[..., 0])


def save(image: Tensor, path: PathLike) -> None:
    """Writes one (3, h, w) image as a file of the type that the path's ending names."""
    Image.fromarray(to_arrays(image[None])[0]).save(path)
