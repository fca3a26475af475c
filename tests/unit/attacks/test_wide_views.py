"""Views beyond the protocol's: further out, from both sides, from above and below."""

from __future__ import annotations

import math

import pytest

from guidebench.attacks.wide_views import WideViews


def test_three_findings_of_two_views_of_the_forgotten_code(arena):
    found = arena.run("wide-views", near=30.0, far=40.0, tilt=10.0)
    assert [one.at for one in found] == [30.0, 40.0, 10.0]
    assert all(one.code is None and one.generator is None for one in found)
    degrees = [[tuple(math.degrees(angle) for angle in view) for view in one.views] for one in found]
    pitch = math.degrees(arena.protocol.pitch)
    assert degrees[0] == [pytest.approx((-30.0, pitch)), pytest.approx((30.0, pitch))]
    assert degrees[2] == [pytest.approx((0.0, pitch - 10.0)), pytest.approx((0.0, pitch + 10.0))]


def test_the_defaults_are_beyond_what_protocols_look_from(arena):
    assert math.radians(WideViews().near) > arena.protocol.yaw


def test_it_says_that_it_needs_other_views():
    assert WideViews.needs_cameras
