"""The command that measures a trial of the page again."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from guidebench import protocol as protocols
from guidebench.chosen import choose
from guidebench.commands.run import run
from guidebench.page.provenance import command_of, overridden


@pytest.fixture
def shipped(make_record):
    """A record of a method and a protocol that ship."""

    def make(settings=None, name=None, seed=3, **overrides):
        entrant = choose("guide", "mini", settings, name=name)
        protocol = protocols.load("celebahq-multi").resolve("mini", **overrides)
        record = make_record("guide", protocol=protocol, seed=seed)
        return replace(record, spec=replace(record.spec, method=entrant.chosen, salt=77))

    return make


def words(record):
    return shlex.split(command_of(record))


def parsed(record):
    """The command as the command line takes it."""
    return run.make_context("run", words(record)[2:]).params


def test_the_command_line_takes_it_and_means_the_same(shipped):
    given = parsed(shipped())
    assert (given["protocol"], given["methods"], given["settings"]) == ("celebahq-multi", ("guide",), ())
    assert (given["seeds"], given["salt"], given["floors"]) == ((3,), "77", "none")


@pytest.mark.parametrize("name", [None, "mine"])
def test_settings_and_sizes_give_the_same_key(shipped, name):
    """Whatever the row is called, the trial of the command is the trial of the record."""
    record = shipped({"steps": "7", "lr": "0.5"}, name=name, identities=4, samples=99)
    given = parsed(record)
    settings = dict(text.split("=", 1) for text in given["settings"])
    again = choose("guide", "mini", settings).chosen
    assert again.definition() == record.spec.method.definition()
    sizes = {name: given[name] for name in ("identities", "samples")}
    protocol = protocols.load(given["protocol"]).resolve("mini", **sizes)
    assert protocol.digest() == record.spec.protocol.digest() and protocol.identities == 4
    assert name or overridden(record.spec.method) == ["lr", "steps"]


def test_what_no_option_can_say_is_a_file_of_ones_own(shipped):
    record = shipped()
    odd = replace(record, spec=replace(record.spec, protocol=replace(record.spec.protocol, yaw_deg=20.0)))
    assert words(odd)[2:4] == ["--protocol", "celebahq-multi.toml"]


def test_generators_of_other_code_are_evaluated(make_record):
    record = make_record("theirs", training_seen=False, label="their best")
    assert words(record)[:2] == ["guidebench", "evaluate"]
    assert "--checkpoint" in words(record) and "their best" in words(record)
