"""The renderer: cameras, latents and what a picture depends on."""

from __future__ import annotations

import math

import torch

from guidebench.testbeds.mini.generator import RIG
from guidebench.testbeds.mini.parameters import face_from_parameters, latent_from_parameters, parameters_from_latent
from guidebench.testbeds.mini.people import SEEDS, gather, photograph
from guidebench.testbeds.mini.renderer import (
    CAMERA_RADIUS,
    HALF_EXTENT,
    RESOLUTION,
    VERTICAL_SHIFT,
    _Solids,
    camera_labels,
    pixel_centres,
    rays_from_labels,
    render,
    render_points,
)


def numbers(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 24, generator=rng), torch.randn(count, 11, generator=rng)


def test_rays_of_a_frontal_label_follow_from_the_framing_by_hand():
    """From (0, 0, R) through the plane z = 0: x spans ±HALF_EXTENT, y the same but shifted down."""
    origins, directions = rays_from_labels(camera_labels(torch.zeros(1), torch.zeros(1)), pixel_centres(8))
    assert torch.allclose(origins, torch.tensor([[0.0, 0.0, CAMERA_RADIUS]]))
    landed = origins[:, None] - directions * (origins[:, None, 2:] / directions[..., 2:])
    line = ((torch.arange(8) + 0.5) / 8 * 2 - 1) * HALF_EXTENT
    y, x = torch.meshgrid(-line - VERTICAL_SHIFT, line, indexing="ij")
    assert torch.allclose(landed[0, :, 0], x.flatten(), atol=1e-5)
    assert torch.allclose(landed[0, :, 1], y.flatten(), atol=1e-5)


def test_the_rig_s_labels_give_the_renderer_s_rays():
    """A protocol's pitch p is an elevation of arcsin(-2p / pi); everything else of the 25 numbers must agree."""
    yaw = torch.tensor([-0.5, 0.0, 0.3])
    pitch = torch.tensor([-0.2, 0.0, 0.1])
    elevation = torch.asin(-2 * pitch / math.pi)
    assert torch.allclose(RIG.look_at(yaw, pitch), camera_labels(yaw, elevation), atol=1e-5)


def test_latents_hide_and_return_the_parameters():
    identity, nuisance = numbers(5)
    spare = torch.randn(5, 29, generator=torch.Generator().manual_seed(1))
    z = latent_from_parameters(identity, nuisance, spare)
    assert torch.allclose(z.norm(dim=1), torch.cat([identity, nuisance, spare], dim=1).norm(dim=1), atol=1e-4)
    for given, returned in zip((identity, nuisance), parameters_from_latent(z), strict=True):
        assert torch.allclose(given, returned, atol=1e-5)


def test_a_picture_is_in_range_and_does_not_depend_on_its_batch():
    identity, nuisance = numbers(3)
    cameras = camera_labels(torch.tensor([0.0, 0.2, -0.4]), torch.zeros(3))
    images = render(identity, nuisance, cameras)
    assert images.shape == (3, 3, RESOLUTION, RESOLUTION) and images.dtype == torch.float32
    assert images.min() >= -1 and images.max() <= 1
    assert torch.equal(render(identity[1:2], nuisance[1:2], cameras[1:2]), images[1:2])


def test_glasses_beards_and_open_mouths_change_the_picture():
    identity, nuisance = torch.zeros(1, 24), torch.zeros(1, 11)
    camera = camera_labels(torch.zeros(1), torch.zeros(1))
    plain = render(identity, nuisance, camera)
    for group, place in ((identity, 22), (identity, 23), (nuisance, 0)):
        group[0, place] = 2.0
        assert (render(identity, nuisance, camera) - plain).abs().mean() > 0.01
        group[0, place] = 0.0


def test_every_identity_parameter_is_seen():
    """The weakest, the lips, change a photograph by about 0.005 of [-1, 1] on average."""
    identity, nuisance = numbers(2)
    identity[:, 22:] = -1.0  # neither beard nor glasses, which would cover others
    nuisance[:, 0] = 0.0
    cameras = camera_labels(torch.zeros(2), torch.zeros(2))
    for place in range(24):
        low, high = identity.clone(), identity.clone()
        low[:, place], high[:, place] = -1.5, 1.5
        change = render(low, nuisance, cameras) - render(high, nuisance, cameras)
        assert change.abs().mean() > 0.002, f"identity parameter {place}"


def test_rays_stop_where_a_dense_march_first_enters_head_or_hair():
    """Silhouettes may be wider by what a ray may miss by (0.0075); elsewhere depths agree to the march's step."""
    identity, nuisance = numbers(3)
    cameras = camera_labels(torch.tensor([-0.75, 0.0, 0.75]), torch.tensor([0.3, -0.3, 0.0]))
    points = render_points(identity, nuisance, cameras, points=1500, rng=torch.Generator().manual_seed(0))
    for index in range(3):
        solids = _Solids(face_from_parameters(identity[index].tolist(), nuisance[index].tolist()))
        position = pixel_centres(2 * RESOLUTION)[points.pixels[index]]
        origin, direction = rays_from_labels(cameras[index : index + 1], position)
        first = torch.full((1500,), math.inf)
        for depth in torch.arange(5.0, 7.0, 0.005).flip(0):
            head, hair = solids.both((origin + depth * direction[0]).T)
            first[torch.minimum(head, hair) < 0] = depth
        head, hair = solids.both((origin + points.depth[index][:, None] * direction[0]).T)
        entered = first.isfinite() & (torch.minimum(head, hair) < 0.02)  # the others met neck or torso before
        assert entered.sum() > 300
        late = points.depth[index] - first
        assert late[first.isfinite()].max() < 0.02
        assert (late[entered].abs() < 0.02).float().mean() > 0.98


def test_points_report_the_colour_of_their_pixel_and_the_background_s_depth():
    identity, nuisance = numbers(1)
    camera = camera_labels(torch.zeros(1), torch.zeros(1))
    points = render_points(identity, nuisance, camera, points=500, rng=torch.Generator().manual_seed(0))
    full = render(identity, nuisance, camera, resolution=2 * RESOLUTION, supersampling=1)
    pixels = full[0].flatten(1)[:, points.pixels[0]].T
    assert torch.allclose(points.colours[0] * 2 - 1, pixels, atol=1e-5)
    corner = full[0, :, 0, 0]
    missed = points.depth[0] == 100
    assert missed.any() and torch.allclose(pixels[missed], corner.expand(int(missed.sum()), 3), atol=1e-5)
    assert points.depth[0][~missed].max() < 8


def test_people_of_different_purposes_never_meet():
    seen: set[int] = set()
    for seeds in SEEDS.values():
        assert seen.isdisjoint(seeds)
        seen.update(seeds)


def test_a_photograph_is_a_function_of_person_number_and_style():
    again = photograph(SEEDS["ffhq"][3], 2, "in_domain")
    first = photograph(SEEDS["ffhq"][3], 2, "in_domain")
    assert torch.equal(first.z, again.z) and torch.equal(first.cameras, again.cameras)
    other_photo, other_style = photograph(50_003, 1, "in_domain"), photograph(50_003, 2, "shifted")
    assert torch.equal(other_photo.identity, first.identity) and not torch.equal(other_photo.nuisance, first.nuisance)
    assert torch.equal(other_style.identity, first.identity) and not torch.equal(other_style.nuisance, first.nuisance)


def test_shifted_photographs_have_more_open_mouths_and_wider_poses():
    drawn = {
        style: gather([photograph(person, 0, style) for person in SEEDS["development"][:300]])
        for style in ("in_domain", "shifted")
    }
    assert drawn["shifted"].nuisance[:, 0].mean() > drawn["in_domain"].nuisance[:, 0].mean() + 0.5
    assert drawn["shifted"].yaw.std() > 1.2 * drawn["in_domain"].yaw.std()
