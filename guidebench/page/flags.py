"""What makes a row of the page unreliable, in words: faces lost, judges that disagree, training that nobody saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from guidebench.reporting.diagnostics.reliability import resolvable
from guidebench.reporting.differences import number
from guidebench.reporting.model import Cell, Column, Row
from guidebench.reporting.statistics import Summary

FEWEST = 3  # people from which a difference is compared with what they resolve, as intervals are shown
LOST = 0.1  # share of pairs without a face from which a mean says little about the others


@dataclass(frozen=True)
class Flag:
    """A reason for doubt."""

    kind: str  # as on the page
    text: str  # a sentence
    columns: tuple[Column, ...] = ()  # which of the row's values it is about; none: all


def flags_of(row: Row, cells: Mapping[Column, Cell], against: str | None) -> list[Flag]:
    """A row's reasons for doubt. cells: the row's, by column. against: the row that it is compared with."""
    return [*_lost(cells), *_disagreements(cells, against), *_unseen(row)]


def _lost(cells: Mapping[Column, Cell]) -> list[Flag]:
    """Judged means over few faces: `LOST` of the pairs without one, or people without a value."""
    found = {
        column: text
        for column, cell in cells.items()
        if column.judge and cell.summary and (text := _lost_in_words(cell.summary))
    }
    return [
        Flag("faces lost", f"{column.title} ({column.judge}): {text}.", (column,)) for column, text in found.items()
    ]


def _lost_in_words(summary: Summary) -> str:
    lost = summary.lost_before + summary.lost_after
    parts = []
    if lost and lost >= LOST * (summary.pairs + lost):
        parts.append(
            f"no face in {lost} of {summary.pairs + lost} pairs, {summary.lost_before} of them before unlearning"
        )
    if summary.n < summary.groups and lost:
        parts.append(f"no value for {summary.groups - summary.n} of {summary.groups}")
    return "; ".join(parts)


def _disagreements(cells: Mapping[Column, Cell], against: str | None) -> list[Flag]:
    """Metrics on which two judges answer differently whether a row is better than the reference, and not by chance.

    Their differences to the reference are further apart than they resolve, and one judge resolves its own where the
    other does not, or sees the opposite. Resolved is what as many people as were compared find with 80 % power, see
    `guidebench.reporting.diagnostics.reliability.resolvable`; of two judges the coarser one counts.
    """
    judged: dict[str, list[Column]] = {}
    for column, cell in cells.items():
        if column.judge and _resolution(cell) is not None:
            judged.setdefault(column.metric, []).append(column)
    return [
        Flag("judges disagree", _disagreement(one, other, cells, against), (one, other))
        for columns in judged.values()
        for one, other in combinations(columns, 2)
        if _side(cells[one]) != _side(cells[other])
        and abs(_difference(cells[one]) - _difference(cells[other]))
        > max(_resolution(cells[one]) or 0.0, _resolution(cells[other]) or 0.0)
    ]


def _side(cell: Cell) -> int:
    """On which side of the reference a judge sees a row: -1 or 1; 0 if it does not resolve that."""
    difference = _difference(cell)
    return 0 if abs(difference) <= (_resolution(cell) or 0.0) else 1 if difference > 0 else -1


def _difference(cell: Cell) -> float:
    assert cell.contrast is not None and cell.contrast.difference.mean is not None
    return cell.contrast.difference.mean


def _resolution(cell: Cell) -> float | None:
    """The smallest difference to the reference that the people of a cell resolve; None: it is not compared."""
    found = cell.contrast.difference if cell.contrast else None
    if found is None or found.mean is None or found.std is None or found.n < FEWEST:
        return None
    return resolvable(found.n) * found.std


def _disagreement(one: Column, other: Column, cells: Mapping[Column, Cell], against: str | None) -> str:
    said = " and ".join(
        f"{number(_difference(cells[column]), column.digits)} ({column.judge})" for column in (one, other)
    )
    resolved = max(_resolution(cells[column]) or 0.0 for column in (one, other))
    return f"{one.title}: the difference to {against} is {said}; resolved is {number(resolved, one.digits)}."


def _unseen(row: Row) -> list[Flag]:
    if seen(row):
        return []
    return [Flag("training not seen", "Other code unlearned these generators: what it used is not known.")]


def seen(row: Row) -> bool:
    """Whether guidebench ran the training of a row."""
    return all(record.spec.method.training_seen for record in row.records)


def kinds(flags: Iterable[Flag]) -> Sequence[str]:
    """What is doubtful, each once."""
    return list(dict.fromkeys(flag.kind for flag in flags))
