"""The encoders e4e and pSp: a photograph to a latent code of StyleGAN2, as an offset from the average code.

Richardson et al., "Encoding in Style: a StyleGAN Encoder for Image-to-Image Translation" (pSp), CVPR 2021, arXiv
2008.00951: IR-SE50 without its last layer, a feature pyramid, and for every row of the code a head of strided
convolutions. Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (e4e), ACM TOG 2021, arXiv 2102.02766:
the same network, whose first head gives a base code and whose others give differences from it. What the papers leave
open was settled with recorded outputs. Module names are the keys of the published files, which also hold the generator
that the encoder was trained for (`guidebench.networks.stylegan2_files`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from guidebench.errors import BadInput
from guidebench.images import from_uint8, to_arrays
from guidebench.networks import checkpoints
from guidebench.networks.irse import IR_50, WIDTHS, trunk
from guidebench.networks.stylegan2 import FullyConnected, loaded
from guidebench.testbed import Inverter
from guidebench.text import brief

IMAGE_SIDE = 256  # pixels
COARSE, MIDDLE = 3, 7  # heads before these look at the coarse and the middle map, the others at the fine one
RELATIVE = {"Encoder4Editing": True, "GradualStyleEncoder": False}  # by `opts.encoder_type`: e4e, pSp
_STAGE_ENDS = [sum(IR_50[: stage + 1]) for stage in range(len(IR_50))]  # units up to the end of each stage
_SLOPE = 0.01  # of the heads' leaky ReLU
_SIZES = tuple(2**level for level in range(2, 11))  # resolutions of generators


class Pyramid(NamedTuple):
    """What the heads look at, (n, c, s, s)."""

    coarse: Tensor  # s = 16: the trunk's output
    middle: Tensor  # s = 32
    fine: Tensor  # s = 64


class StyleHead(nn.Module):
    """A map of 2^k pixels per side -> one row: k convolutions of stride 2, then a linear layer."""

    def __init__(self, channels: int, convolutions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(channels, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, channels, 2^k, 2^k) -> (n, channels)."""
        row: Tensor = self.linear(self.convs(maps).flatten(1))
        return row


class StyleEncoder(nn.Module):
    """The network of e4e and pSp, 267 M parameters with 18 heads; see `forward`."""

    def __init__(self, rows: int, *, relative: bool, widths: tuple[int, int, int, int] = WIDTHS) -> None:
        """rows: of a latent code. relative: heads after the first give differences from it (e4e), else rows (pSp).

        widths: channels of the trunk's stages; a row has as many numbers as the last.
        """
        super().__init__()
        self.relative = relative
        self.input_layer, self.body = trunk(IR_50, gated=True, widths=widths)
        *_, fine, middle, coarse = widths
        self.latlayer1, self.latlayer2 = nn.Conv2d(middle, coarse, 1), nn.Conv2d(fine, coarse, 1)
        self.styles = nn.ModuleList(StyleHead(coarse, 4 + (row >= COARSE) + (row >= MIDDLE)) for row in range(rows))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> StyleEncoder:
        """Stays in evaluation mode: batch norms use the stored statistics."""
        super().train(False)
        return self

    def pyramid(self, images: Tensor) -> Pyramid:
        """(n, 3, 256, 256) -> three maps; a finer one is the coarser, enlarged, plus that of its stage."""
        maps = self.input_layer(images.contiguous(memory_format=torch.channels_last))
        stages = []
        for start, end in zip([0, *_STAGE_ENDS], _STAGE_ENDS, strict=False):
            maps = self.body[start:end](maps)
            stages.append(maps)
        _, fine, middle, coarse = stages
        middle = _enlarged(coarse) + self.latlayer1(middle)
        return Pyramid(coarse, middle, _enlarged(middle) + self.latlayer2(fine))

    def heads(self, pyramid: Pyramid) -> Tensor:
        """What each head gives by itself, (n, rows, width)."""
        shown_to = [pyramid.coarse] * COARSE + [pyramid.middle] * (MIDDLE - COARSE)
        shown_to += [pyramid.fine] * (len(self.styles) - len(shown_to))
        return torch.stack([head(maps) for head, maps in zip(self.styles, shown_to, strict=False)], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, 256, 256) in [-1, 1] -> offsets from the average code (n, rows, width).

        Raises ValueError on images of another size.
        """
        if images.shape[1:] != (3, IMAGE_SIDE, IMAGE_SIDE):
            raise ValueError(f"the encoder takes images (n, 3, {IMAGE_SIDE}, {IMAGE_SIDE}), got {tuple(images.shape)}")
        rows = self.heads(self.pyramid(images))
        if not self.relative:
            return rows
        return torch.cat([rows[:, :1], rows[:, :1] + rows[:, 1:]], dim=1)


class StyleInverter(Inverter):
    """Photographs to absolute latent codes: the encoder's offset plus the average code."""

    average: Tensor

    def __init__(self, encoder: nn.Module, average: Tensor) -> None:
        """encoder: maps as `StyleEncoder`. average: (rows, width), or anything that broadcasts to it."""
        super().__init__()
        self.encoder = encoder
        self.register_buffer("average", average.detach().to(torch.float32).clone())

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """(n, 3, h, w) in [-1, 1], aligned as FFHQ -> absolute codes (n, rows, width).

        rng: not used, the released encoders run in evaluation mode.
        """
        prepared = torch.cat([prepare(photo) for photo in to_arrays(images)]).to(images.device)
        codes: Tensor = self.encoder(prepared) + self.average
        return codes


@dataclass(frozen=True)
class Checkpoint:
    """What a published file holds."""

    kind: str  # `opts.encoder_type`
    encoder: StyleEncoder  # frozen
    average: Tensor | None  # (rows, width), to be added to what the encoder gives; None: nothing is
    decoder: Mapping[str, Tensor]  # the generator that it was trained for, under rosinality's names


def prepare(photo: np.ndarray) -> Tensor:
    """(h, w, 3) uint8 RGB, aligned as FFHQ -> (1, 3, 256, 256) in [-1, 1].

    PIL's bilinear filter, which averages where it shrinks; what is not square is squeezed, as by the released code.
    """
    resized = Image.fromarray(photo).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BILINEAR)
    return from_uint8(torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None])


def load(path: str | Path, *, digest: str | None = None) -> Checkpoint:
    """A checkpoint of e4e or pSp, without executing anything in it. Which of the two it is, its options decide.

    digest: the SHA-256 that the file must have, None: any. Raises `guidebench.errors.BadInput`, in one line that names
    the file, if it holds anything else.
    """
    content = checkpoints.read(path, digest=digest)
    entries = content if isinstance(content, dict) else {}
    options, tensors = entries.get("opts"), entries.get("state_dict")
    if not isinstance(options, dict) or not isinstance(tensors, dict):
        raise BadInput(
            f"{path} is not a checkpoint of e4e or pSp with entries opts and state_dict (its entries: "
            f"{checkpoints.listed(entries)}); give the file that its authors published"
        )
    kind = options.get("encoder_type")
    if kind not in RELATIVE:
        raise BadInput(
            f"{path} holds an encoder of type {brief(kind)}; supported are {' and '.join(RELATIVE)}, whose tensors "
            "have the same names and cannot be told apart without opts.encoder_type"
        )
    tensors = {str(key): value for key, value in tensors.items() if isinstance(value, Tensor)}
    encoder, decoder = (_below(tensors, prefix) for prefix in ("encoder.", "decoder."))
    rows, widths = _rows(options, path), _widths(encoder)
    network = loaded(path, lambda: StyleEncoder(rows, relative=RELATIVE[kind], widths=widths), encoder)
    average = _average(entries, options, rows, widths[-1], path)
    return Checkpoint(kind, network, average, decoder)


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _rows(options: Mapping[str, Any], path: str | Path) -> int:
    """Rows of a code: two per resolution of the generator. e4e calls it stylegan_size, pSp output_size."""
    size = options.get("stylegan_size", options.get("output_size", _SIZES[-1]))
    if size not in _SIZES:
        raise BadInput(f"{path} is for a generator of {brief(size)} px; supported are {', '.join(map(str, _SIZES))}")
    return 2 * round(math.log2(size)) - 2


def _widths(encoder: Mapping[str, Tensor]) -> tuple[int, int, int, int]:
    """Channels of the trunk's stages in a file; those of the published ones where it does not say."""
    ends = [encoder.get(f"body.{end - 1}.res_layer.3.weight") for end in _STAGE_ENDS]
    first, second, third, fourth = (
        len(weight) if weight is not None and weight.ndim == 4 else published
        for weight, published in zip(ends, WIDTHS, strict=True)
    )
    return first, second, third, fourth


def _average(
    entries: Mapping[str, Any], options: Mapping[str, Any], rows: int, width: int, path: str | Path
) -> Tensor | None:
    """The average code that is added, where the encoder was trained to start from it; pSp's may be a single row."""
    if not options.get("start_from_latent_avg", True):
        return None
    average = entries.get("latent_avg")
    if not isinstance(average, Tensor) or average.shape not in ((width,), (1, width), (rows, width)):
        found = tuple(average.shape) if isinstance(average, Tensor) else type(average).__name__
        raise BadInput(
            f"{path} holds no average code ({rows}, {width}) under latent_avg but {brief(found)}, and its encoder "
            "gives offsets from one; fetch the file again"
        )
    return average.to(torch.float32).expand(rows, width).clone()


def _enlarged(maps: Tensor) -> Tensor:
    """(n, c, s, s) -> (n, c, 2s, 2s), bilinear between the centres of the corner pixels."""
    return functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
