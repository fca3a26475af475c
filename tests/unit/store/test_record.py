"""A record of today: its key is a digest of its own fields, it survives its file, and damage is one clear line."""

import dataclasses
import json

import pytest

from guidebench import digest
from guidebench.chosen import ChosenAttack, ChosenMethod
from guidebench.evidence import DifferentPeople
from guidebench.metric import Score
from guidebench.protocol import Protocol
from guidebench.store.record import (
    SCHEMA,
    AttackRun,
    Attempt,
    Cost,
    Environment,
    Instrument,
    Judge,
    Outcome,
    Record,
    TrialSpec,
)

METHOD = ChosenMethod(
    spec="guide",
    name="guide",
    class_name="Guide",
    label="guide(lr=0.1)",
    fields={"lr": 0.1, "steps": 7, "kind": "mean"},
    source_digest="s",
    preset=True,
)
SPEC = TrialSpec(
    protocol=Protocol(name="p", version=1, title="P", source="celebahq", identities=2),
    method=METHOD,
    testbed="linear",
    weights={"generator": "g", "judge": "j"},
    manifest="m",
    requests=(("anna",),),
    seed=3,
)
SCORE = Score(metric="id", judge="plain", identity="anna", role="forget", after_request=1, value=0.25, n=11)
RECORD = Record(
    spec=SPEC,
    instrument=Instrument(
        testbed="linear",
        caption="made up",
        conventions="as corrected",
        features="128 numbers",
        real="",
        judges=(Judge(name="plain", different_people=DifferentPeople(0.0, 0.1)), Judge(name="second")),
    ),
    environment=Environment(
        device="cpu", versions={"python": "3.11"}, commit=None, created="2026-01-01T00:00:00+00:00"
    ),
    outcome=Outcome(
        status="measured",
        scores=(SCORE, dataclasses.replace(SCORE, metric="id_others", role="probe", value=None, reason="no face")),
        attempts=(Attempt(created="before", reason="lost"),),
    ),
    cost=Cost(
        seconds_unlearn=1.5,
        seconds_evaluate=0.5,
        seconds_total=2.0,
        steps=7,
        trainable=12,
        peak_memory_bytes=None,
        memory="not known",
    ),
)


def edited(path, value):
    """The text of RECORD with one place of its JSON changed."""
    data = json.loads(RECORD.to_json())
    *above, last = path
    place = data
    for name in above:
        place = place[name]
    place[last] = value
    return json.dumps(data)


def test_a_record_survives_its_file():
    assert Record.from_json(RECORD.to_json()) == RECORD
    failed = Record(
        spec=SPEC,
        instrument=RECORD.instrument,
        environment=RECORD.environment,
        outcome=Outcome(status="failed", reason="why"),
    )
    assert Record.from_json(failed.to_json()) == failed and not failed.is_measured


def test_the_file_says_its_schema_and_key_and_is_sorted():
    data = json.loads(RECORD.to_json())
    assert data["schema"] == SCHEMA == 4 and data["key"] == SPEC.key and len(SPEC.key) == 64
    assert list(data["spec"]) == sorted(data["spec"])


def test_the_key_depends_on_everything_that_decides_the_numbers():
    changed = {
        "protocol": dataclasses.replace(SPEC.protocol, samples=7),
        "method": dataclasses.replace(METHOD, fields={**METHOD.fields, "lr": 0.2}),
        "testbed": "mini",
        "testbed_code": "c",
        "weights": {"generator": "other", "judge": "j"},
        "manifest": "n",
        "requests": (("bert",),),
        "seed": 4,
        "inputs": {"file": "digest"},
        "precision": "tf32",
        "numerics": 99,
        "salt": 5,
        "one_by_one": True,
    }
    assert set(changed) == {field.name for field in dataclasses.fields(TrialSpec)}, "no field may be forgotten"
    keys = {dataclasses.replace(SPEC, **{name: value}).key for name, value in changed.items()}
    assert len(keys | {SPEC.key}) == len(changed) + 1
    for other in ({"source_digest": "t"}, {"name": "x"}, {"class_name": "X"}):
        assert dataclasses.replace(SPEC, method=dataclasses.replace(METHOD, **other)).key != SPEC.key
    for same in ({"label": "x"}, {"spec": "./x.py:X"}, {"preset": False}, {"floor": True}, {"training_seen": False}):
        assert dataclasses.replace(SPEC, method=dataclasses.replace(METHOD, **same)).key == SPEC.key
    for same in ({"identities": 4}, {"seeds": (1, 2)}, {"title": "x"}, {"summary": "x"}):
        assert dataclasses.replace(SPEC, protocol=dataclasses.replace(SPEC.protocol, **same)).key == SPEC.key


def test_one_request_for_two_people_is_another_trial_than_two_requests():
    together = dataclasses.replace(SPEC, requests=(("anna", "bert"),))
    one_by_one = dataclasses.replace(SPEC, requests=(("anna",), ("bert",)))
    assert together.key != one_by_one.key
    assert together.people == one_by_one.people == ("anna", "bert")
    assert together.group == "anna+1" and SPEC.group == "anna"


def sealed(data):
    """The text of a record with the digest of what it says."""
    content = {name: value for name, value in data.items() if name != "digest"}
    return json.dumps({**content, "digest": digest.of_data(content)})


def test_later_fields_are_passed_over_and_other_schemas_refused():
    assert Record.from_json(sealed(json.loads(edited(["later"], 1)))) == RECORD
    for text in (edited(["schema"], 99), edited(["schema"], 2), '{"schema": 2}'):
        with pytest.raises(ValueError, match=rf"schema (99|2) .* {SCHEMA}$"):
            Record.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null", "[" * 100_000, '{"schema": 4}', b"\xff\xfe"])
def test_what_is_not_a_record_is_one_clear_line(text):
    with pytest.raises(ValueError) as caught:
        Record.from_json(text)
    assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["outcome", "scores", 0, "value"], "0.5", "value"),
        (["outcome", "scores", 0, "n"], 1.5, "n"),
        (["outcome", "scores", 0, "role"], "stranger", "role"),
        (["outcome", "status"], "half", "status"),
        (["cost", "peak_memory_bytes"], "much", "peak_memory_bytes"),
        (["spec", "seed"], "zero", "seed"),
        (["spec", "protocol", "views"], 0, "views"),
        (["instrument", "judges"], {}, "judges"),
        (["environment", "versions", "python"], 3, "versions"),
    ],
)
def test_a_damaged_place_is_named(path, value, words):
    with pytest.raises(ValueError, match=words) as caught:
        Record.from_json(edited(path, value))
    assert "\n" not in str(caught.value)


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="nan"):
        dataclasses.replace(SCORE, value=float("nan"))
    with pytest.raises(ValueError):
        Record.from_json(RECORD.to_json().replace("0.25", "NaN"))


def test_a_record_whose_spec_was_edited_is_refused():
    for path, value in ((["spec", "seed"], 4), (["spec", "method", "fields", "lr"], 0.2), (["key"], "0" * 64)):
        with pytest.raises(ValueError, match="key"):
            Record.from_json(edited(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["outcome", "scores", 0, "value"], 0.26),
        (["outcome", "scores", 0, "n"], 12),
        (["outcome", "scores", 0, "identity"], "bert"),
        (["outcome", "scores", 1], json.loads(RECORD.to_json())["outcome"]["scores"][0]),
        (["outcome", "attempts"], []),
        (["spec", "method", "label"], "guide"),
        (["spec", "method", "floor"], True),
        (["instrument", "caption"], "real faces"),
        (["instrument", "judges", 0, "different_people", "mean"], 0.5),
        (["environment", "device"], "a GPU"),
        (["cost", "seconds_total"], 1.0),
        (["files"], {"evidence.npz": "0" * 64}),
        (["digest"], "0" * 64),
        (["digest"], ""),
        (["later"], 1),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, list) else "",
)
def test_whatever_is_edited_does_not_match_the_digest(path, value):
    with pytest.raises(ValueError, match="does not match its own digest") as caught:
        Record.from_json(edited(path, value))
    assert "\n" not in str(caught.value)


def test_the_layout_of_the_file_is_not_part_of_the_digest():
    assert Record.from_json(json.dumps(json.loads(RECORD.to_json()))) == RECORD
    assert json.loads(RECORD.to_json())["digest"] == RECORD.digest


@pytest.mark.parametrize("value", [1e-7, 1e16, 1e22, 5e-324, 0.1 + 0.2, 1 / 3, -0.0, 2.0**53, 25.0])
def test_numbers_of_any_size_keep_their_digest(value):
    score = dataclasses.replace(SCORE, metric="mine", value=value)
    record = dataclasses.replace(RECORD, outcome=Outcome(status="measured", scores=(score,)))
    assert Record.from_json(record.to_json()).digest == record.digest


def test_numbers_come_back_to_the_last_digit():
    value = 0.1 + 0.2
    record = dataclasses.replace(
        RECORD, outcome=Outcome(status="measured", scores=(dataclasses.replace(SCORE, value=value),))
    )
    assert Record.from_json(record.to_json()).outcome.scores[0].value == value


def test_fields_that_came_later_leave_the_keys_of_older_records_alone():
    """A record that was written before there were groups, named people and testbeds in files."""
    data = json.loads(RECORD.to_json())
    for name in ("forget", "requests", "retain_named"):
        del data["spec"]["protocol"][name]
    for name in ("inputs", "testbed_code"):
        del data["spec"][name]
    assert Record.from_json(sealed(data)) == RECORD
    for name, value in (("forget", 2), ("requests", 2), ("retain_named", 1)):
        protocol = dataclasses.replace(SPEC.protocol, **{name: value})
        assert dataclasses.replace(SPEC, protocol=protocol).key != SPEC.key


ATTACK = ChosenAttack(
    spec="mine",
    name="mine",
    class_name="Attack",
    label="mine(steps=3)",
    fields={"steps": 3, "parts": ("low",)},
    source_digest="s",
    knows="weights",
    unit="steps",
    shows_anybody=False,
)
MADE = AttackRun(attack=ATTACK, seconds=1.5, file="attacks/mine-0.npz")


def test_a_record_without_attacks_says_nothing_of_them_and_is_as_it_was():
    """As every version before attacks wrote it."""
    data = json.loads(RECORD.to_json())
    files = {"schema", "key", "digest", "spec", "instrument", "environment", "outcome", "cost", "files"}
    assert set(data) == files and RECORD.attack_files == ()
    assert Record.from_json(RECORD.to_json()).attacks == ()


def test_attacks_survive_the_file_and_change_the_digest_but_not_the_key():
    record = dataclasses.replace(RECORD, attacks=(MADE, AttackRun(attack=ATTACK, seconds=0.5, reason="it raised")))
    back = Record.from_json(record.to_json())
    assert [(run.file, run.reason, run.seconds) for run in back.attacks] == [
        ("attacks/mine-0.npz", None, 1.5),
        ("", "it raised", 0.5),
    ]
    assert back.attack_files == ("attacks/mine-0.npz",) and back.digest == record.digest != RECORD.digest
    assert back.key == RECORD.key and back.to_json() == record.to_json()


def test_what_is_lacking_is_what_was_not_made_like_this_or_failed():
    record = Record.from_json(dataclasses.replace(RECORD, attacks=(MADE,)).to_json())
    assert record.lacks([ATTACK]) == () and RECORD.lacks([ATTACK]) == (ATTACK,)
    assert record.lacks([dataclasses.replace(ATTACK, label="another", spec="elsewhere")]) == ()
    for changes in ({"name": "other"}, {"fields": {"steps": 4, "parts": ("low",)}}, {"source_digest": "t"}):
        other = dataclasses.replace(ATTACK, **changes)
        assert record.lacks([ATTACK, other]) == (other,)
    failed = dataclasses.replace(RECORD, attacks=(AttackRun(attack=ATTACK, seconds=1.0, reason="it raised"),))
    assert failed.lacks([ATTACK]) == (ATTACK,)


def test_what_failed_is_told_from_what_does_not_apply():
    anybody = dataclasses.replace(ATTACK, label="anybody", shows_anybody=True)
    runs = (
        MADE,
        AttackRun(attack=dataclasses.replace(ATTACK, label="raised"), seconds=1.0, reason="it raised"),
        AttackRun(attack=anybody, seconds=1.0, reason="it raised, too"),
        AttackRun(attack=ATTACK, seconds=0.0, reason="one view", applies=False),
    )
    record = dataclasses.replace(RECORD, attacks=runs)
    assert [run.failed for run in runs] == [False, True, True, False]
    assert record.failed_attacks == {"raised": "it raised"}, "the worst case has no place for the others"
    nothing = dataclasses.replace(RECORD, attacks=runs[3:])
    assert nothing.lacks([ATTACK]) == (), "there is nothing to try again"
