"""Which differences are tested together: p values by sign flips, corrected by Holm, one family per protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guidebench.reporting import statistics
from guidebench.reporting.model import Column, Contrast, Family
from guidebench.reporting.statistics import Paired

Place = tuple[str, Column]  # of a cell: the label of its row, and its column


def contrasts(
    differences: Mapping[Place, Paired], compared: Sequence[Place], judges: Sequence[str], *, wilcoxon: bool
) -> tuple[dict[Place, Contrast], list[Family]]:
    """Every difference to the reference row, with p values where it is tested, and what is tested together.

    differences: by place, where there is something to compare. compared: all places of the rows that are compared,
    without the reference and floors. Differences are tested in the primary columns under the first of ``judges`` and in
    those without one. A family has rows × columns members, without columns in which nothing can be compared; a member
    that cannot be tested, because nothing was measured or no group is shared, counts with p = 1.
    """
    found = {place: Contrast(difference) for place, difference in differences.items()}
    families = []
    for group in dict.fromkeys(column.group for _, column in compared):
        own = [(label, column) for label, column in compared if column.group == group]
        labels = tuple(dict.fromkeys(label for label, _ in own))
        columns = tuple(
            column
            for column in dict.fromkeys(column for _, column in own)
            if _is_testable(column, judges) and any(_is_paired(differences.get((label, column))) for label in labels)
        )
        if columns:
            judge = next((column.judge for column in columns if column.judge), None)
            families.append(Family(group, judge, tuple(column.title for column in columns), labels))
            members = {(label, column): differences.get((label, column)) for label in labels for column in columns}
            found |= _tested(members, wilcoxon=wilcoxon)
    return found, families


def _is_testable(column: Column, judges: Sequence[str]) -> bool:
    return column.tested and column.direction != "none" and column.judge in (None, *judges[:1])


def _is_paired(difference: Paired | None) -> bool:
    return difference is not None and difference.n > 0


def _tested(members: Mapping[Place, Paired | None], *, wilcoxon: bool) -> dict[Place, Contrast]:
    """One family with raw, adjusted and attainable p values."""
    values = [list(item.values.values()) if item else [] for item in members.values()]
    flips = [statistics.sign_flip(own) if own else None for own in values]
    ranks = [statistics.wilcoxon(own) if wilcoxon else None for own in values]
    adjusted = statistics.holm([flip.p if flip else 1.0 for flip in flips])
    attainable = statistics.holm([statistics.smallest_p(len(own)) for own in values])
    return {
        place: Contrast(
            item,
            family=len(members),
            p=flip.p if flip else None,
            exact=flip.exact if flip else True,
            adjusted=own if flip else None,
            attainable=least,
            wilcoxon=rank.p if rank else None,
        )
        for (place, item), flip, rank, own, least in zip(
            members.items(), flips, ranks, adjusted, attainable, strict=True
        )
        if item
    }
