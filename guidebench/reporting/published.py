"""Published numbers, as printed, each with its table and what was different. Never merged with measured ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidebench import files, suites
from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting.model import Claim, ClaimedTable, PublishedRow, PublishedTable

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store.record import Record

_NUMBER = r"-?\d+\.\d+"
_CELL = re.compile(rf"({_NUMBER})(?: ± (\d+\.\d+))?")
_TABLE_KEYS = ("title", "citation", "testbed", "judge", "venue", "link", "layouts", "different", "rows")
_ROW_KEYS = ("row", "method", "protocol", "source")


def load(path: str | Path | None = None) -> list[PublishedTable]:
    """The published tables of a file (None: those that ship with guidebench); raises BadInput naming what is wrong."""
    if path is None:
        text = (resources.files("guidebench.reports") / "published.toml").read_text(encoding="utf-8")
    else:
        text = files.read_text(Path(path), "file of published tables")
    origin = str(path or "published.toml")
    data = files.parse_toml(text, origin)
    return [_table(name, table, f"{origin}, table {name}") for name, table in data.get("tables", {}).items()]


def _table(name: str, data: Mapping[str, Any], where: str) -> PublishedTable:
    _check_keys(data, where, required=_TABLE_KEYS, allowed=_TABLE_KEYS)
    layouts = [*suites.names(), "full"]
    wrong = [layout for layout in data["layouts"] if layout not in layouts]
    if wrong:
        raise BadInput(f"{where}: unknown layout '{wrong[0]}'; allowed: {', '.join(layouts)}")
    rows = tuple(_row(row, f"{where}, row {place}") for place, row in enumerate(data["rows"], start=1))
    return PublishedTable(name, **{**data, "layouts": tuple(data["layouts"]), "rows": rows})


def _row(data: Mapping[str, Any], where: str) -> PublishedRow:
    _check_keys(data, where, required=_ROW_KEYS, allowed=(*_ROW_KEYS, *METRICS))
    claims = {metric: _claim(data[metric], f"{where}: {metric}") for metric in METRICS if metric in data}
    if not claims:
        raise BadInput(f"{where} holds no number; give at least one of {', '.join(METRICS)}")
    return PublishedRow(**{key: data[key] for key in _ROW_KEYS}, claims=claims)


def _claim(printed: Any, where: str) -> Claim:
    match = _CELL.fullmatch(printed) if isinstance(printed, str) else None
    if match is None:
        raise BadInput(f'{where} = {printed!r} must be text such as "0.12 ± 0.06" or "0.0818"')
    return Claim(float(match[1]), float(match[2]) if match[2] else None, printed)


def _check_keys(data: Mapping[str, Any], where: str, *, required: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for key in required:
        if key not in data:
            raise BadInput(f"{where}: the key '{key}' is missing")
    for key in data:
        if key not in allowed:
            raise BadInput(f"{where}: unknown key '{key}'; allowed: {', '.join(allowed)}")


def claimed_tables(
    published: Sequence[PublishedTable], records: Sequence[Record], metrics: Mapping[str, Metric], layout: str
) -> list[ClaimedTable]:
    """The published tables of a layout, cut to the photo sets that the records come from."""
    sources = {record.spec.protocol.source for record in records}
    claimed = []
    for table in published:
        rows = [row for row in table.rows if row.source in sources]
        if layout not in table.layouts or not rows:
            continue
        columns = dict.fromkeys((row.protocol, metric) for row in rows for metric in row.claims)
        cells = {(row.row, row.protocol, metric): claim for row in rows for metric, claim in row.claims.items()}
        claimed.append(
            ClaimedTable(
                source=table,
                columns=tuple(columns),
                titles=tuple(metrics[metric].title for _, metric in columns),
                latex=tuple(metrics[metric].latex for _, metric in columns),
                rows=tuple(
                    (name, tuple(cells.get((name, *column)) for column in columns))
                    for name in dict.fromkeys(row.row for row in rows)
                ),
            )
        )
    return claimed
