"""Lines of what was checked."""

from guidebench.submissions.check import Check, counted, each_differs, listed


def test_many_differences_are_counted_after_the_first():
    assert each_differs("a", []) == []
    assert each_differs("a", ["x", "y"]) == [Check("a", "differs", "x"), Check("a", "differs", "y")]
    assert [check.says for check in each_differs("a", list("abcdefgh"))] == [*"abcde", "and 3 more"]


def test_numbers_and_names_in_words():
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"
    assert (counted(1, "row"), counted(2000, "row")) == ("1 row", "2,000 rows")
