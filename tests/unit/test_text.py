"""Tables and quantities as text; their docstrings hold the plain cases."""

from __future__ import annotations

import itertools

import pytest

from guidebench.text import aligned, brief, bytes_in_words, in_words, markdown_table, one_line


@pytest.mark.parametrize(("left", "rule"), [(0, "|---:|---:|"), (1, "|---|---:|"), (2, "|---|---|"), (9, "|---|---|")])
def test_the_first_columns_are_left_aligned(left, rule):
    assert markdown_table(["a", "b"], [["1", "2"]], left=left).splitlines() == ["| a | b |", rule, "| 1 | 2 |"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<0.05", "&lt;0.05"),
        ("in_domain", r"in\_domain"),
        ("**0.1**", "**0.1**"),
        ("`a_<b>|c` and d_e", r"`a_<b>\|c` and d\_e"),  # GitHub reads \| in a table even within code
        ("https://example.org/a_b and c_d", r"https://example.org/a_b and c\_d"),
        ("", ""),
    ],
)
def test_only_what_would_break_or_vanish_is_escaped(cell, shown):
    assert markdown_table([cell], [[cell]]).splitlines() == [f"| {shown} |", "|---|", f"| {shown} |"]


def test_a_table_without_rows_is_its_heads():
    assert markdown_table(["a", "b"], []) == "| a | b |\n|---|---:|"


def test_aligned_lines_end_without_spaces():
    assert aligned([["a", "long"], ["longer", ""]], gap=1) == ["a      long", "longer"]
    assert aligned([]) == []


def test_rows_of_different_lengths_are_refused():
    with pytest.raises(ValueError):
        aligned([["a", "b"], ["c"]])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (5999, "100 min"),
        (6000, "1.7 h"),
    ],
)
def test_durations_change_their_unit_where_two_digits_end(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (41_271, "41.3 kB"), (1_500_000, "1.5 MB"), (80e9, "80 GB")],
)
def test_bytes_have_decimal_units(size, words):
    assert bytes_in_words(size) == words


def test_columns_of_numbers_are_aligned_right():
    assert aligned([["a", "n"], ["bcd", "10"]], left=1) == ["a     n", "bcd  10"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\r", r"two\x0alines\x0d"),
        ("\x1b[2Jcleared\x9b", r"\x1b[2Jcleared\x9b"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("\ud800 \udcff", r"\ud800 \xff"),
        ("café 漢 ΔFID \u202f", "café 漢 ΔFID \u202f"),
    ],
)
def test_one_line_escapes_what_a_terminal_would_act_on(text, shown):
    assert one_line(text) == shown


def test_one_line_keeps_both_ends_of_a_long_text():
    line = one_line("start" + "x" * 3_000_000 + "end")
    assert len(line) < 5000 and line.startswith("startxxx") and line.endswith("xxxend")


def folded(layers: int) -> list:
    """A list that holds the one below twice, and so on: few objects, 2 ** layers leaves."""
    value: list = [1]
    for _ in range(layers):
        value = [value, value]
    return value


def endless() -> list:
    value: list = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (folded(60), "[[…], […]]"),
        (endless(), "[[…]]"),
        ({"a": folded(60), "b": (1,)}, "{'a': […], 'b': (…)}"),
        ((1,), "(1,)"),
        (range, "a type"),
        (10**80, "an int"),
        (b"\x1b" * 100, repr(b"\x1b" * 60) + "…"),
        (list(range(100)), "[0, 1, 2, 3, …]"),
        (dict(zip("abcdef", itertools.repeat(None))), "{'a': None, 'b': None, 'c': None, 'd': None, …}"),
    ],
)
def test_what_a_file_holds_is_shown_briefly_however_large_it_is(value, shown):
    assert brief(value) == shown
