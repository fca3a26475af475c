"""What every attack keeps to, and what becomes of one that does not, on the analytic testbed."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from guidebench import chosen, digest, registry
from guidebench import protocol as protocols
from guidebench.attack import MOST_FINDINGS, Attack, Target
from guidebench.engine.attacking import Attacker
from guidebench.engine.attacks_apart import QueryOnly, run_attack
from guidebench.engine.bench import Bench
from guidebench.errors import MethodError
from guidebench.settings import check_fields
from guidebench.testbeds.linear import LinearTestbed

BAD = Path(__file__).parent / "bad_attacks.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)
every = pytest.mark.parametrize("name", registry.attacks())


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(LinearTestbed())


@pytest.fixture(scope="module")
def unlearned(bench):
    """Somebody else for everybody."""
    generator = copy.deepcopy(bench.players.generator)
    with torch.no_grad():
        generator.get_parameter("backbone.coarse.weight").neg_()
    return generator.eval().requires_grad_(False)


@pytest.fixture
def targets(bench):
    """Two people, as far as an attack's knowledge goes."""
    cast = bench.cast(SMOKE, 0)

    def known(attack: Attack) -> list[Target]:
        knows = attack.knows
        return [
            Target(
                cast.subjects[place].identity,
                cast.photos[[place]] if knows.photos else None,
                cast.latents[place] if knows.code else None,
                cast.photos[[2 - place]] if knows.others else None,
            )
            for place in (0, 2)  # who is forgotten, and who is not
        ]

    return known


@pytest.fixture
def attacked(bench, unlearned, targets):
    def run(attack, generator=unlearned):
        return run_attack(attack, generator, bench.players, SMOKE, 0, targets(attack), torch.device("cpu"))

    return run


def bits(found):
    """Everything that was found, as one digest."""
    tensors = {}
    for person, own in enumerate(found):
        for place, one in enumerate(own):
            name = f"{person}/{place}/"
            tensors[f"{name}at"] = torch.tensor([one.at, *(angle for view in one.views for angle in view)])
            if one.code is not None:
                tensors[f"{name}code"] = one.code
            if one.generator is not None:
                tensors |= {f"{name}{key}": value for key, value in one.generator.state_dict().items()}
    return digest.of_tensors(tensors)


@every
def test_as_much_is_found_for_everybody_and_codes_are_codes(bench, attacked, name):
    """Of what its knowledge allows alone: everything else is None, and one photograph of each is all there is."""
    source = bench.players.generator
    found = attacked(registry.load_attack(name))
    assert len(found) == 2 and 1 <= len(found[0]) == len(found[1]) <= MOST_FINDINGS
    for one in (one for own in found for one in own):
        if one.code is not None:
            assert one.code.shape == (source.num_ws, source.w_dim) and bool(torch.isfinite(one.code).all())
        assert not one.views or all(len(view) == 2 for view in one.views)


@every
def test_a_second_run_finds_the_same_bits(attacked, name):
    attack = registry.load_attack(name)
    assert bits(attacked(attack)) == bits(attacked(attack))


@every
def test_nobody_else_is_changed(bench, unlearned, attacked, name):
    """Neither the generator that it was given, nor a player, nor a global random generator."""
    watched = {"attacked": unlearned, "source": bench.players.generator, "inverter": bench.players.inverter}
    before = {key: digest.of_module(module) for key, module in watched.items()}
    state = torch.random.get_rng_state()
    attacked(registry.load_attack(name))
    assert {key: digest.of_module(module) for key, module in watched.items()} == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(weights.requires_grad for module in watched.values() for weights in module.parameters())


@every
def test_its_settings_fit_their_bounds_and_it_is_described(name):
    attack = check_fields(registry.load_attack(name))
    fields = {field.name for field in dataclasses.fields(attack)}
    assert set(attack.bounds) <= fields and attack.summary and attack.unit
    assert attack.knows.in_words() and attack.controls <= {"original", "other"}
    numbers = {field for field in fields if type(getattr(attack, field)) in (int, float)}
    assert numbers <= set(attack.bounds), "every number can be set, so that every number has bounds"


@every
def test_a_curve_grows(attacked, name):
    attack = registry.load_attack(name)
    if attack.curve:
        for own in attacked(attack):
            assert [one.at for one in own] == sorted({one.at for one in own})


@every
def test_a_wrapper_can_be_attacked(bench, attacked, name):
    from guidebench.baselines.redirect import Redirected

    source = bench.players.generator
    wrapper = Redirected(source, bench.cast(SMOKE, 0).latents[0], source.w_avg.expand(source.num_ws, -1), 1e-3)
    assert len(attacked(registry.load_attack(name), wrapper)) == 2


# Attacks that keep to nothing ---------------------------------------------------------------------------------------

BROKEN = [
    ("Raises", ["raised", "RuntimeError", "no idea", "bad_attacks.py"]),
    ("Exits", ["raised", "SystemExit"]),
    ("GivesNone", ["list of Findings", "NoneType"]),
    ("GivesNothing", ["nothing", "1 finding or more"]),
    ("GivesNine", ["9", f"1 to {MOST_FINDINGS}"]),
    ("GivesCodes", ["list of Findings", "Tensor"]),
    ("WrongShape", ["code", "(12,)", "(4, 12)"]),
    ("NoTensor", ["code", "str", "(4, 12)"]),
    ("NotFinite", ["code", "finite"]),
    ("AtNowhere", ["at = nan"]),
    ("AtText", ["cannot be read", "ValueError", "late"]),
    ("BeyondViews", ["views", "85 degrees", "radians"]),
    ("NoGenerator", ["Linear", "not a Generator"]),
    ("Hides", ["attack changed", "torch.nn.functional.relu"]),
]


@pytest.mark.parametrize(("name", "words"), BROKEN, ids=[name for name, _ in BROKEN])
def test_an_attack_that_breaks_a_rule_fails_in_one_line(attacked, name, words, says):
    with pytest.raises(MethodError, match=says(*words)) as failed:
        attacked(registry.load_attack(f"{BAD}:{name}"))
    assert "\n" not in str(failed.value)


def test_an_attack_that_finds_more_for_some_is_no_comparison(attacked, says):
    attack = registry.load_attack(f"{BAD}:MoreForSome")
    attack.calls.clear()
    with pytest.raises(MethodError, match=says("as much for everybody")):
        attacked(attack)


def test_one_with_views_of_different_numbers_neither(attacked, says):
    with pytest.raises(MethodError, match=says("as many views each")):
        attacked(registry.load_attack(f"{BAD}:OddViews"))


def test_what_renders_no_image_fails_as_it_is_judged(bench, unlearned):
    attack = chosen.choose_attack(f"{BAD}:BlackImages")
    outcome = Attacker(bench, None, None).attack(attack, SMOKE, bench.scene(SMOKE, 0), unlearned, None, 0)
    assert outcome.found is None and "not finite" in outcome.reason and "\n" not in outcome.reason


def test_with_queries_alone_a_generator_renders_and_tells_nothing_else(bench, attacked):
    (first, second) = attacked(registry.load_attack(f"{BAD}:Asks"), bench.players.generator)
    assert len(first) == len(second) == 1


def test_what_renders_to_queries_is_what_the_generator_renders(bench):
    from guidebench.noise import Noise

    source = bench.players.generator
    asked, codes = QueryOnly(source), source.map(torch.randn(3, source.z_dim))
    images = [one.render(codes, None, noise=Noise.constant()) for one in (source, asked)]
    assert torch.equal(*images) and asked.rig is source.rig
    for name in ("z_dim", "num_ws", "w_dim", "resolution"):
        assert getattr(asked, name) == getattr(source, name)
