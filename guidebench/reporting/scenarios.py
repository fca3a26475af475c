"""Tables of trials that forget several people: by how many are forgotten at once, and request by request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from guidebench.reporting import statistics
from guidebench.reporting.grid import Grid
from guidebench.reporting.marks import marks_of
from guidebench.reporting.model import Column, Group, Matrix
from guidebench.reporting.selection import Variant, by_variant, groups_of, judges_of, primary_of
from guidebench.reporting.sketches import IMAGE_DIGITS, Sketch, column_of, cost_columns, is_unknown
from guidebench.reporting.statistics import Summary

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.protocol import Protocol
    from guidebench.store.record import Record

SHOWN = ("recognised", "recognised_others", "id", "id_others", "relapse", "id_retain", "id_named", "id_lookalike")
OF_IMAGES = ("fid_pre", "delta_fid_real")
COST = "seconds_unlearn"
DIGITS = 2
MATRIX = "id"


def _protocols(records: Sequence[Record]) -> dict[str, Protocol]:
    return {record.spec.protocol.name: record.spec.protocol for record in records}


def people_in_words(count: int) -> str:
    """How many people.

    >>> people_in_words(1), people_in_words(20)
    ('1 person', '20 people')
    """
    return "1 person" if count == 1 else f"{count} people"


def by_people(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric]) -> list[Sketch]:
    """Per metric a table of methods by how many people one request forgets; last, what that took."""
    protocols = sorted(_protocols(records).values(), key=lambda known: (known.source, known.people, known.name))
    counts = [known.people for known in protocols]
    groups = [
        Group(known.name, people_in_words(known.people) + f" ({known.name})" * (counts.count(known.people) > 1))
        for known in protocols
    ]
    sketches = []
    for name in (*SHOWN, *OF_IMAGES, COST):
        columns = [column for group in groups for column in _columns(group, name, records, grid, metrics)]
        if columns:
            sketches.append(Sketch(_titled(columns[0]), tuple(columns), tuple(grid.variants), records, "groups"))
    return sketches


def _columns(
    group: Group, name: str, records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric]
) -> list[Column]:
    """The column of a metric under a protocol and the first judge; none if nobody has a score there."""
    own = [record for record in records if record.spec.protocol.name == group.protocol]
    frame = grid.frame[grid.frame["protocol"] == group.protocol]
    if name == COST:
        return [column for column in cost_columns(group, frame) if column.metric == COST]
    if name not in metrics or not (frame["metric"] == name).any():
        return []
    judge = judges_of(records)[0] if metrics[name].judged else None
    if is_unknown(metrics[name], grid.frame, group, judge):
        return []
    digits = DIGITS if judge else min(DIGITS, IMAGE_DIGITS)
    return [column_of(group, name, judge, own, metrics, primary_of(own), digits=digits)]


def _titled(column: Column) -> str:
    judge = f", judge {column.judge}" if column.judge else ""
    return f"{column.title} {column.arrow}".rstrip() + judge


def by_request(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric]) -> list[Sketch]:
    """Per protocol and metric a table of methods by the request after which it was measured.

    Means are over everybody forgotten so far, or everybody who must survive. Only the last request is tested.
    """
    sketches = []
    for group in groups_of(records):
        own = [record for record in records if record.spec.protocol.name == group.protocol]
        there = {Variant.of(record) for record in own}
        variants = tuple(variant for variant in grid.variants if variant in there)
        last = own[0].spec.protocol.requests
        for name in (*SHOWN, *OF_IMAGES):
            for column in _columns(group, name, own, grid, metrics):
                curve = [
                    replace(column, request=request, tested=column.tested and request == last)
                    for request in range(1, last + 1)
                ]
                scored = tuple(one for one in curve if any(grid.summary(variant, one) for variant in variants))
                if scored:
                    title = f"{group.title}: {_titled(column)}"
                    sketches.append(Sketch(title, scored, variants, own, "requests"))
    return sketches


def matrices(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric]) -> list[Matrix]:
    """ID of the people of each request after each request, of every row, averaged as everything else.

    A row of a matrix holds the people whom one request forgot; its first value is that directly after.
    """
    found = []
    for group in groups_of(records):
        own = [record for record in records if record.spec.protocol.name == group.protocol]
        numbers = range(1, own[0].spec.protocol.requests + 1)
        for column in _columns(group, MATRIX, own, grid, metrics):
            for variant, mine in by_variant(own).items():
                cells = _matrix(grid, variant, column, mine, numbers)
                if any(cell for row in cells for cell in row):
                    title = grid.title(variant) + "".join(f" ({mark})" for mark in marks_of(mine))
                    found.append(Matrix(column, grid.labels[variant], title, cells))
    return found


def _matrix(
    grid: Grid, variant: Variant, column: Column, records: Sequence[Record], numbers: Sequence[int]
) -> tuple[tuple[Summary | None, ...], ...]:
    """records: the row's, under the column's protocol. numbers: of the requests."""
    request_of = {
        (record.key, person): number
        for record in records
        for number, people in enumerate(record.spec.requests, start=1)
        for person in people
    }

    def cell(named: int, after: int) -> Summary | None:
        scores = grid.scores(variant, replace(column, request=after))
        whose = zip(scores["key"], scores["identity"], strict=True)
        return statistics.summarise(scores[[request_of.get(place) == named for place in whose]])

    return tuple(tuple(cell(named, after) for after in numbers) for named in numbers)
