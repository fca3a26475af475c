"""How `guidebench run`, `evaluate` and `reproduce` read their options; what they do is in tests/end_to_end."""

from __future__ import annotations

import dataclasses

import click
import pytest

from guidebench.commands import run as commands
from guidebench.engine.run import Common, Options


def parsed(command: click.Command, *words: str) -> click.Context:
    return command.make_context(command.name, list(words))


@pytest.mark.parametrize(
    ("text", "seeds"), [("0", (0,)), ("0,1,2", (0, 1, 2)), ("0-2", (0, 1, 2)), ("0-1,5,7-8", (0, 1, 5, 7, 8))]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parsed(commands.reproduce, "table-2", "--seeds", text).params["seeds"] == seeds


@pytest.mark.parametrize("text", ["", ",", "a", "2-0", "0-", "-1", "0-999999999"])
def test_other_seeds_are_refused_with_what_was_given(text):
    with pytest.raises(click.BadParameter) as caught:
        parsed(commands.reproduce, "table-2", f"--seeds={text}")
    assert f"'{text}'" in caught.value.format_message() and "0-2" in caught.value.format_message()


@pytest.mark.parametrize(
    ("command", "own", "words"),
    [
        (commands.run, set(), ["--protocol", "smoke", "--method", "guide"]),
        (commands.evaluate, {"path", "loader", "name"}, ["--protocol", "smoke", "--checkpoint", "x.pkl"]),
    ],
    ids=["run", "evaluate"],
)
def test_options_are_fields_of_the_engines_options(command, own, words):
    fields = {field.name for field in dataclasses.fields(Options)}
    assert set(parsed(command, *words).params) - own <= fields


def test_what_is_not_given_is_the_engines_default():
    given = parsed(commands.reproduce, "table-2").params
    for field in dataclasses.fields(Common):
        if field.name in given:
            assert given[field.name] == field.default, field.name


def test_the_same_command_leaves_out_what_concerns_one_run_only():
    words = ["my table.toml", "--seeds", "0-1", "--method", "guide", "--method", "./a b.py:Mine", "--out", "there"]
    context = parsed(commands.reproduce, *words, "--fresh", "--workers", "2")
    assert commands._same_command(context) == (
        "guidebench reproduce 'my table.toml' --method guide --method './a b.py:Mine' --out there --seeds 0,1"
    )
