"""Bilinear look-ups in tri-planes as weighted sums of table rows, a third of the time of `grid_sample` on a CPU.

A table has one row per pixel of each plane of each code, so the numbers that a point needs lie together in memory. A
look-up is linear in the table: a linear layer may be applied to its few rows instead of to the many points.
"""

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_WIDTH, _HEIGHT = (0, 2, 0), (1, 1, 2)  # the axes of the xy, zy and xz plane
_CORNERS = tuple(product((0, 1), (0, 1)))  # neighbours of a point in a plane, from its upper left: (down, right)


class Places(NamedTuple):
    """Where points are in the planes: their four neighbours in each of three planes."""

    rows: Tensor  # (p, 12) int32, of a table
    weights: Tensor  # (p, 12)
    side: int  # pixels of a plane


def table(planes: Tensor) -> Tensor:
    """The xy, zy and xz planes (n, 3 x c, side, side) as a table (n x 3 x side x side, c)."""
    channels = planes.shape[1] // 3
    return planes.unflatten(1, (3, channels)).permute(0, 1, 3, 4, 2).reshape(-1, channels)


@torch.no_grad()
def locate(coordinates: Tensor, side: int, *, shared: bool = False) -> Places:
    """Coordinates (3, n, m) in [-1, 1] within the planes of n codes; outside, the border goes on, and NaN is a corner.

    shared: all n rows look at one code, the table's only one. Gives the places of n x m points.
    """
    count = coordinates.shape[1]
    pixels = ((coordinates + 1) * (side / 2) - 0.5).nan_to_num_(0.0).clamp_(0, side - 1).flatten(1)
    corner = pixels.floor().clamp_(max=side - 2)
    share = torch.cat([torch.ones_like(pixels[:1]), pixels - corner]).T
    across, down, rows = _affine_maps(side, pixels.dtype, pixels.device)
    # small factors, and the larger constant added: exact even where TensorFloat-32 is allowed
    numbers = torch.addmm(rows[0], corner.T, rows[1:]).to(torch.int32)
    if not shared:
        first = torch.arange(count, dtype=torch.int32, device=pixels.device) * (3 * side * side)
        numbers.view(count, -1).add_(first[:, None])
    return Places(numbers, (share @ across).mul_(share @ down), side)


@cache
def _affine_maps(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, 1 + 3, 12): a neighbour's horizontal and vertical weight and its row, each affine in three coordinates."""
    maps = torch.zeros(3, 4, 3, len(_CORNERS))
    for plane, (width, height) in enumerate(zip(_WIDTH, _HEIGHT, strict=True)):
        for corner, (down, right) in enumerate(_CORNERS):
            maps[0, [0, 1 + width], plane, corner] = torch.tensor([0.0, 1.0] if right else [1.0, -1.0])
            maps[1, [0, 1 + height], plane, corner] = torch.tensor([0.0, 1.0] if down else [1.0, -1.0])
            maps[2, 0, plane, corner] = (plane * side + down) * side + right
            maps[2, 1 + width, plane, corner] = 1
            maps[2, 1 + height, plane, corner] = side
    return maps.flatten(2).to(device, dtype)


def look_up(rows: Tensor, places: Places) -> Tensor:
    """The sum of the three planes of a table (r, c) at p places: (p, c), differentiable in the table."""
    looked_up: Tensor = _LookUp.apply(rows, *places)
    return looked_up


class _LookUp(torch.autograd.Function):
    """Backwards, points are sorted by pixel: each row's gradient is a weighted sum as well, in a fixed order."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor, side: int) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.side, ctx.table_rows = side, len(table)
        return functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        rows, weights = ctx.saved_tensors
        corners = len(_CORNERS)
        upper_left, order = rows[:, ::corners].reshape(-1).sort(stable=True)
        ends = upper_left.bincount(minlength=ctx.table_rows).cumsum(0)
        starts = functional.pad(ends[:-1], (1, 0)).to(torch.int32)
        point = order.div(rows.shape[1] // corners, rounding_mode="floor").to(torch.int32)
        shares = weights.view(-1, corners).index_select(0, order)
        found = gradient.new_zeros(ctx.table_rows, gradient.shape[1])
        gradient = gradient.contiguous()
        for corner, (down, right) in enumerate(_CORNERS):
            by_pixel = functional.embedding_bag(
                point, gradient, starts, mode="sum", per_sample_weights=shares[:, corner].contiguous()
            )
            shift = down * ctx.side + right
            found[shift:] += by_pixel[: ctx.table_rows - shift]
        return found, None, None, None
