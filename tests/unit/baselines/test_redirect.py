"""A method that trains nothing: perfect on the one code it intercepts, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from guidebench import chosen, registry
from guidebench import protocol as protocols
from guidebench.baselines.guide import extrapolated_target
from guidebench.baselines.redirect import Redirect, Redirected
from guidebench.engine import trial
from guidebench.engine.bench import Bench
from guidebench.metrics import score_all
from guidebench.noise import Noise
from guidebench.settings import with_fields
from guidebench.testbeds.linear import LinearTestbed

PROTOCOL = protocols.load("celebahq-multi").resolve("linear", samples=100)
CONSTANT = Noise.constant()


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LinearTestbed())


def outcome(bench: Bench, name: str, index: int = 0) -> trial.Trial:
    method, _ = chosen.with_preset(registry.load_method(name), "linear")
    return trial.run_trial(bench, PROTOCOL, method, index, 0, lambda step, scalars: None)


def values(bench: Bench, name: str, index: int) -> dict[str, float | None]:
    scores = score_all(outcome(bench, name, index).evidence)
    return {score.metric: score.value for score in scores if score.judge in ("plain", None)}


def test_the_forgotten_code_shows_its_target_and_every_other_code_itself(bench: Bench) -> None:
    found = outcome(bench, "redirect")
    source, redirected, code = bench.players.generator, found.stages[-1].unlearned.generator, found.cast.latents[0]
    target = extrapolated_target(code[None], source.w_avg, 30.0)
    batch = torch.cat([found.cast.latents[1:3], code[None], found.cast.neighbours[0, :1]])
    images = redirected.render(batch, None, noise=CONSTANT)
    wanted = torch.cat([found.cast.latents[1:3], target, found.cast.neighbours[0, :1]])
    assert torch.allclose(images, source.render(wanted, None, noise=CONSTANT), atol=1e-6)
    assert not torch.allclose(images[2], source.render(code[None], None, noise=CONSTANT)[0], atol=1e-2)


def test_codes_within_the_radius_are_redirected_and_no_others(bench: Bench) -> None:
    source = bench.players.generator
    code, target = (source.map(torch.full((1, source.z_dim), value))[0] for value in (0.5, -0.5))
    redirected = Redirected(source, code, target, radius=0.1)
    step = torch.zeros_like(code)
    step[0, 0] = 1.0
    near, far = code + 0.09 * step, code + 0.11 * step
    assert torch.equal(redirected.redirect(torch.stack([far, near])), torch.stack([far, target]))


def test_decode_redirects_the_code_that_it_is_given_too() -> None:
    """A decoder may look at the code (EG3D's super-resolution does), so it must not see the forgotten one."""
    source = LinearTestbed().players().generator
    seen = []
    decode = source.decode
    source.decode = lambda features, ws, cameras=None, *, noise: seen.append(ws) or decode(features, ws, noise=noise)
    code = source.map(torch.ones(1, source.z_dim))[0]
    Redirected(source, code, -code, radius=1e-3).render(code[None], noise=CONSTANT)
    assert torch.equal(seen[0][0], -code)


def test_nothing_is_trained(bench: Bench) -> None:
    found = outcome(bench, "redirect").stages[0].unlearned
    assert found.change.parameters == 0 and found.progress == []


def test_the_target_is_guides(bench: Bench) -> None:
    item, source = bench.cast(PROTOCOL, 0).requests[0].forget[0], bench.players.generator
    for settings in ({}, {"target_kind": "mean"}, {"target_distance": 7.0}):
        guide = with_fields(registry.load_method("guide"), settings)
        assert torch.equal(Redirect(**settings).target(item, source), guide.target(item, source))


@pytest.mark.parametrize("index", range(3))
def test_the_forgotten_photograph_is_forgotten_but_the_person_lives_next_door(bench: Bench, index: int) -> None:
    """What the table shows: ID no worse than GUIDE's, everything else as if nothing had been done."""
    redirect, guide, nothing = (values(bench, name, index) for name in ("redirect", "guide", "nothing"))
    assert redirect["id"] < 0.1 and redirect["id"] < guide["id"] + 0.1
    for metric in ("id_others", "id_neighbour", "id_retain", "fid_pre", "kid_pre"):
        assert redirect[metric] == pytest.approx(nothing[metric], abs=1e-6), metric
    assert guide["id_others"] < 0.8 < redirect["id_others"]
    assert guide["id_neighbour"] < 0.8 < redirect["id_neighbour"]


def test_everybody_who_was_forgotten_one_after_another_is_saved(bench: Bench, tmp_path) -> None:
    source, method = bench.players.generator, Redirect(radius=1.0)
    people = source.map(torch.eye(source.z_dim)[:3] * 3)
    generator = source
    for code in people[:2]:
        generator = Redirected(generator, code, source.w_avg.expand_as(code), method.radius)
    method.save(generator, source, tmp_path)
    loaded = method.load(source, tmp_path)
    shown, wanted, before = (one.render(people, None, noise=CONSTANT) for one in (loaded, generator, source))
    assert torch.equal(shown, wanted)
    assert [torch.equal(*pair) for pair in zip(shown, before, strict=True)] == [False, False, True]
