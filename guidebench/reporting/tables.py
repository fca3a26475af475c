"""What the command line calls: records of a directory in, the text of a report out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench.errors import BadInput, unknown_name
from guidebench.reporting import frame, mixing, renderers
from guidebench.reporting import layout as layouts
from guidebench.reporting import published as claims

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store import StoredRecord

FORMATS = tuple(renderers.RENDERERS)


def report(
    directory: str | Path,
    format: str = "markdown",
    *,
    layout: str = "auto",
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    method: str | Sequence[str] | None = None,
    published: bool | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> str:
    """The tables of all records below ``directory`` as text.

    format: one of `FORMATS`. layout: "table-1", "table-2", "full", or "auto" (table-2 if all records are of
    celebahq-multi, else table-1). testbed, conventions, protocol (a name, name@digest, or a digest's beginning) and
    method (names or labels) choose records. published: show published numbers in tables of their own; None shows those
    that were made with the testbed's own networks. metrics: titles and directions, None for the registered ones.

    Raises BadInput if nothing is left, or if rows would share a column although they measured different things.
    """
    if format not in renderers.RENDERERS:
        raise unknown_name("format", format, FORMATS, command="guidebench report --help")
    chosen = mixing.Filter(testbed, conventions, protocol, method)
    found = chosen.apply(frame.read(directory).records, directory)
    return renderers.RENDERERS[format](_build(found, directory, layout, published, metrics))


def summary(
    directory: str | Path,
    protocol_digest: str,
    *,
    testbed: str | None = None,
    keys: Collection[str] | None = None,
    width: int = renderers.WIDTH,
    metrics: Mapping[str, Metric] | None = None,
) -> str:
    """The full terminal table of one protocol, for the end of a run.

    testbed, keys: take only records of this testbed, or with these trial keys; other records of the directory with the
    same protocol join the table. width: columns of the terminal. Raises BadInput as `report`.
    """
    records = frame.read(directory).records
    found = [
        stored
        for stored in records
        if stored.record.protocol_digest == protocol_digest
        and (testbed is None or stored.record.testbed == testbed)
        and (keys is None or stored.record.key in keys)
    ]
    if not found:
        raise BadInput(
            f"no records of protocol {protocol_digest[:12]} in {directory}; `guidebench report {directory}` shows all"
        )
    return renderers.terminal(_build(found, directory, "full", None, metrics), width=width)


def _build(
    records: Sequence[StoredRecord],
    directory: str | Path,
    layout: str,
    with_published: bool | None,
    metrics: Mapping[str, Metric] | None,
) -> layouts.Report:
    from guidebench.metrics import METRICS

    kept, superseded = mixing.without_superseded(records)
    mixing.check_unmixed(kept, directory)
    resolved = layouts.resolve_layout(layout, kept)
    shown = [] if with_published is False else claims.load()
    if with_published is None:
        shown = [table for table in shown if table.testbed == kept[0].record.testbed]
    return layouts.build(
        kept, METRICS if metrics is None else metrics, layout=resolved, claims=shown, superseded=superseded
    )
