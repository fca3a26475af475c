"""A method that forgets one person at a time, where several are asked: once per person, on the generator of before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import guidebench
from guidebench import protocol as protocols
from guidebench.errors import BadInput
from guidebench.store import folders

METHODS = Path(__file__).parent / "sequence_methods.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=40)
GROUPS = dataclasses.replace(SMOKE, name="groups", identities=4, forget=2, requests=2, retain=2, neighbours=2)
SETTINGS = {"One": {}, "Sequence": {"at": "nobody"}}
PEOPLE = [f"celebahq-{place:04d}" for place in range(4)]


@pytest.fixture
def run(tmp_path):
    def run(protocol=GROUPS, name="One", **options):
        log = tmp_path / "log"
        log.write_text("")
        options = {"floors": "none", "out": tmp_path / "out", "workers": 0, "one_by_one": True, **options}
        done = guidebench.run(
            protocol, f"{METHODS}:{name}", "linear", settings={"log": log, **SETTINGS[name]}, **options
        )
        return done, log.read_text().split()

    return run


def recorded(out):
    return [stored.record for stored in folders.scan(out)[0]]


def test_everybody_is_asked_for_alone_with_all_who_came_before(run, tmp_path):
    done, asked = run()
    assert done.measured == 1
    assert asked == [f"{','.join(PEOPLE[:place])}>{PEOPLE[place]}" for place in range(4)]
    (record,) = recorded(tmp_path / "out")
    assert record.outcome.marks[-1] == "one by one" and record.spec.one_by_one
    assert record.cost.steps == 16, "four steps per person"
    assert {score.after_request for score in record.outcome.scores} == {1, 2}
    assert "one by one" in done.table()


def test_without_the_option_it_is_refused_with_the_reason(run, says):
    with pytest.raises(BadInput, match=says("method one", "one person per trial", "groups", "--one-by-one")):
        run(one_by_one=False)


def test_it_is_another_trial_than_that_of_a_method_which_can(run, tmp_path):
    run()
    (record,) = recorded(tmp_path / "out")
    assert dataclasses.replace(record.spec, one_by_one=False).key != record.key


@pytest.mark.parametrize(
    ("protocol", "name"), [(dataclasses.replace(SMOKE, identities=2), "One"), (GROUPS, "Sequence")]
)
def test_the_option_changes_nothing_where_the_method_can_do_what_is_asked(run, tmp_path, protocol, name):
    run(protocol, name)
    for record in recorded(tmp_path / "out"):
        assert not record.spec.one_by_one and "one by one" not in record.outcome.marks
    again, asked = run(protocol, name, one_by_one=False)
    assert again.measured == 0 and asked == [], "the same trials"
