"""A method or an attack in a run: its preset, settings, label and digest, and whether it fits a protocol."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import pytest

from guidebench import chosen, registry
from guidebench.attack import Attack, Finding, Knowledge
from guidebench.chosen import check_attack_fits, check_fits, choose, choose_attack, choose_object, is_one_by_one
from guidebench.errors import BadInput
from guidebench.protocol import Protocol
from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Plain(Unlearner):
    """One field of every kind that can be set from text, two that cannot, and a preset."""

    name = "plain"
    bounds = {"rate": (0.0, 1.0)}
    presets = {"linear": {"steps": 30}, "mini": {"step": 30}}
    fitted_on = {"linear": ("fid_pre",)}
    settings_tried = {"linear": 4}

    steps: int = 3
    rate: float = 0.5
    careful: bool = False
    mode: Literal["a", "b"] = "a"
    note: str = ""
    limit: int | None = None
    parts: tuple[str, ...] = ("low",)

    def unlearn(self, generator, request, context):
        return generator


ALL = frozenset({"single", "simultaneous", "sequential"})


def method(supports: frozenset[str], needs: bool = False) -> Unlearner:
    @dataclass(frozen=True)
    class Mine(Unlearner):
        name = "mine"

        def unlearn(self, generator, request, context):
            return generator

    Mine.supports, Mine.needs_retained = supports, needs
    return Mine()


def asking(*, forget: int = 1, requests: int = 1, named: int = 0) -> Protocol:
    return Protocol(
        name="ask",
        version=1,
        title="ask",
        source="dev",
        identities=forget * requests,
        forget=forget,
        requests=requests,
        retain_named=named,
    )


@pytest.mark.parametrize(
    ("supports", "forget", "requests"),
    [
        ({"single"}, 1, 1),
        ({"simultaneous"}, 5, 1),
        ({"sequential"}, 1, 5),
        ({"simultaneous", "sequential"}, 2, 2),
    ],
)
def test_what_is_declared_is_enough(supports, forget, requests):
    check_fits(method(frozenset(supports)), asking(forget=forget, requests=requests))
    check_fits(method(ALL), asking(forget=forget, requests=requests))


@pytest.mark.parametrize(
    ("supports", "forget", "requests", "words"),
    [
        ({"single"}, 5, 1, ["one person per trial (supports: single)", "5 people in one request", "simultaneous"]),
        ({"single"}, 1, 5, ["(supports: single)", "one person in each of 5 requests", "sequential"]),
        ({"simultaneous"}, 1, 1, ["several people in one request", "one person per trial", "single"]),
        ({"sequential"}, 2, 3, ["2 people in each of 3 requests", "supports simultaneous"]),
        ({"single"}, 2, 3, ["supports simultaneous and sequential"]),
        (set(), 1, 1, ["nobody", "nothing", "single"]),
    ],
)
def test_what_is_lacking_is_one_line_that_names_both_sides(supports, forget, requests, words, says):
    with pytest.raises(BadInput, match=says("method mine", *words[:-1], "protocol ask", words[-1])) as refused:
        check_fits(method(frozenset(supports)), asking(forget=forget, requests=requests))
    assert "\n" not in str(refused.value)


def test_a_method_that_needs_retained_people_needs_a_protocol_that_names_some(says):
    check_fits(method(ALL, needs=True), asking(named=3))
    check_fits(method(ALL), asking(named=3))
    with pytest.raises(BadInput, match=says("mine", "ask", "retain_named = 0")):
        check_fits(method(ALL, needs=True), asking())


def test_one_by_one_single_is_enough_and_nothing_else():
    check_fits(method(frozenset({"single"})), asking(forget=5, requests=2), one_by_one=True)
    assert is_one_by_one(method(frozenset({"single"})), asking(forget=5))
    assert not is_one_by_one(method(ALL), asking(forget=5, requests=2))
    with pytest.raises(BadInput, match="supports sequential"):
        check_fits(method(frozenset({"simultaneous"})), asking(forget=5, requests=2), one_by_one=True)
    with pytest.raises(BadInput, match="retain_named = 0"):
        check_fits(method(frozenset({"single"}), needs=True), asking(forget=5), one_by_one=True)


def test_a_group_larger_than_a_method_takes_is_refused_with_what_it_takes(says):
    few = method(ALL)
    type(few).most_people = 4
    check_fits(few, asking(forget=4, requests=3))
    with pytest.raises(BadInput, match=says("mine", "up to 4 people", "ask", "5 people in one request", "--forget 4")):
        check_fits(few, asking(forget=5))


SPEC = f"{Plain.__module__}:Plain"  # pytest keeps this file among the loaded modules


def test_by_name_a_method_takes_the_preset_of_the_testbed():
    found = choose(SPEC, "linear")
    assert found.method.steps == 30 and found.chosen.preset and found.chosen.label == "plain"
    elsewhere = choose(SPEC, "eg3d-ffhq")
    assert elsewhere.method.steps == 3 and not elsewhere.chosen.preset


def test_a_preset_that_does_not_fit_its_fields_is_refused(says):
    with pytest.raises(BadInput, match=says("plain", "mini", "step")):
        choose(SPEC, "mini")


def test_settings_win_over_the_preset_and_make_the_label():
    found = choose(SPEC, "linear", {"steps": "7", "mode": "b"})
    assert (found.method.steps, found.method.mode) == (7, "b")
    assert found.chosen.label == "plain(mode=b,steps=7)" and found.chosen.preset
    assert choose(SPEC, "linear", {"steps": "7"}, name="mine").chosen.label == "mine"


def test_a_class_is_the_method_by_name():
    assert choose_object(Plain, "linear").chosen == choose(SPEC, "linear").chosen


def test_an_object_runs_as_it_stands_and_is_labelled_by_what_differs_from_the_preset():
    found = choose_object(Plain(rate=0.25), "linear")
    assert found.method == Plain(rate=0.25)
    assert found.chosen.label == "plain(rate=0.25,steps=3)"  # the preset has 30 steps, this object has 3
    assert not found.chosen.preset
    usual = choose_object(Plain(steps=30), "linear")
    assert usual.chosen == choose(SPEC, "linear").chosen


def test_what_ships_is_recorded_under_its_registered_name_and_floors_as_floors():
    guide = choose_object(type(registry.load_method("guide")), "linear").chosen
    assert (guide.spec, guide.class_name, guide.floor, guide.training_seen) == ("guide", "Guide", False, True)
    assert choose("nothing", "linear", few=True).few and choose("nothing", "linear").chosen.floor


def test_a_method_is_built_again_with_the_same_fields():
    """What a worker does: from plain data, without the preset."""
    for entrant in (choose(SPEC, "linear"), choose_object(Plain(rate=0.25, note="x"), "linear")):
        assert entrant.chosen.build() == entrant.method
        assert entrant.chosen.fields == dataclasses.asdict(entrant.method)


def test_what_decides_the_numbers_is_the_definition_and_names_are_not():
    """Label, place and preset flag may differ where fields and code are the same."""
    one = choose(SPEC, "linear", {"steps": "3"}).chosen
    assert dataclasses.replace(one, label="x", spec="y", preset=False, floor=True).definition() == one.definition()
    assert choose_object(Plain(), "linear").chosen.definition() == one.definition()
    changes = {"name": "x", "class_name": "X", "fields": {**one.fields, "steps": 4}, "source_digest": "x"}
    for name, value in changes.items():
        assert dataclasses.replace(one, **{name: value}).definition() != one.definition()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", "x", ["integer"]),
        ("steps", None, ["integer"]),
        ("steps", True, ["integer"]),
        ("steps", 3.0, ["integer"]),
        ("rate", "0.5", ["number"]),
        ("rate", 2, ["0", "1"]),
        ("careful", 1, ["true", "false"]),
        ("mode", "zzz", ["a, b"]),
        ("note", 3, ["text"]),
        ("limit", "3", ["integer", "None"]),
        ("parts", ("low", 3), ["tuple[str, ...]"]),
        ("parts", ["low"], ["tuple[str, ...]"]),
    ],
)
@pytest.mark.parametrize("given", ["object", "default"])
def test_an_object_or_a_default_is_checked_as_a_setting_is(given, name, value, words, says):
    method = Plain(**{name: value})
    if given == "default":
        fields = [(name, Plain.__annotations__[name], dataclasses.field(default_factory=lambda: value))]
        method = dataclasses.make_dataclass("Odd", fields, bases=(Plain,), frozen=True, namespace={"presets": {}})
        method.__module__ = Plain.__module__
    with pytest.raises(BadInput, match=says("plain", f"{name}={value!r}", *words)):
        choose_object(method, "linear")


def test_none_and_tuples_are_fields_of_objects():
    method = Plain(limit=3, parts=("low", "high"))
    assert choose_object(method, "linear").chosen.build() == method


@pytest.mark.parametrize("kind", [list, dict[str, int], object])
def test_a_field_of_another_type_is_refused_whatever_it_holds(kind, says):
    odd = dataclasses.make_dataclass("Odd", [("a", kind, None)], bases=(Plain,), frozen=True)
    odd.__module__ = Plain.__module__
    with pytest.raises(BadInput, match=says("plain", "a=None", "int, float, bool, str", "Literal")):
        choose_object(odd, "linear")


def test_a_method_that_can_be_changed_is_refused(says):
    @dataclass
    class Changeable(Unlearner):
        name = "changeable"
        size: float = 0.5

        def unlearn(self, generator, request, context):
            return generator

    for given in (Changeable, Changeable(0.75)):
        with pytest.raises(BadInput, match=says("changeable", "@dataclass(frozen=True)")):
            choose_object(given, "linear")


def test_rows_of_the_ladder_differ_in_their_flags_only_and_take_as_many_steps():
    rows = [registry.load_method(name) for name in ("mean-latent", "extrapolated", "extrapolated-adj", "guide")]
    assert all(row.presets.keys() == {"mini", "linear"} for row in rows)  # elsewhere the class defaults, the paper's
    for testbed in rows[0].presets:
        presets = [chosen.with_preset(row, testbed)[0].presets[testbed] for row in rows]
        assert len({preset["steps"] for preset in presets}) == 1
        assert all(preset.keys() == {"steps", "lr"} for preset in presets)
    flags = {"target_kind", "adjacency_loss", "global_loss"}
    fields = [dataclasses.asdict(row) for row in rows]
    assert all({name for name in first if first[name] != fields[-1][name]} <= flags for first in fields)


@dataclass(frozen=True)
class TunedAgain(Plain):
    """With presets of its own, of which nothing is said."""

    presets = {"linear": {"steps": 7}}


@dataclass(frozen=True)
class SameTuning(Plain):
    """With the presets that it inherits."""


def test_a_row_says_from_how_many_settings_its_preset_was_chosen_unless_that_is_not_known():
    def tried(*given):
        return chosen.choose_object(*given).chosen.settings_tried

    assert tried(Plain, "linear") == tried(SameTuning, "linear") == 4
    assert tried(Plain(steps=31), "linear") == tried(Plain, "eg3d-ffhq") == tried(TunedAgain, "linear") == 0
    assert chosen.choose_object(TunedAgain, "linear").chosen.fitted_on == ()
    assert {chosen.choose(name, "mini").chosen.settings_tried for name in ("guide", "mean-latent", "sugar")} == {6}


def test_a_row_says_by_which_metrics_its_preset_was_chosen_unless_the_preset_was_overridden():
    def fitted(entrant):
        return entrant.chosen.fitted_on

    assert fitted(chosen.choose_object(Plain, "linear")) == ("fid_pre",)
    assert fitted(chosen.choose_object(Plain(steps=30), "linear")) == ("fid_pre",)
    assert fitted(chosen.choose_object(Plain(steps=31), "linear")) == ()
    assert fitted(chosen.choose_object(Plain, "eg3d-ffhq")) == ()
    criterion = ("id_others", "id_retain")
    assert fitted(chosen.choose("guide", "mini")) == criterion == fitted(chosen.choose("mean-latent", "mini"))
    assert fitted(chosen.choose("guide", "mini", {"alpha_max": "20"})) == criterion
    assert fitted(chosen.choose("guide", "mini", {"lr": "0.1"})) == ()
    assert chosen.choose("guide", "linear").chosen.definition().keys() == {"name", "class", "fields", "source"}


@dataclass(frozen=True)
class Prying(Attack):
    """Fields and a tuple, and all that can be known."""

    name = "prying"
    knows = Knowledge(photos=2, code=True, others=3, original=True)
    unit = "tries"
    bounds = {"steps": (1, 10)}

    steps: int = 3
    parts: tuple[str, ...] = ("low",)

    def run(self, generator, target, context):
        return [Finding(at=self.steps)]


PRYING = f"{Prying.__module__}:Prying"


def test_an_attack_is_chosen_with_its_settings_and_named_by_what_was_changed():
    found = choose_attack(PRYING, {"steps": "7"})
    assert (found.name, found.label, found.unit, found.shows_anybody) == ("prying", "prying(steps=7)", "tries", False)
    assert found.fields == {"steps": 7, "parts": ("low",)}
    assert found.knows == "weights, 2 photographs, the forgotten code, 3 photographs of others, the original generator"
    assert choose_attack(PRYING).label == "prying" and found.build() == Prying(steps=7)


def test_an_attack_is_built_again_from_what_json_makes_of_it():
    found = choose_attack(PRYING)
    assert dataclasses.replace(found, fields={"steps": 3, "parts": ["low"]}).build() == Prying()


def test_what_an_attack_finds_depends_on_its_name_settings_and_code_alone():
    found = choose_attack(PRYING)
    same = dataclasses.replace(found, spec="x", label="y", knows="z", unit="w", shows_anybody=True)
    assert same.definition() == found.definition()
    for changes in ({"name": "x"}, {"fields": {"steps": 4}}, {"source_digest": "x"}):
        assert dataclasses.replace(found, **changes).definition() != found.definition()


@pytest.mark.parametrize(
    ("settings", "words"), [({"steps": "0"}, ["steps=0", "1", "10"]), ({"steps": "x"}, ["steps=x", "integer"])]
)
def test_a_setting_of_an_attack_that_does_not_fit_names_the_attack(settings, words, says):
    with pytest.raises(BadInput, match=says("attack prying", *words)):
        choose_attack(PRYING, settings)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("reinvert", {"source": "random", "probe_photos": 0}, ["reinvert", "2 photographs", "protocol ask", "samples"]),
        ("resurgence", {"source": "random", "probe_photos": 0}, ["resurgence", "photographs of others", "samples"]),
        ("resurgence", {"retain": 0}, ["resurgence", "other people", "retain = 0"]),
    ],
)
def test_an_attack_that_needs_what_a_protocol_lacks_is_refused(name, changes, words, says):
    with pytest.raises(BadInput, match=says(*words)) as refused:
        check_attack_fits(choose_attack(name), dataclasses.replace(asking(), **changes))
    assert "\n" not in str(refused.value)


def test_an_attack_that_needs_no_photograph_fits_sampled_people():
    random = dataclasses.replace(asking(), source="random", probe_photos=0)
    for name in ("wide-views", "perturb", "interpolate"):
        check_attack_fits(choose_attack(name), random)
    for name in ("reinvert", "resurgence"):
        check_attack_fits(choose_attack(name), asking())
