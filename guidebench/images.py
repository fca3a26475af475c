"""The one place that converts images. Inside guidebench an image is float32 RGB in [-1, 1], NCHW."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

PathLike = str | Path


def to_uint8(images: Tensor) -> Tensor:
    """(n, 3, h, w) float in about [-1, 1] -> uint8: floor(clamp(127.5 x + 128, 0, 255)), as GUIDE writes PNGs."""
    return (127.5 * images + 128).clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """(n, 3, h, w) uint8 -> float32 in [-1, 1]: x / 127.5 - 1."""
    return images.to(torch.float32) / 127.5 - 1


def quantise(images: Tensor) -> Tensor:
    """The float image that a PNG of this image would be read back as; what every judge sees."""
    return from_uint8(to_uint8(images))


def to_arrays(images: Tensor) -> np.ndarray:
    """(n, 3, h, w) float -> (n, h, w, 3) uint8 numpy, for PIL, OpenCV and matplotlib."""
    return to_uint8(images.detach()).permute(0, 2, 3, 1).cpu().numpy()


def load(path: PathLike, resolution: int) -> Tensor:
    """(3, resolution, resolution) from a photograph file, resized with PIL's bicubic filter (antialiased).

    Non-square photographs are cropped to their centre square. EXIF rotation is applied. Raises
    `guidebench.errors.BadInput` if the file is no image.
    """
    from guidebench.errors import BadInput

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = _open_rgb(path)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        ValueError,
    ) as error:
        raise BadInput(f"cannot read the image {path}: {error}; give a JPEG or PNG photograph") from None
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((resolution, resolution), Image.Resampling.BICUBIC)
    return from_uint8(torch.from_numpy(np.array(image)).permute(2, 0, 1))


def _open_rgb(path: PathLike) -> Image.Image:
    with Image.open(path) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


def save(image: Tensor, path: PathLike) -> None:
    """Writes one (3, h, w) image as a file of the type that the path's ending names."""
    Image.fromarray(to_arrays(image[None])[0]).save(path)
