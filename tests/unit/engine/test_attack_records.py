"""Which recorded trials are attacked together, and what is reported of it; what users see is in the command's tests."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

import guidebench
from guidebench.engine.attack_records import _alike, _out_of, attack_records, protocols_of
from guidebench.engine.watching import Watcher
from guidebench.errors import BadInput
from guidebench.store import folders


class Listener(Watcher):
    def __init__(self):
        self.heard = []

    def begin(self, todo, workers):
        self.heard.append((len(todo), workers))

    def hear(self, event):
        self.heard.append(type(event).__name__)

    def close(self):
        self.heard.append("closed")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """One person, then both, under the same protocol."""
    out = tmp_path_factory.mktemp("kept")
    options = {"floors": "none", "samples": 20, "workers": 0, "keep_generators": True, "out": out}
    guidebench.run("smoke", "nothing", "linear", identities=1, **options)
    guidebench.run("smoke", "nothing", "linear", identities=2, **options)
    return out


def test_trials_are_alike_if_one_set_of_workers_can_judge_them(out):
    first, second = folders.scan(out)[0]
    spec, instrument = second.record.spec, second.record.instrument
    others = [
        replace(second.record, spec=replace(spec, precision="tf32")),
        replace(second.record, spec=replace(spec, salt=spec.salt + 1)),
        replace(second.record, spec=replace(spec, protocol=replace(spec.protocol, conventions="published"))),
        replace(second.record, spec=replace(spec, protocol=replace(spec.protocol, source="photos"))),
        replace(second.record, instrument=replace(instrument, testbed="other")),
    ]
    items = [replace(second, record=record) for record in others]
    moved = replace(second, folder=str(out.parent / "elsewhere" / second.path.relative_to(out)))
    assert [len(group) for group in _alike([first, *items, moved, second])] == [2, 1, 1, 1, 1, 1, 1]
    assert _out_of(first) == out and _out_of(moved) == out.parent / "elsewhere"


def test_a_protocol_has_as_many_people_as_any_trial_was_planned_with(out):
    (protocol,) = protocols_of(folders.scan(out)[0]).values()
    assert protocol.identities == 2


def test_who_watches_hears_of_every_generator_and_what_was_done_is_counted(out):
    watch = Listener()
    done = attack_records(out, ["wide-views"], workers=0, watch=watch)
    assert (done.attacked, done.skipped, done.without, done.failed) == (2, 0, 0, ()) and done.seconds > 0
    assert watch.heard == [(2, 1), "Started", "Finished", "Started", "Finished", "closed"]
    again = attack_records(out, ["wide-views", "wide-views"], workers=0, watch=Listener())
    assert (again.attacked, again.skipped) == (0, 2) and again.table


def test_a_table_that_cannot_be_made_takes_nothing_back(out, caplog, monkeypatch):
    def mixed(*asked, **options):
        raise BadInput("the records mix salts")

    monkeypatch.setattr("guidebench.reporting.report.report", mixed)
    with caplog.at_level(logging.WARNING, logger="guidebench"):
        done = attack_records(out, ["interpolate"], workers=0, watch=Listener())
    assert done.attacked == 2 and done.table == "" and "mix salts" in caplog.text


def test_other_weights_or_people_than_are_installed_are_named(out, monkeypatch, says):
    (first, _) = folders.scan(out)[0]
    weights = {**first.record.spec.weights, "generator": "other"}
    monkeypatch.setattr(
        "guidebench.engine.attack_records._trials",
        lambda *asked: [replace(first, record=replace(first.record, spec=replace(first.record.spec, weights=weights)))],
    )
    with pytest.raises(BadInput, match=says(str(first.path), "other weights", "linear")):
        attack_records(out, ["relearn"], workers=0, watch=Listener())
