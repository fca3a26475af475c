"""A generator in another process answers as it would here, and says in one line what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine import nursery
from guidebench.engine.bench import Bench
from guidebench.engine.hosted import Hosted, host
from guidebench.engine.nursery import Nursery
from guidebench.engine.plan import cases, describe
from guidebench.engine.wire import module_to_bytes
from guidebench.errors import MethodError
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearTestbed
from guidebench.views import protocol_cameras, render_views

CITIZENS = Path(__file__).parents[2] / "contract" / "good_citizens.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)

pytestmark = pytest.mark.skipif(not nursery.available(), reason="generators have processes of their own on Linux only")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


@pytest.fixture(scope="module")
def wrapper(bench):
    """The wrapper, here, and the definition of a trial that returns it."""
    entrant = chosen.choose(f"{CITIZENS}:Wrapper", "linear")
    spec = cases([SMOKE], [entrant], describe(bench, [SMOKE]))[0].spec
    generator = entrant.method.unlearn(bench.players.generator, bench.cast(SMOKE, 0).requests[0], None)
    return generator.eval().requires_grad_(False), spec


@pytest.fixture(scope="module")
def hosted(bench, wrapper):
    generator, spec = wrapper
    opened = Nursery(lambda pipe: host(pipe, torch.device("cpu")))
    found = Hosted(opened.child(), bench.players.generator, 60.0)
    found.start([spec.method], module_to_bytes(generator))
    yield found
    opened.close()


@pytest.mark.parametrize("noise", [Noise.constant, lambda: Noise.random(5)], ids=["constant", "random"])
def test_codes_and_images_are_equal_bit_by_bit(bench, wrapper, hosted, noise):
    generator, _ = wrapper
    z = torch.randn(5, generator.z_dim)
    codes = generator.map(z, psi=0.7, cutoff=2)
    assert torch.equal(hosted.map(z, psi=0.7, cutoff=2), codes)
    cameras = protocol_cameras(SMOKE, bench.players.generator)
    shown = [one.render(codes, cameras[:1].expand(5, -1), noise=noise()) for one in (generator, hosted)]
    assert torch.equal(*shown)
    views = [
        render_views(generator, codes[0], cameras, noise(), batch=2),
        hosted.views(codes[0], cameras, noise(), batch=2),
    ]
    assert torch.equal(*views)


def test_it_has_the_originals_sizes_and_no_parts(bench, hosted):
    source = bench.players.generator
    for name in ("z_dim", "num_ws", "w_dim", "resolution", "rig"):
        assert getattr(hosted, name) == getattr(source, name)
    assert torch.equal(hosted.w_avg, source.w_avg) and hosted.parts() == {}


def test_what_fails_there_is_said_here(bench, wrapper):
    generator, spec = wrapper
    opened = Nursery(lambda pipe: host(pipe, torch.device("cpu")))
    found = Hosted(opened.child(), bench.players.generator, 60.0)
    with pytest.raises(MethodError, match="cannot be loaded"):
        found.start([spec.method], b"no generator")
    again = Hosted(opened.child(), bench.players.generator, 60.0)
    again.start([spec.method], module_to_bytes(generator))
    with pytest.raises(MethodError, match="cannot be evaluated") as failed:
        again.render(torch.zeros(1, 2), None, noise=Noise.constant())
    assert "\n" not in str(failed.value)
    opened.close()
