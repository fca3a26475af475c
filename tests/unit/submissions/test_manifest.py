"""`submission.json`: what it may say, and that nothing else is read."""

from __future__ import annotations

import json

import pytest

from guidebench.errors import BadInput
from guidebench.submissions.manifest import Submission, Tuning

FULL = Submission(
    form="attack",
    name="Ours",
    authors="A, B",
    link="https://example.org",
    tuning=Tuning(settings_tried=36, tuned_on="6 development people", words="grid"),
    attacks=("mine",),
    sources=("b.py", "a.py"),
    against={"k": "d"},
    environment={"device": ("cpu",)},
    files={"source/b.py": "1", "source/a.py": "2"},
)


def test_it_comes_back_as_it_was_written():
    assert Submission.from_json(FULL.to_json()) == FULL


def test_tuning_in_words():
    assert FULL.tuning.in_words == "36 settings tried on 6 development people; grid"
    assert Tuning().in_words == "" and Tuning(tuned_on="dev").in_words == "on dev"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "a\nb"),
        ("authors", "x" * 3000),
        ("link", "javascript:alert(1)"),
        ("link", "example.org"),
    ],
)
def test_what_a_page_could_not_show_is_refused(field, value):
    with pytest.raises(BadInput, match=field):
        Submission(**{"form": "method", "name": "A", field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("settings_tried", -1),
        ("tuned_on", "x" * 3000),
        ("tuned_on", "a\nb"),
        ("words", "x" * 3000),
        ("words", "\x1b[2J"),
    ],
)
def test_tuning_that_a_page_could_not_show_is_refused(field, value):
    with pytest.raises(BadInput, match=rf"^tuning\.{field} = .* is not allowed; give") as refused:
        Submission(form="method", name="A", tuning=Tuning(**{field: value}))
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2}, "update guidebench"),
        ({"form": "other"}, "form"),
        ({"files": {"source/b.py": "1"}}, "a.py"),
        ({"files": 3}, "cannot be read"),
        ({"name": None}, "name"),
    ],
)
def test_what_it_may_not_say_is_one_line(change, says):
    data = {**json.loads(FULL.to_json()), **change}
    with pytest.raises(BadInput, match=says) as refused:
        Submission.from_json(json.dumps(data).encode())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_what_is_none_is_one_line(text):
    with pytest.raises(BadInput, match="submission.json"):
        Submission.from_json(text)
