"""3x3 convolutions of frozen networks on a CPU with a quarter of the multiplications (Winograd's algorithm).

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308: F(4 x 4, 3 x 3), two
polynomials multiplied by their values at six points. Tiles of 6 x 6 pixels and the kernels are transformed, multiplied
number by number, summed over channels, and transformed back to 4 x 4 pixels: 36 products in place of 144. The points
are 0, ±√½, ±√2 and infinity. They keep the rounding error in float32 as small as that of the sum itself; and their
reciprocals are the same six, so that the gradient to the maps, a convolution with the kernels turned by 180°, needs
the same transformed kernels in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

FEWEST_CHANNELS = 128  # on either side: with fewer, the transforms cost what the products save
FEWEST_TILES = 16  # with fewer, so does reading the transformed kernels
FEWEST_TILES_ONCE = 128  # with fewer, so does transforming the kernels
TILES_AT_ONCE = 256  # few enough for a CPU's caches

_A = math.sqrt(0.5)


def _in_two_directions(rows: Sequence[Sequence[float]]) -> Tensor:
    """(6, k) -> (36, k²): the same along both axes of a square."""
    matrix = torch.tensor(rows, dtype=torch.float64, device="cpu")
    return torch.kron(matrix, matrix)


# One row for each point in the order 0, √½, -√½, √2, -√2, infinity; scaled so that a kernel read backwards has the
# values of the reciprocal points.
TILE = _in_two_directions(
    [
        [1, 0, -5 / 2, 0, 1, 0],
        [0, -2 * _A, -2, _A, 1, 0],
        [0, 2 * _A, -2, -_A, 1, 0],
        [0, _A / 2, 1 / 4, -_A, -1 / 2, 0],
        [0, -_A / 2, 1 / 4, _A, -1 / 2, 0],
        [0, 1, 0, -5 / 2, 0, 1],
    ]
)
KERNEL = _in_two_directions(
    [
        [1, 0, 0],
        [-2 / 3, -2 * _A / 3, -1 / 3],
        [-2 / 3, 2 * _A / 3, -1 / 3],
        [-1 / 3, -2 * _A / 3, -2 / 3],
        [-1 / 3, 2 * _A / 3, -2 / 3],
        [0, 0, 1],
    ]
)
PIXELS = _in_two_directions(
    [
        [1, 0, 0, 0],
        [1, _A, 1 / 2, _A / 2],
        [1, -_A, 1 / 2, -_A / 2],
        [1, 2 * _A, 2, 4 * _A],
        [1, -2 * _A, 2, -4 * _A],
        [0, 0, 0, 1],
    ]
)
_RECIPROCAL = [5, 3, 4, 1, 2, 0]
TURNED = torch.arange(36, device="cpu").view(6, 6)[_RECIPROCAL][:, _RECIPROCAL].flatten()


def transformed(weight: Tensor) -> Tensor:
    """Kernels (o, i, 3, 3) -> (36, i, o), worked out in float64 and rounded once."""
    outputs, inputs = weight.shape[:2]
    taps = weight.detach().to(torch.float64).permute(2, 3, 1, 0).reshape(9, -1)
    return (KERNEL @ taps).view(36, inputs, outputs).to(weight.dtype)


def convolve(maps: Tensor, kernels: Tensor, bias: Tensor | None = None) -> Tensor:
    """(n, i, h, w), `transformed` kernels (36, i, o), (o,) -> (n, o, h, w), the map padded by one zero on each side.

    Differentiable in the maps alone. Channels last in memory.
    """
    convolved: Tensor = _Convolution.apply(maps, kernels, bias)
    return convolved


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, kernels: Tensor, bias: Tensor | None) -> Tensor:
        ctx.kernels = kernels
        return _convolve(maps, kernels, bias, *_transforms(maps.dtype, False))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        kernels = ctx.kernels.transpose(1, 2)
        return _convolve(gradient, kernels, None, *_transforms(gradient.dtype, True)), None, None


@cache
def _transforms(dtype: torch.dtype, turned: bool) -> tuple[Tensor, Tensor]:
    """Of tiles (36, 36) and back to pixels (16, 36); turned: for kernels that are turned by 180°."""
    order = TURNED if turned else slice(None)
    return TILE[order].to(dtype), PIXELS[order].to(dtype).T.contiguous()


def _convolve(maps: Tensor, kernels: Tensor, bias: Tensor | None, tile: Tensor, pixels: Tensor) -> Tensor:
    """See the module; tiles reach one pixel beyond the 4 x 4 that they give, and beyond the map."""
    (count, inputs, height, width), outputs = maps.shape, kernels.shape[2]
    down, across = -(-height // 4), -(-width // 4)
    padding = (0, 0, 1, 1 + 4 * across - width, 1, 1 + 4 * down - height)
    tiles = functional.pad(maps.permute(0, 2, 3, 1), padding).unfold(1, 6, 4).unfold(2, 6, 4)
    shape = (count, outputs, 4 * down, 4 * across)
    found = torch.empty(shape, dtype=maps.dtype, device=maps.device, memory_format=torch.channels_last)
    squares = found.permute(0, 2, 3, 1).view(count, down, 4, across, 4, outputs)
    many, rows = max(1, TILES_AT_ONCE // (down * across)), max(1, TILES_AT_ONCE // across)
    for first in range(0, count, many):
        for top in range(0, down, rows):
            part = tiles[first : first + many, top : top + rows]
            values = torch.mm(tile, part.permute(4, 5, 0, 1, 2, 3).reshape(36, -1)).view(36, -1, inputs)
            products = torch.bmm(values, kernels).view(36, -1)
            sums = torch.mm(pixels, products).view(4, 4, *part.shape[:3], outputs)
            square = squares[first : first + many, top : top + rows]
            sums = sums.permute(2, 3, 0, 4, 1, 5)
            if bias is None:
                square.copy_(sums)
            else:
                torch.add(sums, bias, out=square)
    if found.shape[2:] == maps.shape[2:]:
        return found
    return found[:, :, :height, :width].contiguous(memory_format=torch.channels_last)


def pays(maps: Tensor, weight: Tensor, *, kept: bool) -> bool:
    """Whether `convolve` may and should stand in for the convolution of maps (n, i, h, w) with (o, i, 3, 3).

    kept: the transformed kernels are there already, so that small maps pay, too.
    """
    count, _, height, width = maps.shape
    return (
        maps.device.type == "cpu"
        and maps.dtype == weight.dtype in (torch.float32, torch.float64)
        and not weight.requires_grad
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and count * -(-height // 4) * -(-width // 4) >= (FEWEST_TILES if kept else FEWEST_TILES_ONCE)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not torch.is_inference_mode_enabled()
    )


class Convolution(nn.Conv2d):
    """A 3x3 convolution of stride 1 that keeps the size of the map, by Winograd's algorithm where that pays.

    For networks that stay as they were loaded: the transformed kernels, four times as large as the kernels, are worked
    out when first needed and kept until autograd would notice that the weights have changed; it does not notice what
    is written to ``weight.data``. They are not copied.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        self._kept: _Kept | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        trains = self.bias is not None and self.bias.requires_grad
        if trains or not pays(maps, self.weight, kept=True):
            return super().forward(maps)
        if self._kept is None or not self._kept.fits(self.weight):
            self._kept = _Kept(self.weight)
        return convolve(maps, self._kept.kernels, self.bias)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept": None}


class _Kept:
    """The transformed kernels of a weight, and what they were made of."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.version = weight.detach(), weight._version  # a reference, so that no other gets its address
        self.kernels = transformed(weight)

    def fits(self, weight: Tensor) -> bool:
        """Whether the kernels are those of the weight as it is now."""
        known = self.weight.data_ptr(), self.weight.dtype, self.version
        return (weight.data_ptr(), weight.dtype, weight._version) == known
