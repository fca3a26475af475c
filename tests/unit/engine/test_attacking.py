"""An attack on what a trial leaves: whom it is told of, what it is compared with, and what becomes evidence."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from guidebench import chosen, seeds
from guidebench import protocol as protocols
from guidebench.attack import Attack, Finding, Knowledge
from guidebench.engine.attacking import Attacker
from guidebench.engine.bench import Bench
from guidebench.testbeds.linear import LinearTestbed

SMOKE = dataclasses.replace(protocols.load("smoke").resolve("linear", samples=20, identities=2), retain=3)
GROUP = dataclasses.replace(SMOKE, identities=2, requests=2, retain=3, probe_photos=1)


@dataclass(frozen=True)
class Spy(Attack):
    """Keeps what it is told, and hands back the average code and the forgotten one."""

    name = "spy"
    knows = Knowledge(photos=2, code=True, others=2, original=True)
    heard = []

    def run(self, generator, target, context):
        self.heard.append((generator, target, context))
        return [Finding(at=0.5, code=generator.w_avg.expand(generator.num_ws, -1)), Finding(at=3)]


@dataclass(frozen=True)
class Blind(Spy):
    """May know nothing."""

    name = "blind"
    knows = Knowledge(access="queries")
    controls = frozenset()
    shows_anybody = True
    curve = True


@dataclass(frozen=True)
class Sideways(Attack):
    """Turns the camera."""

    name = "sideways"
    knows = Knowledge(access="queries", code=True)
    controls = frozenset({"other"})
    views: int = 2

    def run(self, generator, target, context):
        return [Finding(at=1, views=((0.3, context.pitch),) * self.views)]


@dataclass(frozen=True)
class FailsOnOriginal(Attack):
    """Raises where the weights are the original's."""

    name = "fails-on-original"

    def run(self, generator, target, context):
        if float(generator.get_parameter("backbone.coarse.bias").abs().max()) == 0:
            raise RuntimeError("on the original")
        return [Finding(at=1, code=generator.w_avg.expand(generator.num_ws, -1))]


@pytest.fixture
def bench():
    return Bench(LinearTestbed())


@pytest.fixture
def unlearned(bench):
    """Everybody a little moved."""
    generator = copy.deepcopy(bench.players.generator)
    with torch.no_grad():
        generator.get_parameter("backbone.coarse.bias").add_(0.5)
    return generator


@pytest.fixture
def attack(bench, unlearned):
    """What came of one attack of this file."""
    Spy.heard.clear()

    def run(kind, protocol=SMOKE, generator=unlearned, seed=0, **settings):
        asked = chosen.choose_attack(f"{__name__}:{kind.__name__}", settings)
        method = chosen.choose("nothing", "linear").chosen
        scene = bench.scene(protocol, 0)
        return Attacker(bench, None, None).attack(asked, protocol, scene, generator, method, seed)

    return run


def test_an_attack_hears_of_the_person_the_forgotten_photograph_first_and_of_strangers(bench, attack):
    attack(Spy, GROUP)
    cast = bench.cast(GROUP, 0)
    by_role = {
        role: [at for at, one in enumerate(cast.subjects) if one.role == role] for role in ("forget", "probe", "retain")
    }
    told = [target for _, target, _ in Spy.heard]
    forgotten, first_kept, *strangers = (*by_role["forget"][:1], *by_role["retain"])
    assert torch.equal(told[0].photos, cast.photos[[forgotten, by_role["probe"][0]]])
    assert torch.equal(told[0].code, cast.latents[forgotten])
    assert [target.identity for target in told[:3]] == [
        *(cast.subjects[at].identity for at in by_role["forget"]),
        cast.subjects[first_kept].identity,
    ], "who was forgotten, then one who was not"
    assert all(torch.equal(target.others, cast.photos[strangers]) for target in told), "nobody who is compared with"
    assert torch.equal(told[2].photos, cast.photos[[first_kept]]), "there is one photograph of those"


def test_what_its_knowledge_does_not_allow_is_none(attack):
    assert attack(Blind).found is not None
    ((generator, target, context),) = Spy.heard
    assert (target.photos, target.code, target.others, context.original) == (None,) * 4
    assert generator.parts() == {} and not list(generator.parameters())
    assert context.camera.shape == (1, 25) and context.cameras(3).shape == (3, 25)


def test_it_works_on_copies(bench, attack, unlearned):
    attack(Spy)
    source = bench.players.generator
    for generator, _, context in Spy.heard:
        assert generator is not unlearned and context.original is not source
        assert not any(weights.requires_grad for weights in generator.parameters()) and not generator.training
    assert torch.equal(Spy.heard[0][0].backbone.coarse.bias, unlearned.backbone.coarse.bias)
    assert torch.equal(Spy.heard[-1][0].backbone.coarse.bias, source.backbone.coarse.bias)


@pytest.mark.parametrize("protocol", [GROUP, dataclasses.replace(GROUP, forget=2, requests=1)])
def test_evidence_has_a_place_for_every_person_finding_and_view(bench, attack, protocol):
    found = attack(Spy, protocol).found
    views = 3  # what is shown of the protocol's
    assert found.people == tuple(one.identity for one in bench.cast(protocol, 0).subjects if one.role == "forget")
    assert len(found.others) == 1 and found.at.tolist() == [[0.5, 3.0]] * 2
    shapes = {"found": (2, 2, views), "original": (2, 2, views), "other": (1, 2, views)}
    for name, shape in shapes.items():
        shown = getattr(found, name)
        assert set(shown) == set(bench.judges.recognizers)
        for judge in shown.values():
            assert judge.after.found.shape == judge.before.found.shape == shape
    assert (found.shows_anybody, found.curve) == (False, False)


def test_a_finding_without_a_code_shows_the_forgotten_one_on_the_attacked_generator(bench, attack):
    found = attack(Spy).found
    scene = bench.scene(SMOKE, 0)
    own = scene.cast.latents[0]
    for judge, shown in found.found.items():
        average, forgotten = shown.after.vectors[0]
        assert np.allclose(shown.before.vectors[0, 0], shown.before.vectors[0, 1]), "before is always the code's"
        assert not np.allclose(average, forgotten)
        original = found.original[judge]
        assert np.array_equal(original.after.vectors[0, 1], original.before.vectors[0, 1])
    distance = found.distance[0]
    z = seeds.normals(range(256), own.shape[1], SMOKE.name, "attack/ordinary", device=torch.device("cpu"))
    source = bench.players.generator
    ordinary = float((source.map(z) - source.w_avg).flatten(1).norm(dim=1).mean())
    assert distance.tolist() == [0.0, pytest.approx(float((own - source.w_avg).norm()) / ordinary, rel=1e-5)]


def test_other_views_are_compared_with_the_same_views_before(bench, attack):
    turned = attack(Sideways, generator=bench.players.generator).found
    for shown in turned.found.values():
        assert shown.after.found.shape == (1, 1, 2)
        assert np.array_equal(shown.after.vectors, shown.before.vectors)


def test_the_original_is_attacked_once_for_every_generator_and_again_for_other_settings(bench, attack, unlearned):
    def runs(**changes):
        Spy.heard.clear()
        found = attack(Spy, **changes).found
        return len(Spy.heard), found.original

    first, original = runs()
    again, same = runs(generator=bench.players.generator)
    assert (first, again) == (3, 2), "the person and somebody else; on the original once"
    assert same is original
    assert runs(seed=1)[0] == 3 and runs(protocol=GROUP)[0] == 5


def test_an_attack_without_controls_runs_once(attack):
    found = attack(Blind).found
    assert len(Spy.heard) == 1 and (found.original, found.others, found.other) == ({}, (), {})
    assert found.shows_anybody and found.curve


def test_draws_depend_on_person_seed_and_attack_and_on_nothing_else(attack):
    def draws(kind=Spy, **changes):
        Spy.heard.clear()
        attack(kind, **changes)
        return [float(context.noise("start").normal((1,), torch.device("cpu"))) for _, _, context in Spy.heard]

    mine = draws()
    assert draws() == mine[:2] and mine[0] == mine[2] != mine[1], "the person's, on both generators"
    assert not {*mine} & {*draws(seed=1), *draws(Blind)}


def test_a_failing_control_fails_the_attack_and_nothing_else(attack):
    outcome = attack(FailsOnOriginal)
    assert outcome.found is None and "on the original" in outcome.reason and outcome.seconds > 0
    assert attack(Spy).reason is None


def test_code_that_changed_since_it_was_planned_is_not_run(bench, unlearned, tmp_path):
    file = tmp_path / "changing.py"
    text = (
        "from dataclasses import dataclass\nfrom guidebench.attack import Attack, Finding\n@dataclass(frozen=True)\n"
        "class Mine(Attack):\n    name = 'mine'\n    def run(self, generator, target, context):\n"
        "        return [Finding(at=1)]\n"
    )
    file.write_text(text)
    asked = chosen.choose_attack(f"{file}:Mine")
    file.write_text(text.replace("at=1", "at=2"))
    outcome = Attacker(bench, None, None).attack(asked, SMOKE, bench.scene(SMOKE, 0), unlearned, None, 0)
    assert outcome.found is None and "code has changed" in outcome.reason
    file.unlink()
    outcome = Attacker(bench, None, None).attack(asked, SMOKE, bench.scene(SMOKE, 0), unlearned, None, 0)
    assert outcome.found is None and "does not exist" in outcome.reason and "\n" not in outcome.reason


def test_nobody_is_attacked_with_photographs_of_the_one_who_is_attacked_beside_the_person(bench, attack):
    """With one person to keep there is nobody left whose photographs the control could be told of."""
    alone = dataclasses.replace(SMOKE, retain=1)
    assert attack(Spy, alone).found.others == () and len(Spy.heard[0][1].others) == 1
    assert len(attack(Spy).found.others) == 1 and all(len(target.others) == 2 for _, target, _ in Spy.heard[-2:])


def test_where_there_is_nothing_to_try_nothing_failed(bench, attack, monkeypatch):
    monkeypatch.setattr(bench.players.generator, "rig", None)
    monkeypatch.setattr(Sideways, "needs_cameras", True)
    outcome = attack(Sideways)
    assert (outcome.found, outcome.applies) == (None, False) and "2-D" in outcome.reason
    assert attack(FailsOnOriginal).applies, "an attack that raises is one that failed"


def test_code_that_changed_fails_on_a_2d_generator_as_on_any_other(bench, unlearned, monkeypatch):
    asked = dataclasses.replace(chosen.choose_attack(f"{__name__}:Sideways"), source_digest="0" * 64)
    monkeypatch.setattr(bench.players.generator, "rig", None)
    outcome = Attacker(bench, None, None).attack(asked, SMOKE, bench.scene(SMOKE, 0), unlearned, None, 0)
    assert outcome.found is None and outcome.applies and "code has changed" in outcome.reason
