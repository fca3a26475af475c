"""What all formats share: marks, coverage, titles, labels."""

from __future__ import annotations

import pytest

from guidebench.evidence import DifferentPeople
from guidebench.reporting.formats import cells
from guidebench.reporting.model import Cell, Column, Contrast, Group, Row, Table
from guidebench.reporting.statistics import Paired, Summary

GROUP = Group("ffhq", "FFHQ")
DIFFERENCE = Paired(mean=-0.1, std=0.1, low=-0.2, high=-0.05, n=9, wins=9, missing=0)


def column(judge="alpha", **changes):
    own = {"title": "ID", "latex": "ID", "direction": "lower", "digits": 2}
    return Column(group=GROUP, metric="id", judge=judge, **own, **changes)


def table(*columns, detailed=()):
    return Table("T", columns, (), frozenset(detailed))


def summary(n, groups):
    return Summary(mean=0.5, std=0.1, low=0.25, high=0.75, n=n, groups=groups, missing=groups - n, scores=groups)


def test_a_significant_difference_is_marked_only_where_no_interval_shows_it():
    separated = Cell(summary(9, 9), contrast=Contrast(DIFFERENCE, adjusted=0.01, attainable=0.001))
    assert cells.mark(separated, column(), table(column())) == "†"
    assert cells.intervals(separated, column(), table(column())) == []
    detailed = table(column(), detailed=[GROUP])
    assert cells.mark(separated, column(), detailed) == "" and len(cells.intervals(separated, column(), detailed)) == 1
    same = Cell(summary(9, 9), contrast=Contrast(DIFFERENCE, adjusted=0.2, attainable=0.001))
    assert cells.mark(same, column(), table(column())) == cells.mark(Cell(), column(), table(column())) == ""


def test_coverage_is_said_where_somebody_has_no_value():
    assert cells.coverage(summary(2, 3)) == "2 of 3"
    assert cells.coverage(summary(3, 3)) == cells.coverage(None) == ""


def test_a_title_names_the_judge_where_there_are_several():
    one, two = table(column("alpha"), column(None)), table(column("alpha"), column("beta"))
    assert cells.title(column(), cells.judge_count(one)) == "ID ↓"
    assert cells.title(column(), cells.judge_count(two)) == "ID (alpha) ↓"


def test_different_people_are_shown_with_the_digits_of_the_column():
    known = column(different_people=DifferentPeople(0.1, 0.156))
    assert cells.different_people(known) == "0.10 ± 0.16" and cells.different_people(column()) == ""
    assert cells.has_different_people(table(known, column())) and not cells.has_different_people(table(column()))


@pytest.mark.parametrize(
    ("mark", "notes", "label", "with_notes"),
    [
        ("", (), "guide", "guide"),
        ("floor", (), "guide (floor)", "guide (floor)"),
        ("floor", ("no preset",), "guide (floor)", "guide (floor; no preset)"),
    ],
)
def test_labels_hold_the_mark_and_the_notes(mark, notes, label, with_notes):
    row = Row("guide", "guide", "guide", mark, 0, notes, ())
    assert (cells.label(row), cells.label_and_notes(row)) == (label, with_notes)
