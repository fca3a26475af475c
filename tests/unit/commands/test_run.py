"""How `guidebench run`, `evaluate` and `reproduce` read their options; what they do is in tests/end_to_end."""

from __future__ import annotations

import dataclasses
import inspect

import click
import pytest

from guidebench.commands import run as commands
from guidebench.engine import run as engine
from guidebench.engine.asked import Options
from guidebench.errors import BadInput


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
    ("command", "function", "own"),
    [
        (commands.run, engine.run, set()),
        (commands.evaluate, engine.evaluate, set()),
        (commands.reproduce, engine.reproduce, {"style", "figure", "dry_run"}),
    ],
    ids=["run", "evaluate", "reproduce"],
)
def test_a_command_is_a_coat_over_the_function_of_its_name(command, function, own):
    """Options are arguments of the function, with the same defaults; what is not given is None there, too."""
    arguments = {name: item.default for name, item in inspect.signature(function).parameters.items()}
    arguments |= {field.name: field.default for field in dataclasses.fields(Options)}
    for option in command.params:
        name = {"name": "suite"}.get(option.name, option.name) if command is commands.reproduce else option.name
        if name in own:
            continue
        assert name in arguments, name
        if isinstance(option, click.Option) and not option.required and name != "settings":
            default = () if option.multiple else option.to_info_dict()["default"]
            assert default in (arguments[name], None) or str(arguments[name]) == str(default), name


def test_settings_are_field_and_value():
    assert commands.settings_of(("lr=0.1", " steps = 7 ", "note=a=b")) == {"lr": "0.1", "steps": "7", "note": "a=b"}
    for text in ("lr", "=1", ""):
        with pytest.raises(BadInput, match="FIELD=VALUE"):
            commands.settings_of((text,))


def test_the_same_command_leaves_out_what_concerns_one_run_only():
    words = ["my table.toml", "--seeds", "0-1", "--method", "guide", "--method", "./a b.py:Mine", "--out", "there"]
    context = parsed(commands.reproduce, *words, "--fresh", "--workers", "2")
    assert commands._same_command(context) == (
        "guidebench reproduce 'my table.toml' --method guide --method './a b.py:Mine' --out there --seeds 0,1"
    )
