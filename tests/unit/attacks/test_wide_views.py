"""Views beyond the protocol's: further out, from both sides, from above and below."""

from __future__ import annotations

import math

import pytest

from guidebench.attacks.wide_views import WideViews
from guidebench.engine.attacks_apart import run_attack
from guidebench.errors import MethodError


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


def test_a_2d_generator_has_no_other_view_and_that_is_said_in_one_line(arena, monkeypatch, says):
    monkeypatch.setattr(arena.source, "rig", None)
    attack = WideViews()
    assert attack.run(arena.source, arena.target(attack), arena.context()) == []
    with pytest.raises(MethodError, match=says("nothing", "2-D")) as refused:
        run_attack(attack, arena.source, arena.bench.players, arena.protocol, 0, [arena.target(attack)], arena.device)
    assert "\n" not in str(refused.value)
