"""Cameras, rays and ray marching against arrays recorded from EG3D's modules, each in isolation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.cameras import CameraRig, view_yaws
from guidebench.networks import volume_rendering
from guidebench.networks.eg3d import focal_length

pytestmark = pytest.mark.reference

CLOSE = 1e-6  # as recommended; rays, samples and weights agree to the last bit or two


@pytest.fixture(scope="module")
def arrays(reference: Path) -> dict[str, Tensor]:
    with np.load(reference / "cameras_and_rays.npz") as recorded:
        return {name: torch.from_numpy(value) for name, value in recorded.items()}


def assert_close(found: Tensor, expected: Tensor, tolerance: float = CLOSE) -> None:
    assert found.shape == expected.shape
    assert torch.allclose(found.to(expected.dtype), expected, atol=tolerance, rtol=0)


def test_cameras_stand_and_look_as_recorded(arrays):
    for row, matrix in zip(arrays["yaw_pitch_pivot_radius"].tolist(), arrays["cam2world"], strict=True):
        yaw, pitch, *pivot, radius = row
        rig = CameraRig(radius=radius, pivot=(pivot[0], pivot[1], pivot[2]), focal=focal_length(18.837))
        assert_close(rig.look_at(yaw, pitch)[0, :16].view(4, 4), matrix)


def test_intrinsics_follow_from_the_field_of_view(arrays):
    for fov, matrix in zip(arrays["fov_deg"].tolist(), arrays["intrinsics"], strict=True):
        rig = CameraRig(radius=2.7, pivot=(0.0, 0.0, 0.0), focal=focal_length(fov))
        assert_close(rig.look_at(0.0, 0.0)[0, 16:].view(3, 3), matrix)


@pytest.mark.parametrize("pivot", [0.0, 0.2])
def test_guides_outermost_and_middle_views_are_recorded_cameras(arrays, pivot):
    """Yaws of -15, 0 and 15 degrees at a pitch offset of -0.2: an elevation of 7.3 degrees, with either pivot."""
    recorded = arrays["yaw_pitch_pivot_radius"]
    rig = CameraRig(radius=2.7, pivot=(0.0, 0.0, pivot), focal=focal_length(18.837))
    for label, yaw in zip(rig.look_at(view_yaws(3, math.radians(15)), -0.2), (-15, 0, 15), strict=True):
        wanted = torch.tensor([math.radians(yaw), -0.2, 0.0, 0.0, pivot, 2.7], dtype=torch.float64)
        (row,) = (recorded - wanted).abs().amax(dim=1).lt(1e-7).nonzero().flatten()
        assert_close(label[:16].view(4, 4), arrays["cam2world"][row])
        assert float(label[7]) == pytest.approx(2.7 * math.sin(math.radians(7.315)), abs=1e-4)


@pytest.mark.parametrize("resolution", [5, 8, 16])
def test_rays(arrays, resolution):
    rows = arrays["ray_camera_rows"]
    intrinsics = arrays["intrinsics"][0].flatten().expand(len(rows), 9)
    labels = torch.cat([arrays["cam2world"][rows].flatten(1), intrinsics], dim=1)
    origins, directions = volume_rendering.rays_from_labels(labels, resolution)
    assert_close(origins, arrays[f"ray_origins_{resolution}"])
    assert_close(directions, arrays[f"ray_dirs_{resolution}"])


def test_plane_look_ups(arrays):
    points, box_warp = arrays["sample_points"], float(arrays["sample_box_warp"])
    assert_close(volume_rendering.project_onto_planes(points * (2 / box_warp))[0], arrays["projected_uv"])
    sampled = volume_rendering.sample_planes(arrays["sample_planes"], points, box_warp=box_warp)
    assert_close(sampled.transpose(2, 3), arrays["sampled_features"])


def test_marching(arrays):
    depths = arrays["march_depths"][..., 0]
    marched = volume_rendering.march(arrays["march_colors"], arrays["march_densities"][..., 0], depths)
    assert_close(marched.segments, arrays["march_weights"][..., 0])
    assert_close(marched.colours * 2 - 1, arrays["march_rgb"])
    assert_close(marched.depth.clamp(depths.min(), depths.max()), arrays["march_depth"][..., 0])
    white = marched.colours + 1 - marched.opacity[..., None]
    assert_close(white * 2 - 1, arrays["march_rgb_white_back"])


@pytest.mark.parametrize("variant", ["centre", "seeded"])
def test_importance_samples(arrays, variant):
    depths = arrays["march_depths"].flatten(0, 1)[..., 0]
    weights = arrays["march_weights"].flatten(0, 1)[..., 0]
    expected = arrays[f"importance_depths_{variant}"].flatten(0, 1)[..., 0]
    shape = expected.shape
    rng = torch.Generator().manual_seed(int(arrays["importance_seed"]))
    drawn = torch.rand(shape, generator=rng)
    positions = drawn if variant == "seeded" else ((torch.arange(shape[1]) + 0.5) / shape[1]).expand(shape)
    assert_close(volume_rendering.importance_depths(depths, weights, positions), expected)


@pytest.mark.parametrize("variant", ["centre", "seeded", "disparity_centre"])
def test_stratified_depths(arrays, variant):
    expected = arrays[f"stratified_{variant}"][..., 0]
    rng = torch.Generator().manual_seed(int(arrays["stratified_seed"]))
    jitter = torch.rand(expected.shape, generator=rng) if variant == "seeded" else torch.full(expected.shape, 0.5)
    depths = volume_rendering.stratified_depths(2.25, 3.3, jitter, disparity="disparity" in variant)
    assert_close(depths, expected)
