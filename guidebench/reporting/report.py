"""What the command line calls: records of a directory in, the text of a report out."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench.errors import BadInput, unknown_name
from guidebench.reporting import published as claims
from guidebench.reporting import scores, selection
from guidebench.reporting.choice import Choice, resolve
from guidebench.reporting.formats import FORMATS, WIDTH, render
from guidebench.reporting.layout import DEFAULT_AGAINST, build
from guidebench.reporting.model import Report
from guidebench.reporting.selection import Variant
from guidebench.store import index
from guidebench.store.unreadable import left_out
from guidebench.suites import PaperTable

if TYPE_CHECKING:
    from guidebench.metric import Metric
    from guidebench.store.folders import StoredRecord

__all__ = ["FORMATS", "brief", "report"]

_log = logging.getLogger(__name__)


@index.no_collection()
def report(
    directory: str | Path,
    format: str = "markdown",
    *,
    layout: str = "auto",
    table: PaperTable | None = None,
    against: str | None = None,
    keys: Collection[str] | None = None,
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    method: str | Sequence[str] | None = None,
    weights: str | None = None,
    published: bool | None = None,
    metrics: Mapping[str, Metric] | None = None,
    width: int = WIDTH,
) -> str:
    """The tables of all records below ``directory`` as text.

    format: one of `FORMATS`. layout: see `choice.resolve`; "compare" needs two methods, or one and ``against``. table:
    a table of a paper, instead of a layout by name. against: label of the row that the others are compared with; None
    is mean-latent where it is there. keys: take only records with these trial keys. testbed, conventions, protocol (a
    name, name@digest, or a digest's beginning), method (names or labels) and weights (a version, or the beginning of a
    network's digest) choose records. published: show the published numbers that were made with the records' testbed in
    tables of their own; None shows them where there are any, True raises BadInput if there are none. metrics: titles
    and directions, None for the registered ones. width: columns of the terminal.

    Raises BadInput if nothing is left, or if rows would share a column although they measured different things.
    """
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS, command="guidebench report --help")
    methods = [method] if isinstance(method, str) else list(method or [])
    if layout == "compare" and table is None:
        methods, against = _pair(methods, against)
    elif methods and against:
        methods.append(against)
    found = _load(directory, selection.Filter(testbed, conventions, protocol, methods or None, weights), keys)
    choice = resolve(layout, found.records, table)
    if choice.kind == "compare" or (choice.kind == "short" and methods):
        found = replace(found, records=_exactly(found.records, methods))
    return render(report_of(found, directory, choice, against, published, metrics), format, width)


def _pair(methods: Sequence[str], against: str | None) -> tuple[list[str], str]:
    """The two methods of a comparison; the second is the reference."""
    named = [*methods, *([against] if against else [])]
    named += [DEFAULT_AGAINST] if len(named) == 1 else []
    if len(named) != 2 or named[0] == named[1]:
        raise BadInput(
            f"a comparison needs two different methods, got {', '.join(named) or 'none'}; give "
            "`guidebench compare DIRECTORY METHOD [AGAINST]`"
        )
    return named, named[1]


def _exactly(records: Sequence[StoredRecord], names: Sequence[str]) -> list[StoredRecord]:
    """Without other settings of a method that were found by its name, where one has that very name as its label.

    Where none has, the settings that are taken instead are logged.
    """
    labels = {stored.record.spec.method.label for stored in records}
    for name in (name for name in names if name not in labels):
        if others := {stored.record.spec.method.label for stored in records if stored.record.spec.method.name == name}:
            _log.warning("there is no readable record of '%s' itself; compared: %s", name, ", ".join(sorted(others)))
    return [
        stored
        for stored in records
        if not {*names}.isdisjoint(Variant.of(stored.record).names)
        or (stored.record.spec.method.name in names and stored.record.spec.method.name not in labels)
    ]


def brief(
    directory: str | Path,
    protocol_digest: str | Sequence[str],
    *,
    testbed: str,
    keys: Collection[str] | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> str:
    """What a run prints last: one table of one protocol in 80 columns, and the command that prints everything.

    protocol_digest: of several protocols, one table after another; the directory is read once. testbed, keys: take only
    records of this testbed, or with these trial keys; other records of the directory with the same protocol join the
    table. metrics: titles and directions, None for the registered ones. Raises BadInput as `report`.
    """
    found = _load(directory, selection.Filter(), keys)
    digests = [protocol_digest] if isinstance(protocol_digest, str) else protocol_digest
    return "\n\n".join(_brief(found, directory, digest, testbed, metrics) for digest in digests)


def _brief(
    found: scores.Loaded, directory: str | Path, digest: str, testbed: str, metrics: Mapping[str, Metric] | None
) -> str:
    records = [
        stored
        for stored in found.records
        if stored.record.spec.protocol.digest() == digest and stored.record.spec.testbed == testbed
    ]
    if not records:
        raise BadInput(
            f"no records of protocol {digest[:12]} in {directory}; `guidebench report {directory}` shows all"
        )
    choice = resolve("brief", records)
    table = render(report_of(replace(found, records=records), directory, choice, None, False, metrics), "terminal")
    return f"{table}\n\n{_command_for_all(directory, found.records, records[0])}"


def _command_for_all(directory: str | Path, every: Sequence[StoredRecord], one: StoredRecord) -> str:
    """The command that prints all that is recorded of one protocol; options only where the directory holds more."""
    spec = one.record.spec
    words = ["guidebench", "report", str(directory), "--layout", "full"]
    if len({stored.record.spec.testbed for stored in every}) > 1:
        words += ["--testbed", spec.testbed]
    own = [stored.record.spec.protocol for stored in every if stored.record.spec.testbed == spec.testbed]
    if len({protocol.digest() for protocol in own if protocol.name == spec.protocol.name}) > 1:
        words += ["--protocol", f"{spec.protocol.name}@{spec.protocol.digest()[:12]}"]
    elif len({protocol.name for protocol in own}) > 1:
        words += ["--protocol", spec.protocol.name]
    if len({stored.record.spec.weights.get("generator") for stored in every}) > 1:
        words += ["--weights", one.record.instrument.weights_version or spec.weights.get("generator", "")[:12]]
    return shlex.join(words)


def _load(directory: str | Path, chosen: selection.Filter, keys: Collection[str] | None) -> scores.Loaded:
    found = scores.read(directory)
    records = [stored for stored in found.records if keys is None or stored.record.key in keys]
    if not records:
        raise BadInput(
            f"none of the trials asked for is recorded in {directory}; `guidebench status {directory}` shows all"
        )
    return replace(found, records=chosen.apply(records, directory))


def report_of(
    found: scores.Loaded,
    directory: str | Path,
    choice: Choice,
    against: str | None,
    with_published: bool | None,
    metrics: Mapping[str, Metric] | None,
) -> Report:
    """The report of records that were read and chosen. Arguments and errors as of `report`."""
    from guidebench import registry

    names = choice.protocols
    if names is not None:  # other protocols of the directory have no place in it
        found = replace(found, records=[s for s in found.records if s.record.spec.protocol.name in names])
    kept, superseded = selection.without_superseded(found.records)
    selection.check_unmixed(kept)
    testbed = kept[0].record.spec.testbed
    published = claims.load()
    attacks = registry.attack_metrics(run.attack.label for stored in kept for run in stored.record.attacks)
    report = build(
        kept,
        {**(registry.known_metrics() if metrics is None else metrics), **attacks},
        choice=choice,
        against=against,
        claims=[] if with_published is False else [table for table in published if table.testbed == testbed],
        superseded=superseded,
        unreadable=left_out(found.corrupt, directory),
    )
    if with_published and not report.claims:
        beds = ", ".join(sorted({table.testbed for table in published}))
        raise BadInput(
            f"published numbers are shown only with records of the testbed that they were made on ({beds}), and there "
            f"are none for these of {testbed} in layout {choice.name}; leave out --published"
        )
    return report
