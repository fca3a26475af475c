"""What a report must say below its tables: everything a reader needs to repeat or doubt a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from guidebench.reporting.model import Cell, Column, Family, Report, Row, Table
from guidebench.reporting.rows import Variant, groups_of, judges_of, row_order
from guidebench.reporting.statistics import ALPHA, BCA_FROM, EXACT_UP_TO, RESAMPLES, Summary

if TYPE_CHECKING:
    from guidebench.store.folders import Record

RATE_FIELDS = ("steps", "lr", "learning_rate")  # what a preset changes


def notes(records: Sequence[Record], report: Report, superseded: int, unreadable: Sequence[str]) -> list[str]:
    """The footnotes, one line each.

    superseded: failures that were left out. unreadable: record folders that were left out, with the reason.
    """
    first = records[0]
    switches = first.notes.get("conventions", "")
    version = f", weights version {first.weights_version}" if first.weights_version else ""
    return [
        f"Testbed: {first.testbed}{version}. Conventions: {first.conventions}{f' ({switches})' if switches else ''}.",
        *_protocol_notes(records),
        *_fid_notes(records),
        *_judge_notes(records),
        *_value_notes(report),
        *_title_notes(report),
        *_preset_notes(records),
        *_missing_notes(report.tables),
        *_failure_notes(records, superseded),
        *(f"Left out, cannot be read: {line}." for line in unreadable),
        *_version_notes(records),
    ]


def _value_notes(report: Report) -> list[str]:
    """What ±, brackets and bold mean."""
    detailed = any(table.detailed for table in report.tables)
    many = any(cell.summary and cell.summary.bca for _, _, cell in _cells(report.tables))
    interval = "; [95 % Student-t interval of the mean, from three identities on" if detailed else ""
    interval += f"; from {BCA_FROM} on beside it the BCa bootstrap interval" if detailed and many else ""
    lines = [
        f"mean ± std (ddof 1) over identities, seeds averaged within an identity first{interval and interval + ']'}. "
        "A value that could not be measured is left out and counted, never zero."
    ]
    if any(column.judge is None and column.direction != "none" for table in report.tables for column in table.columns):
        lines.append(
            "FID and other metrics of random samples: intervals, std and p are conditional on the one shared set of "
            "latent codes that every trial samples."
        )
    dependent = dict.fromkeys(
        column.title
        for table in report.tables
        for column in table.columns
        if not column.independent and column.direction != "none"
    )
    if dependent and report.kind != "compare":
        lines.append(
            f"{', '.join(dependent)}: neither interval nor test: each trial enters the values of several identities, "
            "which are therefore not independent."
        )
    if report.kind != "compare":
        lines.append(
            "Bold (plain text: *): best mean of the rows of equal coverage, floors aside; none where a row with fewer "
            "values or pairs would be better after ties. Values at or below the mean of different people tie. "
            "It is no test."
        )
    if report.kind == "paper" and any(
        cell.contrast and cell.contrast.separated for _, _, cell in _cells(report.tables)
    ):
        lines.append(
            f"† differs from {report.against}: adjusted p < {ALPHA:g}. `--layout full` tells every difference with its "
            "interval, p and effect size."
        )
    return lines


def _title_notes(report: Report) -> list[str]:
    """Which method a row is, where the table has a name of its own for it."""
    named = {row.title: row.label for table in report.tables for row in table.rows if row.title != row.label}
    return [f"Rows: {'; '.join(f'{title} is {label}' for title, label in named.items())}."] if named else []


def test_notes(report: Report, usual: str) -> list[str]:
    """Which test, against what, corrected for how many; or why there is none.

    usual: the reference row if nobody names another.
    """
    if report.against is None:
        return [f"No tests: no single row {usual} to compare with; --against METHOD names another."]
    if not report.families:
        return []
    contrasts = [cell.contrast for _, _, cell in _cells(report.tables) if cell.contrast]
    lines = [
        f"Test: exact paired sign-flip permutation, two-sided, of identity means against {report.against} on the same "
        "identities, seeds and random numbers; p adjusted by Holm."
    ]
    if report.kind != "paper":
        lines.append("Effect: mean over std of the differences. Better for: identities with the better value.")
    if any(not contrast.exact for contrast in contrasts):
        lines.append(
            f"p after ≈: more than {EXACT_UP_TO} identities, {RESAMPLES:,} random sign patterns instead of all 2^n."
        )
    return [*lines, *(_family_note(report, family) for family in report.families), *_unpaired_notes(report)]


def _family_note(report: Report, family: Family) -> str:
    """How many tests Holm corrects for, which ones, and whether the identities suffice."""
    titles = {row.label: row.title for table in report.tables for row in table.rows}
    methods = ", ".join(titles[label] for label in family.labels)
    contrasts = [
        cell.contrast
        for _, column, cell in _cells(report.tables)
        if column.group == family.group and cell.contrast and cell.contrast.family
    ]
    small = sorted({contrast.difference.n for contrast in contrasts if contrast.too_small} - {0})
    least = min(contrast.attainable for contrast in contrasts if contrast.attainable is not None)
    parts = [
        f"Tests under {family.group.protocol}: m = {family.size} = {_plural(len(family.labels), 'method')} ({methods}) "
        f"× {_plural(len(family.metrics), 'column')} ({', '.join(family.metrics)})",
        f" under {family.judge}" if family.judge else "",
    ]
    if small:
        n = " or ".join(map(str, small))
        parts.append(f"; n = {n} is too small for p: adjusted, it could not fall below {least:.2g}")
    return "".join([*parts, "."])


def _unpaired_notes(report: Report) -> list[str]:
    """Trials that a comparison leaves out for lack of a counterpart."""
    left: dict[tuple[str, str, int], list[str]] = {}
    for row, column, cell in _cells(report.tables):
        if cell.contrast and cell.contrast.family and cell.contrast.difference.missing:
            place = (row.label, column.group.protocol, cell.contrast.difference.missing)
            left.setdefault(place, []).append(column.title)
    return [
        f"Not compared: {label} ({protocol}), {', '.join(titles)}: {_plural(count, 'trial')} that {label} or "
        f"{report.against} has no value for."
        for (label, protocol, count), titles in left.items()
    ]


def _protocol_notes(records: Sequence[Record]) -> list[str]:
    notes = []
    for group in groups_of(records):
        own = [record for record in records if record.protocol["name"] == group.protocol]
        protocol = own[0].protocol
        people, seeds = len({record.identity for record in own}), sorted({record.seed for record in own})
        sizes = [
            _plural(people, "identity", "identities"),
            f"seed{'s' if len(seeds) > 1 else ''} {' '.join(map(str, seeds))}",
            f"{protocol.get('views')} views within ±{protocol.get('yaw_deg'):g}° yaw",
            f"{protocol.get('retain')} others to survive",
        ]
        if protocol.get("probe_photos"):
            sizes.insert(2, f"{protocol['probe_photos']} probe photos a person")
        notes.append(
            f"Protocol {group.protocol} v{protocol.get('version')} ({own[0].protocol_digest[:12]}): {', '.join(sizes)}."
        )
    return notes


def _fid_notes(records: Sequence[Record]) -> list[str]:
    first = records[0]
    samples = sorted({int(record.protocol["samples"]) for record in records if "samples" in record.protocol})
    parts = [f"{' or '.join(f'{count:,}' for count in samples)} samples a generator"]
    parts += [first.notes["features"]] if first.notes.get("features") else []
    parts += [f"real images: {first.notes['real']}"] if first.notes.get("real") else []
    return [f"FID: guidebench's Fréchet distance in float64; {'; '.join(parts)}."]


def _judge_notes(records: Sequence[Record]) -> list[str]:
    notes = []
    for judge in judges_of(records):
        strangers = next((record.strangers[judge] for record in records if judge in record.strangers), None)
        known = f", different people {strangers[0]:.3f} ± {strangers[1]:.3f}" if strangers else ""
        digest = next(
            (value for record in records for name, value in record.digests.items() if name.split("/")[-1] == judge),
            None,
        )
        notes.append(f"Judge {judge}{known}{f', weights {digest[:12]}' if digest else ''}.")
    if pairs := next((record.notes["strangers"] for record in records if record.notes.get("strangers")), ""):
        notes.append(f"Different people: first photographs of the photo set, {pairs}.")
    return notes


def _preset_notes(records: Sequence[Record]) -> list[str]:
    """Steps and learning rate of every method, grouped, and where they come from."""
    rates: dict[str, list[str]] = {}
    for record in sorted(records, key=lambda record: row_order(Variant.of(record))):
        values = rates_of(record)
        if record.floor or not record.training_seen or not values:
            continue
        origin = f"preset for {record.testbed}" if record.preset else f"class defaults, no preset for {record.testbed}"
        labels = rates.setdefault(f"{values} ({origin})", [])
        if record.label not in labels:
            labels.append(record.label)
    return [f"{', '.join(labels)}: {rate}." for rate, labels in rates.items()]


def rates_of(record: Record) -> str:
    """Steps and learning rate, which a preset would set; empty for a method that has neither."""
    return ", ".join(f"{name} {record.fields[name]:g}" for name in RATE_FIELDS if _is_number(record.fields.get(name)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(tables: Sequence[Table]) -> Iterable[tuple[Row, Column, Cell]]:
    return (placed for table in tables for placed in table.placed())


def _summaries(tables: Sequence[Table]) -> Iterable[tuple[Row, Column, Summary]]:
    return ((row, column, cell.summary) for row, column, cell in _cells(tables) if cell.summary is not None)


def _missing_notes(tables: Sequence[Table]) -> list[str]:
    """Which metrics have no value in how many trials of a row, with one of the reasons."""
    metrics: dict[tuple[str, str, int, int], list[str]] = {}
    reasons: dict[tuple[str, str, int, int], str] = {}
    for row, column, summary in _summaries(tables):
        if summary.missing:
            place = (row.label, column.group.protocol, summary.missing, summary.missing + len(summary.units))
            metrics.setdefault(place, []).append(column.title)
            reasons.setdefault(place, summary.reason or "no reason given")
    return [
        f"No value: {label} ({protocol}), {', '.join(dict.fromkeys(titles))} in {missing} of {trials} trials, such as: "
        f"{reasons[label, protocol, missing, trials]}."
        for (label, protocol, missing, trials), titles in metrics.items()
    ]


def lost_notes(tables: Sequence[Table]) -> list[str]:
    """How many faces were not found before, and how many more after, in each row."""
    lost: dict[tuple[str, str], list[str]] = {}
    several = len({column.judge for table in tables for column in table.columns if column.judge}) > 1
    for row, column, summary in _summaries(tables):
        if summary.lost_before or summary.lost_after:
            judge = f" {column.judge}" if several else ""
            counts = f"{column.title}{judge} {summary.lost_before}/{summary.lost_after}"
            lost.setdefault((row.label, column.group.protocol), []).append(counts)
    return [
        f"Faces lost before/after: {label} ({protocol}): {', '.join(counts)}."
        for (label, protocol), counts in lost.items()
    ]


def _failure_notes(records: Sequence[Record], superseded: int) -> list[str]:
    reasons = Counter(
        (record.label, record.reason or "no reason given") for record in records if record.status == "failed"
    )
    notes = [
        f"Failed: {label}, {_plural(count, 'trial')}: {reason}" for (label, reason), count in sorted(reasons.items())
    ]
    if superseded:
        notes.append(f"Left out: {_plural(superseded, 'failure')} of code that was changed and measured later.")
    return notes


def _version_notes(records: Sequence[Record]) -> list[str]:
    shown = ("guidebench", "numerics", "torch", "torch-fidelity", "python")
    names = [name for name in shown if any(name in record.versions for record in records)]
    versions = [
        f"{name} {', '.join(sorted({str(r.versions[name]) for r in records if name in r.versions}))}" for name in names
    ]
    commits = sorted(
        {
            record.commit[:12] + ("+dirty" if record.commit.endswith("+dirty") else "")
            for record in records
            if record.commit
        }
    )
    devices = sorted({record.device for record in records})
    notes = f"Made with {', '.join(versions)}" if versions else "Made"
    return [notes + (f", commit {', '.join(commits)}" if commits else "") + f", on {'; '.join(devices)}."]


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
