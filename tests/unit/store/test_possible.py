"""A record that says what no trial can have measured is left out, whatever its digest says."""

from __future__ import annotations

import dataclasses

import pytest

from guidebench.errors import BadInput
from guidebench.evidence import DifferentPeople
from guidebench.store import folders
from guidebench.store.possible import check_possible, in_plain_text


def other_cost(record, **changes):
    return dataclasses.replace(record, cost=dataclasses.replace(record.cost, **changes))


def known(record, **changes):
    (judge,) = record.instrument.judges
    people = dataclasses.replace(DifferentPeople(0.0, 0.1), **changes)
    judges = (dataclasses.replace(judge, different_people=people),)
    return dataclasses.replace(record, instrument=dataclasses.replace(record.instrument, judges=judges))


def doubled(record):
    scores = record.outcome.scores * 2
    return dataclasses.replace(record, outcome=dataclasses.replace(record.outcome, scores=scores))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": 5.0}, "id of anna is 5, which no cosine"),
        ({"value": -1.1}, "id of anna is -1.1"),
        ({"metric": "precision", "judge": None, "role": "samples", "value": 1.5}, "precision of anna is 1.5"),
        ({"metric": "recall", "judge": None, "role": "samples", "value": -0.5}, "recall of anna is -0.5"),
        ({"n": -1}, "n = -1"),
        ({"lost_before": -1}, "lost_before = -1"),
        ({"lost_after": -3}, "lost_after = -3"),
        ({"after_request": 0}, "request 0 of 1"),
        ({"after_request": 2}, "request 2 of 1"),
        ({"identity": "bert"}, "id is of bert"),
        ({"judge": "omega"}, "id is by omega"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_score_is_named(make_record, changes, words):
    with pytest.raises(ValueError) as caught:
        check_possible(make_record(**changes))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_score_that_stands_twice_is_named(make_record):
    with pytest.raises(ValueError, match="id of anna by alpha was scored twice"):
        check_possible(doubled(make_record()))


@pytest.mark.parametrize("change", [{"seconds_total": -1.0}, {"steps": -1}, {"trainable": -7}])
def test_costs_are_not_negative(make_record, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        check_possible(other_cost(make_record(), **change))


@pytest.mark.parametrize(
    "change", [{"mean": 2.0}, {"std": -0.1}, {"pairs": 0}, {"threshold": 1.5}, {"threshold_interval": (0.1, 3.0)}]
)
def test_what_is_said_of_different_people_is_possible(make_record, change):
    with pytest.raises(ValueError, match="different_people of alpha"):
        check_possible(known(make_record(), **change))


def test_what_metrics_of_the_user_measure_is_theirs(make_record):
    check_possible(make_record(metric="mine", judge=None, identity="anybody", value=1e9))


def test_the_rounding_of_float32_is_possible(make_record):
    check_possible(make_record(value=1.0000001))


def test_an_impossible_record_is_not_written_and_one_that_is_there_is_left_out(tmp_path, make_record, put_record, says):
    folder = put_record(tmp_path, make_record())
    with pytest.raises(BadInput, match=says("id of anna is 5", "not recorded", "`guidebench check`")):
        put_record(tmp_path, make_record(value=5.0))
    assert folders.read(folder).outcome.scores[0].value == 0.25, "what was there stays"
    for record in (make_record(value=5.0), doubled(make_record())):
        (folder / "record.json").write_text(dataclasses.replace(record, files=folders.digests_of(folder)).to_json())
        stored, (item,) = folders.scan(tmp_path)
        assert stored == [] and "id of anna" in item.reason


def with_texts(record, text):
    """The record with a text of somebody's in every part that methods, metrics and testbeds write."""
    spec = dataclasses.replace(record.spec, protocol=dataclasses.replace(record.spec.protocol, title=text))
    score = dataclasses.replace(record.outcome.scores[0], value=None, reason=text)
    outcome = dataclasses.replace(record.outcome, scores=(score,))
    instrument = dataclasses.replace(record.instrument, caption=text)
    return dataclasses.replace(record, spec=spec, outcome=outcome, instrument=instrument)


def test_what_a_terminal_would_act_on_is_escaped_as_it_is_recorded(tmp_path, make_record, put_record):
    """Nothing measured is lost for it, and the key stays."""
    record = with_texts(make_record(), "two\nlines, \x1b[2J")
    found = folders.read(put_record(tmp_path, record))
    texts = [found.spec.protocol.title, found.outcome.scores[0].reason, found.instrument.caption]
    assert texts == [r"two lines, \x1b[2J"] * 3 and found.key == record.key
    assert in_plain_text(make_record()) == make_record()


@pytest.mark.parametrize("change", ["title", "label", "people", "weights", "caption"])
def test_a_record_that_a_terminal_would_act_on_is_left_out(make_record, change):
    """As if it said something of another row: tables, messages and file names show these texts."""
    record, bad = make_record(), "guide\n| oracle | 1.00 |\x1b[2J"
    method = dataclasses.replace(record.spec.method, label=bad)
    forged = {
        "title": dataclasses.replace(record.spec, protocol=dataclasses.replace(record.spec.protocol, title=bad)),
        "label": dataclasses.replace(record.spec, method=method),
        "people": dataclasses.replace(record.spec, requests=((bad,),)),
        "weights": dataclasses.replace(record.spec, weights={bad: "0"}),
        "caption": record.spec,
    }
    caption = bad if change == "caption" else ""
    instrument = dataclasses.replace(record.instrument, caption=caption)
    with pytest.raises(ValueError, match="which a terminal would not show") as caught:
        check_possible(dataclasses.replace(record, spec=forged[change], instrument=instrument))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("requests", [(), ((),), (("anna",), ())])
def test_a_trial_that_forgot_nobody_is_none(make_record, requests):
    record = make_record()
    with pytest.raises(ValueError, match="forgot nobody"):
        check_possible(dataclasses.replace(record, spec=dataclasses.replace(record.spec, requests=requests)))
