"""Which tables a report has, with which rows and columns, before any cell is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from guidebench.errors import unknown_name
from guidebench.reporting import footnotes, statistics
from guidebench.reporting.choice import INSTEAD, PLAIN, Choice
from guidebench.reporting.grid import COSTS, Grid
from guidebench.reporting.model import Across, Column, Group
from guidebench.reporting.selection import Variant, by_variant, groups_of, judges_of, primary_of

if TYPE_CHECKING:
    import pandas as pd

    from guidebench.metric import Metric
    from guidebench.store.record import Record

IMAGE_DIGITS = 2  # decimals of metrics without a judge: one more than repeats on another machine


@dataclass(frozen=True)
class Sketch:
    """A table before its cells are known."""

    title: str
    columns: tuple[Column, ...]
    variants: tuple[Variant, ...]  # its rows
    records: Sequence[Record]  # that it is made of
    across: Across = "metrics"


def paper(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric], choice: Choice) -> Sketch:
    """A table of the paper: a column per judge, or in a compact table under the first one only."""
    table = choice.table
    assert table is not None
    present = {group.protocol: group for group in groups_of(records)}
    columns = []
    for group in (present[name] for name in table.protocols if name in present):
        own = [record for record in records if record.spec.protocol.name == group.protocol]
        primary = primary_of(own)
        for name in table.metrics:
            if name not in metrics:
                raise unknown_name("metric", name, metrics, command="guidebench list metrics")
            if choice.is_compact and name == "id_others" and not own[0].spec.protocol.probe_photos:
                continue
            judges: list[str | None] = [*judges_of(records)] if metrics[name].judged else [None]
            judges = [judge for judge in judges if not is_unknown(metrics[name], grid.frame, group, judge)]
            for judge in judges[:1] if choice.is_compact else judges:
                digits = table.digits if judge else min(table.digits, IMAGE_DIGITS)
                column = column_of(group, name, judge, own, metrics, primary, digits=digits)
                columns.append(_in_short(column, choice) if choice.is_compact else column)
    if choice.kind == "brief" and any(column.metric == "recognised" for column in columns):
        columns = [column for column in columns if column.metric != INSTEAD]  # six would leave labels no room
    return Sketch(table.title, tuple(columns), tuple(grid.variants), records)


def _in_short(column: Column, choice: Choice) -> Column:
    """A column of a compact table: a decimal less for images."""
    digits = column.digits if column.judge else max(0, column.digits - 1)
    tested = column.tested and (choice.tested is None or column.metric in choice.tested)
    column = replace(column, digits=digits, tested=tested)
    if choice.kind == "brief":
        return column
    return replace(column, title=PLAIN[column.metric], latex=PLAIN[column.metric])


def full(records: Sequence[Record], grid: Grid, metrics: Mapping[str, Metric]) -> list[Sketch]:
    """Per protocol: a table per judge with all its metrics, then one of image quality and cost."""
    sketches = []
    for group in groups_of(records):
        own = [record for record in records if record.spec.protocol.name == group.protocol]
        there, primary = by_variant(own), primary_of(own)
        variants = tuple(variant for variant in grid.variants if variant in there)
        frame = grid.frame[grid.frame["protocol"] == group.protocol]
        for judge in (*judges_of(own), None):
            found = frame["judge"].isna() if judge is None else frame["judge"] == judge
            present = set(frame.loc[found & frame["metric"].notna(), "metric"])
            names = [name for name in metrics if name in present] + sorted(present - set(metrics))
            names = [name for name in names if not is_unknown(metrics.get(name), grid.frame, group, judge)]
            columns = [
                column_of(group, name, judge, own, metrics, primary, digits=IMAGE_DIGITS if judge is None else 3)
                for name in names
            ]
            if judge is None:
                columns += cost_columns(group, frame)
            if columns:
                title = f"{group.title}: {f'judge {judge}' if judge else 'images and cost'}"
                sketches.append(Sketch(title, tuple(columns), variants, own))
    return sketches


def is_unknown(metric: Metric | None, frame: pd.DataFrame, group: Group, judge: str | None) -> bool:
    """Whether a column would hold nothing, because the judge has no threshold; a footnote says so instead."""
    if metric is None or not metric.counted:
        return False
    own = statistics.select(frame[frame["protocol"] == group.protocol], metric.name, judge)
    return not own["value"].notna().any()


def cost_columns(group: Group, frame: pd.DataFrame) -> list[Column]:
    """A column for every cost that any trial of a frame knows."""
    there = [name for name in COSTS if name in frame.columns and frame[name].notna().any()]
    return [
        Column(group, name, None, COSTS[name].title, COSTS[name].title, "none", COSTS[name].digits, independent=False)
        for name in there  # a machine's load is not a sample of anything
    ]


def column_of(
    group: Group,
    name: str,
    judge: str | None,
    records: Sequence[Record],
    metrics: Mapping[str, Metric],
    primary: Collection[str],
    *,
    digits: int,
) -> Column:
    """A metric's column under a protocol. records: of the protocol; judge: None if the metric has none.

    primary: the metrics whose differences are tested.
    """
    metric = metrics.get(name)
    return Column(
        group=group,
        metric=name,
        judge=judge,
        title=metric.title if metric else name,
        latex=metric.latex if metric else name.replace("_", r"\_"),
        direction=metric.direction if metric else "none",
        digits=digits,
        independent=metric.independent if metric else True,
        tested=name in primary,
        counted=metric.counted if metric else False,
        different_people=footnotes.different_people_of(records, judge) if judge and _is_cosine(metric) else None,
    )


def _is_cosine(metric: Metric | None) -> bool:
    """Whether values may be compared with the cosine of different people; one that nobody knows is shown beside it."""
    return metric is None or metric.unit == "cosine"
