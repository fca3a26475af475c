"""One line of `guidebench check`, whatever a plug-in does."""

import pytest

from guidebench.checks.finding import Finding, guarded


def test_no_complaint_is_good_and_a_complaint_is_not():
    assert guarded("saves", "saved", lambda: None) == Finding("saves", True, "saved")
    assert guarded("saves", "saved", lambda: "cannot be saved") == Finding("saves", False, "cannot be saved")


def test_what_a_plug_in_raises_is_a_finding_of_one_line():
    def complain():
        raise ValueError("two\nlines")

    found = guarded("saves", "saved", complain)
    assert not found.ok and found.detail == "it raised ValueError: two lines"


def test_ctrl_c_is_not_a_finding():
    def complain():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded("saves", "saved", complain)
