"""The parts of a report: what they say of themselves."""

from __future__ import annotations

import pytest

from guidebench.reporting.model import COMPACT, Column, Contrast, Group, Report, Table
from guidebench.reporting.statistics import ALPHA, Paired

NO_DIFFERENCE = Paired(mean=0.0, std=None, low=None, high=None, n=1, wins=0, missing=0)


def column(group: Group, direction: str = "lower") -> Column:
    return Column(group=group, metric="id", judge=None, title="ID", latex="ID", direction=direction, digits=2)


@pytest.mark.parametrize(("direction", "arrow"), [("lower", "↓"), ("higher", "↑"), ("none", "")])
def test_an_arrow_shows_which_way_is_better(direction, arrow):
    assert column(Group("ffhq", "FFHQ"), direction).arrow == arrow


@pytest.mark.parametrize(
    ("adjusted", "attainable", "separated", "too_small"),
    [
        (0.01, 0.001, True, False),
        (ALPHA, 0.001, False, False),  # below, not at
        (0.01, 0.2, False, True),  # so few people cannot separate anything, whatever p is
        (None, None, False, False),  # not tested
    ],
)
def test_methods_are_separated_by_an_adjusted_p_that_their_number_could_reach(
    adjusted, attainable, separated, too_small
):
    contrast = Contrast(NO_DIFFERENCE, adjusted=adjusted, attainable=attainable)
    assert (contrast.separated, contrast.too_small) == (separated, too_small)


def test_a_table_names_its_protocols_once_in_the_order_of_columns():
    first, second = Group("ffhq", "FFHQ"), Group("celebahq", "CelebAHQ")
    table = Table("T", (column(first), column(first), column(second)), (), frozenset())
    assert table.groups == [first, second] and list(table.placed()) == []


@pytest.mark.parametrize("kind", ["paper", "full", "compare", "brief", "short"])
def test_compact_are_the_tables_of_80_characters(kind):
    assert Report(kind, kind, "mini", "corrected", "", (), None, ()).is_compact == (kind in COMPACT)
