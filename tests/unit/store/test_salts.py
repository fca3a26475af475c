"""The salt of a results directory: drawn once, kept, named, or begun anew."""

from __future__ import annotations

import pytest

from guidebench.errors import BadInput
from guidebench.store import salts
from guidebench.store.salts import checked, current, salt_for


@pytest.fixture
def drawn(monkeypatch):
    numbers = iter((11, 22, 33))
    monkeypatch.setattr(salts, "draw", lambda: next(numbers))


def test_a_directory_keeps_the_salt_that_was_drawn_first(tmp_path, drawn):
    out = tmp_path / "runs"
    assert current(out) is None
    assert [salt_for(out, None) for _ in range(3)] == [11] * 3
    assert (out / "salt").read_text() == "11\n" and [path.name for path in out.iterdir()] == ["salt"]


def test_a_salt_that_is_given_becomes_the_directorys_only_if_it_has_none(tmp_path, drawn):
    assert salt_for(tmp_path / "fresh", 5) == salt_for(tmp_path / "fresh", None) == 5
    assert salt_for(tmp_path / "used", None) == 11
    assert salt_for(tmp_path / "used", 6) == 6 and salt_for(tmp_path / "used", None) == 11
    assert salt_for(tmp_path / "used", "new") == 22 == salt_for(tmp_path / "used", None)


@pytest.mark.parametrize("content", ["", "pepper", "-3", str(2**32)])
def test_a_file_that_holds_no_salt_is_said(tmp_path, content, says):
    (tmp_path / "salt").write_text(content)
    with pytest.raises(BadInput, match=says(str(tmp_path / "salt"), "--salt")):
        salt_for(tmp_path, None)
    assert salt_for(tmp_path, "new") == 0  # as the tests draw it


def test_what_may_be_asked_for():
    assert [checked(asked) for asked in (None, "new", 7, "7", 2**32 - 1)] == [None, "new", 7, 7, 2**32 - 1]
    for wrong in (-1, 2**32, "old", 1.5, True, ""):
        with pytest.raises(BadInput, match="salt"):
            checked(wrong)
