"""Which differences are tested together: p values by sign flips, corrected by Holm, a family a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guidebench.reporting import statistics
from guidebench.reporting.model import Cell, Column, Contrast, Family, Row, Table


def with_tests(
    tables: Sequence[Table], judges: Sequence[str], against: str | None, *, wilcoxon: bool
) -> tuple[list[Table], list[Family]]:
    """Adds p values to the contrasts under the first judge and in the columns without one, a family a protocol.

    A family has (methods - 1) × metric columns members, columns in which nothing can be compared aside. A member that
    cannot be tested, because nothing was measured or no identity is shared, counts with p = 1.
    """
    places = [
        ((number, row.label, column), row, cell)
        for number, table in enumerate(tables)
        for row, column, cell in table.placed()
    ]
    families: list[Family] = []
    tested: dict[tuple[int, str, Column], Contrast | None] = {}
    for group in dict.fromkeys(group for table in tables for group in table.groups):
        own = [(place, row, cell) for place, row, cell in places if place[2].group == group]
        labels = dict.fromkeys(row.label for _, row, cell in own if cell.summary and not row.mark)
        labels.pop(against or "", None)
        family = {
            place: cell.contrast
            for place, row, cell in own
            if row.label in labels and place[2].direction != "none" and place[2].judge in (None, *judges[:1])
        }
        columns = dict.fromkeys(
            column for (_, _, column), contrast in family.items() if contrast and contrast.difference.n
        )
        family = {place: contrast for place, contrast in family.items() if place[2] in columns}
        if not family:
            continue
        judge = next((column.judge for column in columns if column.judge), None)
        families.append(Family(group, judge, tuple(column.title for column in columns), tuple(labels)))
        tested |= dict(zip(family, _tested(list(family.values()), wilcoxon=wilcoxon), strict=True))

    def cells(number: int, row: Row, columns: Sequence[Column]) -> tuple[Cell, ...]:
        return tuple(
            replace(cell, contrast=tested.get((number, row.label, column), cell.contrast))
            for column, cell in zip(columns, row.cells, strict=True)
        )

    return [
        replace(table, rows=tuple(replace(row, cells=cells(number, row, table.columns)) for row in table.rows))
        for number, table in enumerate(tables)
    ], families


def _tested(contrasts: Sequence[Contrast | None], *, wilcoxon: bool) -> list[Contrast | None]:
    """One family with raw, adjusted and attainable p values."""
    values = [list(item.difference.values.values()) if item else [] for item in contrasts]
    flips = [statistics.sign_flip(own) if own else None for own in values]
    ranks = [statistics.wilcoxon(own) if wilcoxon else None for own in values]
    adjusted = statistics.holm([flip.p if flip else 1.0 for flip in flips])
    attainable = statistics.holm([statistics.smallest_p(len(own)) for own in values])
    return [
        item
        and replace(
            item,
            family=len(contrasts),
            p=flip.p if flip else None,
            exact=flip.exact if flip else True,
            adjusted=own if flip else None,
            attainable=least,
            wilcoxon=rank.p if rank else None,
        )
        for item, flip, rank, own, least in zip(contrasts, flips, ranks, adjusted, attainable, strict=True)
    ]
