"""Rays, samples and the volume rendering integral, each against what can be worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional

from guidebench.cameras import CameraRig
from guidebench.networks import volume_rendering

RIG = CameraRig(radius=2.7, pivot=(0.0, 0.0, 0.2), focal=4.263391)


def test_the_middle_ray_of_the_frontal_camera_looks_down_the_axis():
    origins, directions = volume_rendering.rays_from_labels(RIG.look_at(0.0, 0.0), 5)
    assert torch.allclose(origins, torch.tensor([0.0, 0.0, 2.7]).expand(1, 25, 3), atol=1e-6)
    assert torch.allclose(directions[0, 12], torch.tensor([0.0, 0.0, -1.0]), atol=1e-6)


def test_rays_run_through_pixel_centres_row_by_row():
    """Ray 1 of a 2 x 2 image is the upper right one: 0.25 image sides right of and above the middle."""
    _, directions = volume_rendering.rays_from_labels(RIG.look_at(0.0, 0.0), 2)
    expected = functional.normalize(torch.tensor([0.25 / RIG.focal, 0.25 / RIG.focal, -1.0]), dim=0)
    assert torch.allclose(directions[0, 1], expected, atol=1e-6)


def test_points_on_a_ray_are_projected_back_to_its_pixel():
    """With any rotation and intrinsics, skew included: K R^T (p - o) is (x, y, 1) up to scale."""
    label = RIG.look_at(0.4, -0.3).double()
    label[0, 16:] = torch.tensor([4.2, 0.3, 0.45, 0.0, 3.9, 0.52, 0.0, 0.0, 1.0])
    origins, directions = volume_rendering.rays_from_labels(label, 4)
    rotation, intrinsics = label[0, :16].view(4, 4)[:3, :3], label[0, 16:].view(3, 3)
    seen = (1.7 * directions[0]) @ rotation @ intrinsics.T
    centres = (torch.arange(4) + 0.5) / 4
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    expected = torch.stack([x.flatten(), y.flatten()], dim=1).double()
    assert torch.allclose(seen[:, :2] / seen[:, 2:], expected, atol=1e-6)
    assert torch.allclose(directions.norm(dim=2), torch.ones(1, 16).double())
    assert torch.equal(origins[0, 3], label[0, :16].view(4, 4)[:3, 3])


def test_bins_are_as_wide_as_the_step_of_a_linspace():
    lower = volume_rendering.stratified_depths(2.0, 3.0, torch.zeros(1, 5))
    middle = volume_rendering.stratified_depths(2.0, 3.0, torch.full((1, 5), 0.5))
    assert torch.allclose(lower, torch.linspace(2, 3, 5)[None])
    assert torch.allclose(middle - lower, torch.full((1, 5), 0.125))


def test_disparity_spaces_depths_evenly_in_their_inverse():
    depths = volume_rendering.stratified_depths(1.0, 4.0, torch.zeros(1, 4), disparity=True)
    assert torch.allclose(1 / depths, torch.tensor([[1.0, 0.75, 0.5, 0.25]]))


def test_the_third_plane_is_z_x():
    u = volume_rendering.project_onto_planes(torch.tensor([[[1.0, 2.0, 3.0]]]))
    assert u[0, :, 0].tolist() == [[1.0, 2.0], [1.0, 3.0], [3.0, 1.0]]


def test_planes_are_interpolated_linearly_and_end_at_zero():
    """A plane that holds its own pixel coordinates gives them back: interpolation is exact on ramps."""
    ramp = (torch.arange(8) + 0.5) / 4 - 1
    planes = torch.stack([ramp.expand(8, 8), ramp[:, None].expand(8, 8)]).expand(1, 3, 2, 8, 8)
    points = torch.rand(1, 20, 3, generator=torch.Generator().manual_seed(0)) * 0.8 - 0.4
    sampled = volume_rendering.sample_planes(planes, points, box_warp=1.0)
    expected = volume_rendering.project_onto_planes(points * 2).transpose(2, 3)
    assert torch.allclose(sampled, expected, atol=1e-6)
    far = torch.full((1, 1, 3), 0.6)
    assert not volume_rendering.sample_planes(planes, far, box_warp=1.0).any()
    assert volume_rendering.sample_planes(planes, far, box_warp=2.0).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_mean_of_the_planes_is_that_of_the_samples_and_so_is_its_gradient(layout):
    """Points inside, at the border and far outside of two codes' planes, on a CPU by another way than samples."""
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(2, 12, 9, 9, generator=draw, dtype=torch.float64).contiguous(memory_format=layout)
    features.requires_grad_()
    planes = features.unflatten(1, (3, 4))
    points = torch.rand(2, 500, 3, generator=draw, dtype=torch.float64) * 1.3 - 0.65
    points[0, 0] = 1e12
    found = volume_rendering.mean_features(planes, points, box_warp=1.0)
    expected = volume_rendering.sample_planes(planes, points, box_warp=1.0).mean(dim=1).transpose(1, 2)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    slope = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    gradients = [torch.autograd.grad(each, features, slope, retain_graph=True)[0] for each in (found, expected)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)
    rounded = volume_rendering.mean_features(planes.detach().float(), points.float(), box_warp=1.0)
    assert torch.allclose(rounded.double()[:, 1:], expected[:, 1:], rtol=0, atol=1e-5)


def test_points_may_need_a_gradient():
    planes = torch.rand(1, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    points = torch.zeros(1, 5, 3).requires_grad_()
    volume_rendering.mean_features(planes, points, box_warp=1.0).sum().backward()
    assert points.grad is not None and points.grad.abs().sum() > 0


def test_constant_density_absorbs_exponentially():
    """softplus(density - 1) = 1 a unit of length: opacity 1 - exp(-length), whatever the sampling."""
    density = 1 + math.log(math.e - 1)
    depths = torch.tensor([[0.0, 0.3, 0.4, 1.1, 1.5]])
    weights = volume_rendering.segment_weights(torch.full((1, 5), density), depths)
    reached = 1 - torch.exp(-depths[0])
    assert torch.allclose(weights[0], reached[1:] - reached[:-1], atol=1e-6)


def test_marching_is_the_midpoint_rule_in_any_order_of_samples():
    """Colours weighted sample by sample equal mean colours of the ends weighted segment by segment."""
    rng = torch.Generator().manual_seed(1)
    depths = torch.rand(3, 9, generator=rng).sort(dim=1).values
    densities, colours = torch.randn(3, 9, generator=rng) * 4, torch.rand(3, 9, 5, generator=rng)
    segments = volume_rendering.segment_weights(densities, depths)
    expected = (segments[..., None] * (colours[:, :-1] + colours[:, 1:]) / 2).sum(dim=1)
    order = torch.randperm(9, generator=rng)
    marched = volume_rendering.march(colours[:, order], densities[:, order], depths[:, order])
    assert torch.allclose(marched.colours, expected, atol=1e-6)
    assert torch.equal(marched.segments, segments)
    assert torch.allclose(marched.opacity, segments.sum(dim=1))


def test_marching_has_the_right_gradients():
    rng = torch.Generator().manual_seed(2)
    depths = torch.rand(2, 6, generator=rng).double()
    densities = torch.randn(2, 6, generator=rng).double().requires_grad_()
    colours = torch.rand(2, 6, 3, generator=rng).double().requires_grad_()

    def rendered(colours, densities):
        marched = volume_rendering.march(colours, densities, depths)
        return marched.colours, marched.depth

    assert torch.autograd.gradcheck(rendered, (colours, densities))


def test_an_empty_ray_has_no_depth_and_a_wall_has_its_own():
    depths = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]])
    densities = torch.tensor([[-200.0] * 4, [-200.0, -200.0, 900.0, 900.0]])
    marched = volume_rendering.march(torch.ones(2, 4, 1), densities, depths)
    assert marched.depth[0] == math.inf and marched.opacity[0] == 0
    # The first segment that meets the wall has the mean density of its ends, 350: opaque, and its middle is at 2.5.
    assert marched.depth[1].item() == pytest.approx(2.5, abs=1e-5)


def test_equal_weights_spread_the_second_samples_evenly():
    """Equal weights stay equal when blurred: positions map linearly to the span between mid-points 2 and s - 2."""
    depths = torch.linspace(0, 1, 11)[None]
    found = volume_rendering.importance_depths(depths, torch.full((1, 10), 0.1), torch.tensor([[0.0, 0.25, 0.5]]))
    # Mid-points lie at 0.05 ... 0.95; the masses of segments 1 ... 8 fill the eight steps from the first one on.
    assert torch.allclose(found, torch.tensor([[0.05, 0.25, 0.45]]), atol=1e-5)


def test_second_samples_gather_where_the_first_found_something():
    depths = torch.linspace(0, 1, 41)[None]
    weights = torch.zeros(1, 40)
    weights[0, 20] = 5.0
    positions = (torch.arange(50)[None] + 0.5) / 50
    found = volume_rendering.importance_depths(depths, weights, positions)
    assert ((found - 0.5).abs() < 0.06).float().mean() > 0.9
    assert (found.diff(dim=1) >= 0).all()


def test_second_samples_carry_no_gradient():
    depths = torch.rand(2, 8).sort(dim=1).values.requires_grad_()
    weights = torch.rand(2, 7, requires_grad=True)
    assert not volume_rendering.importance_depths(depths, weights, torch.rand(2, 4)).requires_grad
