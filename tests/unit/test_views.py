"""From where a protocol looks, and that batches of views change nothing but how many are decoded at once."""

import dataclasses

import pytest
import torch

from guidebench import protocol as protocols
from guidebench import seeds, views
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearGenerator

SMOKE = protocols.load("smoke").resolve("linear", identities=1)


def looking(count):
    return dataclasses.replace(SMOKE, views=count)


class Noisy(LinearGenerator):
    """Draws three numbers per image while it decodes, and shows them; remembers how many images it was given."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def decode(self, features, ws, cameras=None, *, noise):
        self.batches.append(len(features))
        image = super().decode(features, ws, cameras, noise=noise)
        rays = noise.uniform((3 * len(features),)).view(len(features), 3, 1, 1)
        return image + rays


@pytest.fixture
def generator():
    return Noisy()


@pytest.fixture
def code(generator):
    return torch.randn(generator.num_ws, generator.w_dim, generator=seeds.stream("code"))


@pytest.mark.parametrize(
    ("count", "frontal", "shown"), [(1, 0, [0]), (2, 1, [0, 1]), (3, 1, [0, 1, 2]), (11, 5, [0, 5, 10])]
)
def test_the_middle_view_is_frontal_and_pictures_show_the_outer_ones_too(generator, count, frontal, shown):
    cameras = views.protocol_cameras(looking(count), generator)
    assert cameras.shape == (count, 25) and views.picture_views(count) == shown
    assert torch.equal(views.frontal_camera(looking(count), generator), cameras[frontal : frontal + 1])


def test_views_span_the_protocols_yaw_at_its_pitch(generator):
    """Left to right by the camera's x; the middle one of three is at x = 0, the outer ones at sin(15°)."""
    cameras = views.protocol_cameras(SMOKE, generator)
    x, y, z = (cameras[:, column] for column in (3, 7, 11))
    assert float(x[1]) == pytest.approx(0, abs=1e-6) and float(x[0]) == pytest.approx(-float(x[2]), rel=1e-5)
    assert float(x[2] / (x[2] ** 2 + z[2] ** 2).sqrt()) == pytest.approx(0.2588, rel=1e-3)  # sin(15°)
    assert torch.allclose(y, y[:1]) and float(y[0]) > 0  # a negative pitch looks from above
    level = views.protocol_cameras(dataclasses.replace(SMOKE, pitch=0.0), generator)
    assert float(level[0, 7]) == pytest.approx(0, abs=1e-5)


def test_a_flat_generator_has_one_view_and_no_camera(generator, code):
    generator.rig = None
    assert views.protocol_cameras(SMOKE, generator) is None and views.frontal_camera(SMOKE, generator) is None
    assert views.render_views(generator, code, None, Noise.constant()).shape == (1, 3, 16, 16)


def test_features_are_synthesised_once_for_all_views(generator, code, monkeypatch):
    calls = []
    synthesize = generator.synthesize
    monkeypatch.setattr(generator, "synthesize", lambda ws, noise: calls.append(len(ws)) or synthesize(ws, noise=noise))
    cameras = views.protocol_cameras(looking(5), generator)
    assert views.render_views(generator, code, cameras, Noise.constant(), batch=2).shape == (5, 3, 16, 16)
    assert calls == [1] and generator.batches == [2, 2, 1]


def test_views_are_those_of_single_renders(generator, code):
    cameras = views.protocol_cameras(looking(4), generator)
    together = views.render_views(generator, code, cameras, Noise.constant())
    for view, camera in zip(together, cameras, strict=True):
        alone = generator.render(code[None], camera[None], noise=Noise.constant())[0]
        assert torch.allclose(view, alone, atol=1e-6)  # sums over another batch may round differently
    assert not torch.equal(together[0], together[3])


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 100])
def test_draws_do_not_depend_on_how_many_views_are_decoded_at_once(generator, code, batch):
    cameras = views.protocol_cameras(looking(5), generator)
    whole, parts = (
        views.render_views(generator, code, cameras, Noise.random(seeds.derive("noise")), batch=size)
        for size in (None, batch)
    )
    assert torch.allclose(whole, parts, atol=1e-6)  # rounding of sums of other lengths
    fresh = views.render_views(generator, code, cameras, Noise.random(seeds.derive("other")))
    assert (whole - fresh).abs().max() > 0.1, "noise has an effect"


def test_corrected_noise_is_constant_and_published_noise_fresh_before_and_after():
    assert views.evaluation_noise(SMOKE, "before", "views", [0]).is_constant
    published = dataclasses.replace(SMOKE, conventions="published")

    def draw(*names, indices=(0, 1)):
        noise = views.evaluation_noise(published, *names, list(indices))
        assert not noise.is_constant
        return noise.normal((len(indices), 4))

    usual = draw("before", "views")
    assert torch.equal(usual, draw("before", "views"))
    assert not torch.equal(usual, draw("after", "views")) and not torch.equal(usual, draw("before", "fid"))
    assert torch.equal(usual[1:], draw("before", "views", indices=(1,))), "each code has a stream of its own"


def test_a_code_without_views_is_rendered_under_as_many_noises_as_are_asked_for(generator):
    """One is the usual one, in the middle; the others are the same before and after, unless under published."""
    several = dataclasses.replace(SMOKE, noise_draws=3)
    assert [noise.is_constant for noise in views.view_noises(several, generator, "after", 0)] == [True]
    generator.rig = None
    assert [noise.is_constant for noise in views.view_noises(SMOKE, generator, "after", 0)] == [True]

    def drawn(protocol, side, place):
        return [noise.normal((4,)).tolist() for noise in views.view_noises(protocol, generator, side, place)[::2]]

    assert [noise.is_constant for noise in views.view_noises(several, generator, "after", 0)] == [False, True, False]
    first, last = drawn(several, "before", 0)
    assert first != last and drawn(several, "after", 5) == [first, last]
    published = dataclasses.replace(several, conventions="published")
    assert drawn(published, "before", 0) != drawn(published, "after", 0)


def test_noise_draws_are_no_part_of_the_digest_of_older_protocols():
    assert "noise_draws" not in SMOKE.measurement()
    assert dataclasses.replace(SMOKE, noise_draws=2).digest() != SMOKE.digest()
