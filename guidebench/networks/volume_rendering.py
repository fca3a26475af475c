"""Volume rendering of tri-planes along rays, as pure functions of arrays.

EG3D (Chan et al., CVPR 2022, arXiv 2112.07945, §4.2) marches rays as Mip-NeRF does: stratified samples, a second set
where the first found matter, and the volume rendering integral with mid-point values (Max 1995; NeRF, arXiv 2003.08934,
Eq. 3 and §5.2; Mip-NeRF, arXiv 2103.13415, §3.1). Shapes: n codes, k rays, s samples, c channels; depths are distances
from the camera in scene units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def rays_from_labels(labels: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """Camera labels (n, 25) -> origins and unit directions, each (n, resolution², 3), through pixel centres row by row.

    A pixel centre ((i + 0.5) / resolution, (j + 0.5) / resolution) = (x, y) looks along R K⁻¹ (x, y, 1).
    """
    extrinsics, intrinsics = labels[:, :16].view(-1, 4, 4), labels[:, 16:].view(-1, 3, 3)
    centres = (torch.arange(resolution, dtype=labels.dtype, device=labels.device) + 0.5) / resolution
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    # K is upper triangular, so its inverse is two substitutions.
    lifted_y = (y.flatten() - intrinsics[:, 1, 2, None]) / intrinsics[:, 1, 1, None]
    skewed = x.flatten() - intrinsics[:, 0, 2, None] - intrinsics[:, 0, 1, None] * lifted_y
    lifted_x = skewed / intrinsics[:, 0, 0, None]
    local = torch.stack([lifted_x, lifted_y, torch.ones_like(lifted_x)], dim=2)
    directions = functional.normalize(local @ extrinsics[:, :3, :3].transpose(1, 2), dim=2)
    return extrinsics[:, None, :3, 3].expand_as(directions), directions


def stratified_depths(start: float, end: float, jitter: Tensor, *, disparity: bool = False) -> Tensor:
    """Depths start + (i + jitter) (end - start) / (s - 1): bins as wide as the step of a linspace from start to end.

    jitter: (..., s) in [0, 1). Returns the same shape, increasing along the last axis; the last bin begins at ``end``.
    disparity: spaced evenly in 1/depth instead.
    """
    samples = jitter.shape[-1]
    steps = torch.arange(samples, dtype=jitter.dtype, device=jitter.device)
    share = (steps + jitter) / (samples - 1)
    if disparity:
        return 1 / ((1 - share) / start + share / end)
    return start + share * (end - start)


def project_onto_planes(points: Tensor) -> Tensor:
    """(n, m, 3) -> (n, 3, m, 2): the points' (x, y), (x, z) and (z, x), width first.

    The third pair is the published model's: the paper's figure suggests (y, z).
    """
    x, y, z = points.unbind(dim=-1)
    pairs = [torch.stack(pair, dim=-1) for pair in ((x, y), (x, z), (z, x))]
    return torch.stack(pairs, dim=1)


def sample_planes(planes: Tensor, points: Tensor, *, box_warp: float) -> Tensor:
    """Bilinear features (n, 3, c, m) of planes (n, 3, c, h, w) at points (n, m, 3); zero outside the planes.

    box_warp: side of the cube that the planes cover, centred at the origin.
    """
    n, _, c, h, w = planes.shape
    grid = project_onto_planes(points * (2 / box_warp)).flatten(0, 1)[:, None]
    sampled = functional.grid_sample(planes.reshape(n * 3, c, h, w), grid, padding_mode="zeros", align_corners=False)
    return sampled.view(n, 3, c, -1)


def mean_features(planes: Tensor, points: Tensor, *, box_warp: float) -> Tensor:
    """The mean over the three planes of what `sample_planes` finds: (n, 3, c, h, w), (n, m, 3) -> (n, m, c).

    On a CPU, the 12 corners around a point are rows of one table, which is read and written once, without a sample for
    each plane; there, planes are square and fastest with channels last. A gradient to the points takes the other way.
    """
    if planes.device.type != "cpu" or points.requires_grad:
        return sample_planes(planes, points, box_warp=box_warp).mean(dim=1).transpose(1, 2)
    n, _, channels, size, _ = planes.shape
    rows, weights = _corners(points.flatten(0, 1) * (2 / box_warp), size)
    codes = torch.arange(n, dtype=rows.dtype, device=rows.device).repeat_interleave(points.shape[1])
    table = planes.permute(0, 3, 4, 1, 2).reshape(-1, channels)
    sums: Tensor = _WeightedRows.apply(table, rows + codes[:, None] * (3 * size * size), weights / 3)
    return sums.view(n, -1, channels)


def _corners(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Points (m, 3) in [-1, 1] -> rows of the table (size, size, 3) around them and bilinear weights, each (m, 12).

    A corner outside a plane weighs nothing.
    """
    pixels = (((points.T + 1) * size - 1) / 2).clamp(-2, size + 1)
    first = pixels.floor()
    share = pixels - first
    corners = torch.stack([first, first + 1], dim=1).to(torch.int32)  # (3, 2, m)
    weights = torch.stack([1 - share, share], dim=1) * ((corners >= 0) & (corners < size))
    corners = corners.clamp(0, size - 1)
    down, across = [1, 2, 0], [0, 0, 2]  # y, z, x and x, x, z, as in `project_onto_planes`
    plane = torch.arange(3, dtype=torch.int32, device=points.device)[:, None, None]
    rows = (corners[down] * (3 * size))[:, :, None] + (corners[across] * 3 + plane)[:, None]
    products = weights[down][:, :, None] * weights[across][:, None]
    return rows.flatten(0, 2).T.contiguous(), products.flatten(0, 2).T.contiguous()


class _WeightedRows(torch.autograd.Function):
    """(t, c), (m, k) places in it, (m, k) weights -> (m, c) weighted sums; gradients go to the table alone.

    Its backward pass is the same sum, of the gradients that belong to a row of the table: faster than writing each
    where it belongs.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.count = len(table)
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows, weights = ctx.saved_tensors
        places, order = rows.flatten().sort()
        counts = torch.zeros(ctx.count, dtype=torch.int32, device=rows.device)
        counts.scatter_add_(0, places.long(), torch.ones_like(places))
        starts = counts.cumsum(0, dtype=torch.int32) - counts
        owners = (order // rows.shape[1]).to(torch.int32)
        weights = weights.flatten()[order]
        gradient = gradient.contiguous()
        return functional.embedding_bag(owners, gradient, starts, per_sample_weights=weights, mode="sum"), None, None


def segment_weights(densities: Tensor, depths: Tensor) -> Tensor:
    """What each segment between neighbouring samples contributes to its ray: (..., s), (..., s) -> (..., s - 1).

    w_i = T_i (1 - exp(-σ_i δ_i)), T_i = ∏_{j<i} exp(-σ_j δ_j), with σ_i = softplus(mean of the ends - 1). Depths must
    increase along the last axis.
    """
    lengths = depths[..., 1:] - depths[..., :-1]
    middle = (densities[..., :-1] + densities[..., 1:]) / 2
    opacity = 1 - torch.exp(-functional.softplus(middle - 1) * lengths)
    # 1e-10 keeps the gradient of the product finite behind an opaque segment.
    passed = torch.cumprod(1 - opacity + 1e-10, dim=-1)
    transmittance = torch.cat([torch.ones_like(passed[..., :1]), passed[..., :-1]], dim=-1)
    return opacity * transmittance


def sample_weights(segments: Tensor) -> Tensor:
    """(..., s - 1) -> (..., s): each segment's weight, half to either end.

    Σ_i w_i (c_i + c_{i+1}) / 2 = Σ_i c_i (w_{i-1} + w_i) / 2, so colours need no sorting and no mid-points.
    """
    return (functional.pad(segments, (1, 0)) + functional.pad(segments, (0, 1))) / 2


def composite(colours: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over samples: (..., s, c), (..., s) -> (..., c)."""
    return (weights[..., None, :] @ colours)[..., 0, :]


def expected_depth(segments: Tensor, depths: Tensor) -> Tensor:
    """Mean depth of the segments' middles by weight: (..., s - 1), (..., s) -> (...); +inf for an empty ray."""
    middle = (depths[..., :-1] + depths[..., 1:]) / 2
    return ((segments * middle).sum(dim=-1) / segments.sum(dim=-1)).nan_to_num(float("inf"), posinf=float("inf"))


def importance_depths(depths: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
    """Second set of depths, dense where the first found matter: inverse-transform sampling (NeRF §5.2).

    depths: (k, s), increasing. segments: (k, s - 1) weights. positions: (k, m) in [0, 1) on the cumulative mass.
    Returns (k, m) without gradient. The weights are blurred by Mip-NeRF's filter first (½ (max(w_{k-1}, w_k) +
    max(w_k, w_{k+1})) + 0.01); the first and last are left out, and the density is constant between the samples'
    mid-points.
    """
    depths, segments = depths.detach(), segments.detach()
    padded = functional.pad(segments, (1, 1))
    larger = torch.maximum(padded[:, :-1], padded[:, 1:])
    blurred = (larger[:, :-1] + larger[:, 1:]) / 2 + 0.01
    mass = blurred[:, 1:-1] + 1e-5
    cumulative = functional.pad(torch.cumsum(mass / mass.sum(dim=1, keepdim=True), dim=1), (1, 0))
    middle = (depths[:, :-1] + depths[:, 1:]) / 2

    upper = torch.searchsorted(cumulative, positions.contiguous(), right=True).clamp_max(mass.shape[1])
    lower = (upper - 1).clamp_min(0)
    low, high = cumulative.gather(1, lower), cumulative.gather(1, upper)
    step = high - low
    share = (positions - low) / torch.where(step < 1e-5, 1.0, step)
    near, far = middle.gather(1, lower), middle.gather(1, upper)
    return near + share * (far - near)


@dataclass(frozen=True)
class Marched:
    """What a ray sees."""

    colours: Tensor  # (..., c)
    depth: Tensor  # (...,) mean depth, +inf for an empty ray
    segments: Tensor  # (..., s - 1) weights of the segments between samples

    @property
    def opacity(self) -> Tensor:
        """(...,) sum of the weights, in [0, 1]."""
        return self.segments.sum(dim=-1)


def march(colours: Tensor, densities: Tensor, depths: Tensor) -> Marched:
    """The volume rendering integral over samples in any order: (..., s, c), (..., s), (..., s) -> what the ray sees.

    Only densities and depths are sorted; colours stay where they are.
    """
    ordered, order = depths.sort(dim=-1)
    segments = segment_weights(densities.gather(-1, order), ordered)
    weights = torch.zeros_like(depths).scatter(-1, order, sample_weights(segments))
    return Marched(composite(colours, weights), expected_depth(segments, ordered), segments)
