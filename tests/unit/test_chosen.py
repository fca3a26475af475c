"""What a method declares and what a protocol asks of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from guidebench.chosen import check_fits
from guidebench.errors import BadInput
from guidebench.protocol import Protocol
from guidebench.unlearner import Unlearner

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
