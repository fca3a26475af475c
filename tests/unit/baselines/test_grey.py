"""A method that forgets nobody and takes the colour out of every image."""

from __future__ import annotations

import pytest
import torch

from guidebench import chosen, registry
from guidebench import protocol as protocols
from guidebench.baselines.grey import LUMINANCE, Desaturated, Grey
from guidebench.engine import trial
from guidebench.engine.bench import Bench
from guidebench.noise import Noise
from guidebench.testbeds.linear import LinearTestbed

PROTOCOL = protocols.load("celebahq-multi").resolve("linear", samples=100)
CONSTANT = Noise.constant()


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LinearTestbed())


def test_every_image_is_grey_and_as_bright_as_it_was(bench: Bench) -> None:
    source = bench.players.generator
    codes = source.map(torch.randn(4, source.z_dim, generator=torch.Generator().manual_seed(0)))
    before, after = (one.render(codes, None, noise=CONSTANT) for one in (source, Desaturated(source)))
    assert after.shape == before.shape
    assert torch.equal(after, after[:, :1].expand_as(after))
    assert torch.allclose(after[:, 0], sum(w * before[:, i] for i, w in enumerate(LUMINANCE)), atol=1e-6)
    assert sum(LUMINANCE) == pytest.approx(1)


def test_nothing_is_trained_and_codes_stay_as_they_are(bench: Bench) -> None:
    method, _ = chosen.with_preset(registry.load_method("grey"), "linear")
    found = trial.run_trial(bench, PROTOCOL, method, 0, 0, lambda step, scalars: None)
    assert found.stages[0].unlearned.change.parameters == 0 and found.stages[0].unlearned.progress == []
    z = torch.ones(2, bench.players.generator.z_dim)
    assert torch.equal(found.stages[-1].unlearned.generator.map(z), bench.players.generator.map(z))


def test_what_is_kept_comes_back(bench: Bench, tmp_path) -> None:
    source = bench.players.generator
    Grey().save(Desaturated(source), source, tmp_path)
    codes = source.map(torch.ones(1, source.z_dim))
    again = Grey().load(source, tmp_path).render(codes, None, noise=CONSTANT)
    assert torch.equal(again, Desaturated(source).render(codes, None, noise=CONSTANT))
