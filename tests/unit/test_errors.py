"""Errors are one line each that says what happened, and the exit code that goes with it."""

import pytest

from guidebench import errors
from guidebench.errors import in_one_line, unknown_name


def test_exit_codes_tell_bad_input_from_a_failed_trial():
    codes = {"BadInput": 2, "MissingAsset": 2, "StorageError": 2, "MethodError": 1, "GuidebenchError": 2}
    assert {name: getattr(errors, name).exit_code for name in codes} == codes
    assert all(issubclass(getattr(errors, name), errors.GuidebenchError) for name in codes)


def test_an_unknown_name_gets_the_closest_one_and_the_command_that_lists_all():
    found = str(unknown_name("method", "gide", ["nothing", "guide"], command="guidebench list methods"))
    assert found == "unknown method 'gide'; did you mean 'guide'? `guidebench list methods` shows all 2"


def test_names_that_no_command_lists_are_in_the_message():
    found = str(unknown_name("layout", None, ["short", "full"], command=None))
    assert found == "unknown layout 'None'; there are full, short"


@pytest.mark.parametrize("known", [[], ["something", "else"]])
def test_where_nothing_is_close_nothing_is_suggested(known):
    found = str(unknown_name("method", "xyz", known, command="guidebench list methods"))
    assert "did you mean" not in found and f"shows all {len(known)}" in found


def test_line_breaks_of_other_peoples_messages_are_taken_out():
    assert in_one_line(KeyError("a\n   b")) == "KeyError: 'a\\n b'"
    assert in_one_line(ValueError(" a \n\n b ")) == "ValueError: a b"


def test_what_cannot_be_written_as_text_is_escaped():
    text = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    assert str(errors.MethodError(text)) == r"caf\xe9.png"
    assert in_one_line(ValueError(text)) == r"ValueError: caf\xe9.png"
    assert str(errors.BadInput("café 漢")) == "café 漢"


def test_no_message_clears_the_screen_or_forges_a_line():
    forged = "x.pkl has unknown \x1b[2J\nguidebench: all is well"
    assert str(errors.BadInput(forged)) == r"x.pkl has unknown \x1b[2J\x0aguidebench: all is well"
    assert "\x1b" not in in_one_line(ValueError(forged))
    assert len(str(errors.BadInput("x" * 3_000_000))) < 5000
