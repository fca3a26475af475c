"""Settings of plug-ins: parsed from text by type, held to their bounds, and named in messages and labels."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Literal

import numpy as np
import pytest

from guidebench.attack import Attack
from guidebench.errors import BadInput
from guidebench.settings import (
    Settable,
    check_fields,
    field_names,
    in_plain_numbers,
    labelled,
    unfit,
    with_fields,
    with_settings,
)
from guidebench.text import printable
from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Plain(Settable):
    """One field of every kind that can be set from text, and two that cannot."""

    plugin_kind = "thing"
    name = "plain"
    bounds = {"rate": (0.0, 1.0)}

    steps: int = 3
    rate: float = 0.5
    careful: bool = False
    mode: Literal["a", "b"] = "a"
    note: str = ""
    limit: int | None = None
    parts: tuple[str, ...] = ("low",)


def test_a_method_and_an_attack_say_which_they_are():
    assert (Unlearner.plugin_kind, Attack.plugin_kind) == ("method", "attack")


def test_fields_are_named_and_values_replaced():
    assert field_names(Plain()) == ["steps", "rate", "careful", "mode", "note", "limit", "parts"]
    assert with_fields(Plain(), {"steps": 4, "limit": 2}) == Plain(steps=4, limit=2)


def test_a_label_has_what_was_changed_in_order_of_names():
    assert (
        labelled(Plain(rate=0.25), ["steps", "rate"]) == "plain(rate=0.25,steps=3)" and labelled(Plain(), []) == "plain"
    )


def test_settings_are_parsed_by_the_type_of_their_field():
    texts = {"steps": "7", "rate": "0.25", "careful": "True", "mode": "b", "note": "7"}
    assert with_settings(Plain(), texts) == Plain(steps=7, rate=0.25, careful=True, mode="b", note="7")
    assert with_settings(Plain(), {"careful": "false"}).careful is False


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("steps", "7.5", ["integer"]),
        ("rate", "much", ["number"]),
        ("rate", "2", ["0", "1"]),
        ("rate", "nan", ["0", "1"]),
        ("steps", "-1e3", ["integer"]),
        ("careful", "maybe", ["true", "false"]),
        ("mode", "c", ["a, b"]),
        ("note", "caf\udce9", ["text"]),
        ("limit", "3", ["int | None"]),
        ("parts", "low", ["tuple[str, ...]"]),
    ],
)
def test_a_setting_that_does_not_fit_says_what_is_allowed(name, text, words, says):
    with pytest.raises(BadInput, match=says("plain", printable(f"{name}={text}"), *words)):
        with_settings(Plain(), {name: text})


def test_an_integer_of_any_length_is_a_number():
    """It has no infinity to be checked against, and may be longer than a float."""
    assert with_settings(Plain(), {"steps": "1" + 400 * "0"}).steps == 10**400


def test_a_combination_that_the_method_itself_refuses_is_bad_input(says):
    @dataclass(frozen=True)
    class Picky(Plain):
        def __post_init__(self):
            if self.steps > 5:
                raise ValueError("steps must be 5 or less")

    with pytest.raises(BadInput, match=says("plain", "5 or less")):
        with_settings(Picky(), {"steps": "6"})


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (None, int, False),
        (None, int | None, True),
        ((1.0, 2), tuple[float, float], True),
        ((1.0, "2"), tuple[float, float], False),
        ([1.0], tuple[float, ...], False),
        (True, int, False),
        (3, float, True),
        (float("inf"), float, False),
        (float("nan"), float, False),
        ("a", Literal["a", "b"], True),
        ("c", Literal["a", "b"], False),
        ({}, dict, False),
    ],
)
def test_a_value_fits_its_type_or_the_end_of_a_sentence_says_why_not(value, kind, fits):
    wrong = unfit(value, kind)
    assert (wrong is None) == fits and (fits or (wrong and "\n" not in wrong))


def test_bounds_hold_their_ends():
    assert [unfit(value, float, (0.0, 1.0)) for value in (0, 0.0, 1.0)] == [None] * 3
    assert "between 0 and 1" in unfit(1.5, float, (0.0, 1.0)) and unfit(None, float | None, (0.0, 1.0)) is None


def test_fields_of_a_plug_in_are_checked_and_it_cannot_be_changed(says):
    assert check_fields(Plain()) == Plain()
    with pytest.raises(BadInput, match=says("thing plain", "rate=2", "between 0 and 1")):
        check_fields(Plain(rate=2))
    changeable = make_dataclass("Changeable", [("steps", int, 3)], bases=(Settable,), namespace={"name": "changeable"})
    with pytest.raises(BadInput, match=says("changeable", "@dataclass(frozen=True)")):
        check_fields(changeable())


def test_types_that_cannot_be_read_are_one_line(says):
    odd = make_dataclass("Odd", [("a", "nowhere.Kind", 1)], bases=(Settable,), frozen=True, namespace={"name": "odd"})
    with pytest.raises(BadInput, match=says("field types", "plug-in odd", "nowhere")):
        check_fields(odd())


def test_numbers_of_numpy_become_those_of_python():
    """As a sweep over an array gives them."""
    found = in_plain_numbers(Plain(steps=np.int64(4), rate=np.float64(0.5)))
    assert found == Plain(steps=4) and (type(found.steps), type(found.rate)) == (int, float)
    assert in_plain_numbers(Plain) is Plain and in_plain_numbers("text") == "text"
