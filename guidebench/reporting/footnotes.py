"""The footnotes of a report: everything that a reader needs to repeat or doubt a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from guidebench.metrics import METRICS
from guidebench.reporting.marks import mark_notes
from guidebench.reporting.model import Cell, Column, Family, Report, Row, Table
from guidebench.reporting.selection import Variant, groups_of, judges_of, row_order
from guidebench.reporting.statistics import ALPHA, BCA_FROM, EXACT_UP_TO, RESAMPLES, Summary

if TYPE_CHECKING:
    from guidebench.evidence import DifferentPeople
    from guidebench.store.record import Record

SHARED = ("id_named",)  # of people whom all trials share
RATE_FIELDS = ("steps", "lr", "learning_rate")  # what a preset changes


def notes(records: Sequence[Record], report: Report, superseded: int, unreadable: Sequence[str]) -> list[str]:
    """The footnotes, one line each.

    superseded: failures that were left out. unreadable: record folders that were left out, with the reason.
    """
    first = records[0]
    conventions, switches = first.spec.protocol.conventions, first.instrument.conventions
    version = f", weights version {first.instrument.weights_version}" if first.instrument.weights_version else ""
    precision = " Precision: tf32 (convolutions on the GPU)." if first.spec.precision == "tf32" else ""
    return [
        f"Testbed: {first.spec.testbed}{version}. Conventions: {conventions}{f' ({switches})' if switches else ''}."
        f"{precision}",
        *_protocol_notes(records),
        *_fid_notes(records),
        *_judge_notes(records),
        *_value_notes(records, report),
        *mark_notes(report.tables),
        *_title_notes(report),
        *_preset_notes(records),
        *_missing_notes(records, report.tables),
        *_failure_notes(records, superseded),
        *_attack_notes(records),
        *(f"Left out, cannot be read: {line}." for line in unreadable),
        *_version_notes(records),
    ]


def _attack_notes(records: Sequence[Record]) -> list[str]:
    """What each attack knows and whether it enters the worst case; how often it failed, and why."""
    runs = [run for record in records for run in record.attacks]
    found = []
    for attack in {run.attack.label: run.attack for run in runs}.values():
        own = [run for run in runs if run.attack.label == attack.label]
        failed = [run for run in own if run.failed]
        worst = "can show anybody: its gap to its controls counts" if attack.shows_anybody else "in the worst case"
        text = f"Attack {attack.label}: knows {attack.knows}; {worst}"
        if not all(run.applies for run in own):
            text += "; has nothing to try on a 2-D generator"
        if failed:
            text += f"; failed in {len(failed)} of {_plural(len(own), 'trial')}, such as: {failed[0].reason}"
        found.append(f"{text}.")
    return found


def in_short(records: Sequence[Record], report: Report) -> str:
    """The explanation below a compact table: people, seeds, judge, different people, and what its marks mean."""
    unit = unit_of(records)
    people = _how_many(records)
    seeds = _seeds(sorted({record.spec.seed for record in records}))
    spread = "± std" if report.kind == "short" else "± half its 95 % interval"
    judge = next((column.judge for table in report.tables for column in table.columns if column.judge), None)
    parts = [f"{people}, {seeds}; mean {spread} over {unit}.", _on_judge(records, judge) if judge else ""]
    if report.kind == "short" and any(cell.best for _, _, cell in _cells(report.tables)):
        parts.append("Bold or *: best mean, not a significance test.")
    tested = [cell.contrast for _, _, cell in _cells(report.tables) if cell.contrast and cell.contrast.family]
    if any(contrast.separated for contrast in tested):
        parts.append(f"† differs significantly from {report.against} (Holm-adjusted p < {ALPHA:g}).")
    elif tested and all(contrast.too_small for contrast in tested):
        parts.append(f"Too few {unit} to test differences to {report.against}.")
    return " ".join(part for part in (*parts, report.caption) if part)


def _on_judge(records: Sequence[Record], judge: str) -> str:
    known = different_people_of(records, judge)
    if known is None:
        return f"Judge: {judge}."
    return (
        f"Judge: {judge}; two different people: {known.mean:.2f} ± {known.std:.2f}, so values at or below "
        f"{known.mean:.2f} count as forgotten."
    )


_UNITS = {"people": ("person", "people"), "groups": ("group of people", "groups of people")}


def unit_of(records: Sequence[Record]) -> str:
    """What means are taken over: people, or groups of people who are forgotten together."""
    return "groups" if any(len(record.spec.people) > 1 for record in records) else "people"


def _how_many(records: Sequence[Record]) -> str:
    """How many people, or groups of how many people, were forgotten."""
    count = len({record.spec.group for record in records})
    sizes = {len(record.spec.people) for record in records}
    if sizes == {1}:
        return _plural(count, *_UNITS["people"])
    size = f" × {sizes.pop()} people" if len(sizes) == 1 else " of people"
    return _plural(count, "group") + size


def different_people_of(records: Iterable[Record], judge: str) -> DifferentPeople | None:
    """How alike a judge finds different people, from the first record that knows it."""
    known = (own.different_people for record in records for own in record.instrument.judges if own.name == judge)
    return next((found for found in known if found), None)


def _value_notes(records: Sequence[Record], report: Report) -> list[str]:
    """What ±, brackets, bold and † mean."""
    unit = unit_of(records)
    detailed = any(table.detailed for table in report.tables)
    many = detailed and any(cell.summary and cell.summary.bca for _, _, cell in _cells(report.tables))
    interval = f"; [95 % Student-t interval of the mean, from three {unit} on" if detailed else ""
    interval += f"; from {BCA_FROM} on also the BCa bootstrap interval" if detailed and many else ""
    together = " people of a group and" if unit == "groups" else ""
    lines = [
        f"mean ± std (ddof 1) over {unit},{together} seeds averaged first{interval and interval + ']'}. "
        "A value that could not be measured is left out and counted, never zero."
    ]
    if any(column.judge is None and column.direction != "none" for table in report.tables for column in table.columns):
        lines.append(
            "FID and other metrics of random samples: intervals, std and p are conditional on the one set of latent "
            "codes that all trials share."
        )
    shared = [column.title for _, column, _ in _cells(report.tables) if column.metric in SHARED]
    if shared:
        lines.append(
            f"{', '.join(dict.fromkeys(shared))}: intervals, std and p are conditional on the people who were named to "
            "the method, the same in all trials."
        )
    if any(column.counted for table in report.tables for column in table.columns):
        lines.append(
            "Recognised: share of renders that the judge accepts as the person by the best of the person's photographs "
            "(Random: renders before), a render without a face is not accepted; k of n counts all people and seeds."
        )
    dependent = dict.fromkeys(
        column.title
        for table in report.tables
        for column in table.columns
        if not column.independent and column.direction != "none"
    )
    if dependent and report.kind != "compare":
        lines.append(
            f"{', '.join(dependent)}: neither interval nor test, because each trial enters the values of several "
            "people, which are therefore not independent."
        )
    if report.kind != "compare":
        lines.append(
            "Bold (plain text: *): best mean, as printed, among rows measured on the same trials (floor and ceiling "
            "excluded). Bold is not a significance test."
        )
    lines += _tie_notes(report)
    if report.kind not in ("full", "compare") and any(
        cell.contrast and cell.contrast.separated for _, _, cell in _cells(report.tables)
    ):
        lines.append(
            f"† differs significantly from {report.against} (Holm-adjusted p < {ALPHA:g}). `--layout full` lists every "
            "difference with its interval, p and effect size."
        )
    return lines


def _tie_notes(report: Report) -> list[str]:
    """What counts as forgotten, where a column has such a line."""
    if not any(column.tie is not None for table in report.tables for column in table.columns):
        return []
    where = "differences, effects and p" if report.kind == "compare" else "differences, effects, p and bold"
    return [
        "Forgotten is forgotten: where lower is better, each person's value at or below the different-people mean "
        f"counts as that mean in {where}. A mean ties with it if its interval holds it or lies "
        "below it. Means and intervals are of the values as measured."
    ]


def _title_notes(report: Report) -> list[str]:
    """Which method each row is, where the table has its own name for it."""
    named = {row.title: row.label for table in report.tables for row in table.rows if row.title != row.label}
    return [f"Rows: {'; '.join(f'{title} is {label}' for title, label in named.items())}."] if named else []


def test_notes(report: Report, usual: str) -> list[str]:
    """Which test, against what, corrected for how many; or why there is none.

    usual: the reference row if nobody names another.
    """
    if report.against is None:
        return [f"No tests: there is no single row {usual} to compare with; --against METHOD names another."]
    contrasts = [cell.contrast for _, _, cell in _cells(report.tables) if cell.contrast]
    if not report.families:
        return _untested_notes(report)
    lines = [
        f"Test: exact paired sign-flip permutation, two-sided, of the differences to {report.against} on the same "
        "people, seeds and random numbers; p adjusted by Holm."
    ]
    if report.kind in ("full", "compare"):
        lines.append("Effect: mean over std of the differences. Better for: number of people with the better value.")
    if any(not contrast.exact for contrast in contrasts):
        lines.append(
            f"p after ≈: more than {EXACT_UP_TO} differences, {RESAMPLES:,} random sign patterns instead of all 2^n."
        )
    lines += [_family_note(report, family) for family in report.families]
    return [*lines, *_untested_notes(report), *_unpaired_notes(report)]


def _family_note(report: Report, family: Family) -> str:
    """How many tests Holm corrects for, which ones, and whether there are enough people."""
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
        f"× {_plural(len(family.metrics), 'primary column')} ({', '.join(family.metrics)})",
        f" under {family.judge}" if family.judge else "",
    ]
    if small:
        n = " or ".join(map(str, small))
        parts.append(f"; n = {n} is too small for p: adjusted, it could not fall below {least:.2g}")
    return "".join([*parts, "."])


def _untested_notes(report: Report) -> list[str]:
    """Which columns are compared without a test, because the protocol does not name them as primary."""
    untested: dict[str, list[str]] = {}
    for _, column, cell in _cells(report.tables):
        if cell.contrast and not column.tested and not (report.is_compact or column.judge in _further(report)):
            untested.setdefault(column.group.protocol, []).append(column.title)
    return [
        f"Not primary under {protocol}, so intervals and no p: {', '.join(dict.fromkeys(titles))}."
        for protocol, titles in untested.items()
    ]


def _further(report: Report) -> list[str]:
    """The judges after the first."""
    return list(dict.fromkeys(column.judge for _, column, _ in _cells(report.tables) if column.judge))[1:]


def _unpaired_notes(report: Report) -> list[str]:
    """Trials that a comparison leaves out because they have no counterpart."""
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
        own = [record for record in records if record.spec.protocol.name == group.protocol]
        protocol = own[0].spec.protocol
        sizes = [
            _how_many(own),
            *(["in one request"] if protocol.people > 1 and protocol.requests == 1 else []),
            *([f"{protocol.requests} requests of {protocol.forget}"] if protocol.requests > 1 else []),
            _seeds(sorted({record.spec.seed for record in own})),
            *([f"{_plural(protocol.probe_photos, 'probe photo')} per person"] if protocol.probe_photos else []),
            f"{protocol.views} views within ±{protocol.yaw_deg:g}° yaw" if protocol.views > 1 else "one view",
            *([f"{protocol.noise_draws} noises per code"] if protocol.noise_draws > 1 else []),
            f"{_plural(protocol.retain + protocol.retain_named, 'other')} to survive"
            + (f" ({protocol.retain_named} of them named to the method)" if protocol.retain_named else ""),
            *([f"{_plural(protocol.lookalikes, 'look-alike')} of each person"] if protocol.lookalikes else []),
        ]
        notes.append(f"Protocol {group.protocol} v{protocol.version} ({protocol.digest()[:12]}): {', '.join(sizes)}.")
    return notes


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {' '.join(map(str, seeds))}"


def _fid_notes(records: Sequence[Record]) -> list[str]:
    first = records[0].instrument
    samples = sorted({record.spec.protocol.samples for record in records})
    parts = [f"{' or '.join(f'{count:,}' for count in samples)} samples per generator"]
    parts += [first.features] if first.features else []
    parts += [f"real images: {first.real}"] if first.real else []
    return [f"FID: guidebench's Fréchet distance in float64; {'; '.join(parts)}."]


def _judge_notes(records: Sequence[Record]) -> list[str]:
    notes, pairs = [], []
    for judge in judges_of(records):
        found = different_people_of(records, judge)
        known = f", different people {found.mean:.3f} ± {found.std:.3f}{_threshold(found)}" if found else ""
        described = next((own.description for r in records for own in r.instrument.judges if own.name == judge), "")
        digest = next(
            (
                value
                for record in records
                for name, value in record.spec.weights.items()
                if name.split("/")[-1] == judge
            ),
            None,
        )
        what = f" ({described})" if described else ""
        notes.append(f"Judge {judge}{what}{known}{f', weights {digest[:12]}' if digest else ''}.")
        pairs += [f"{judge}: {found.pairs} pairs"] if found and found.pairs else []
        notes += _unknown_threshold(records, judge)
    if pairs:
        notes.append(f"Different people: first photographs of the photo set, {', '.join(pairs)}.")
    return notes


def _unknown_threshold(records: Sequence[Record], judge: str) -> list[str]:
    """Why nobody has a value of Recognised under a judge, if that is so."""
    scores = [
        score
        for record in records
        for score in record.outcome.scores
        if score.metric == "recognised" and score.judge == judge
    ]
    if not scores or any(score.value is not None for score in scores):
        return []
    return [f"Recognised is not measured under {judge}: {scores[0].reason}."]


def _threshold(known: DifferentPeople) -> str:
    """From which cosine on two faces are one person, and how well that is known."""
    if known.threshold is None:
        return ""
    low, high = known.threshold_interval or (None, None)
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    return f", accepts two faces as one person from {known.threshold:.3f}{interval} on (1 of 1,000 pairs of strangers)"


def _preset_notes(records: Sequence[Record]) -> list[str]:
    """Steps and learning rate of every method, grouped, and where they come from."""
    rates: dict[str, list[str]] = {}
    for record in sorted(records, key=lambda record: row_order(Variant.of(record))):
        method, testbed = record.spec.method, record.spec.testbed
        values = rates_of(record)
        if method.floor or not method.training_seen or not values:
            continue
        origin = f"preset for {testbed}" if method.preset else f"class defaults, no preset for {testbed}"
        if method.settings_tried:
            origin += f", the best of {_plural(method.settings_tried, 'setting')}"
        if method.fitted_on:
            titles = [METRICS[name].title if name in METRICS else name for name in method.fitted_on]
            origin += f"{'' if method.settings_tried else ', chosen'} by {', '.join(titles)}"
        if not method.settings_tried:
            origin += "; how many settings were tried is not stated"
        labels = rates.setdefault(f"{values} ({origin})", [])
        if method.label not in labels:
            labels.append(method.label)
    return [f"{', '.join(labels)}: {rate}." for rate, labels in rates.items()]


def rates_of(record: Record) -> str:
    """Steps and learning rate, which a preset would set; empty for a method that has neither."""
    fields = record.spec.method.fields
    return ", ".join(f"{name} {fields[name]:g}" for name in RATE_FIELDS if _is_number(fields.get(name)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cells(tables: Sequence[Table]) -> Iterable[tuple[Row, Column, Cell]]:
    return (placed for table in tables for placed in table.placed())


def _summaries(tables: Sequence[Table]) -> Iterable[tuple[Row, Column, Summary]]:
    return ((row, column, cell.summary) for row, column, cell in _cells(tables) if cell.summary is not None)


def _missing_notes(records: Sequence[Record], tables: Sequence[Table]) -> list[str]:
    """Which metrics have no value how often in a row, with one of the reasons."""
    what = "trials" if unit_of(records) == "people" else "scores"
    metrics: dict[tuple[str, str, int, int], list[str]] = {}
    reasons: dict[tuple[str, str, int, int], str] = {}
    for row, column, summary in _summaries(tables):
        if summary.missing:
            place = (row.label, column.group.protocol, summary.missing, summary.scores)
            metrics.setdefault(place, []).append(column.title)
            reasons.setdefault(place, summary.reason or "no reason given")
    return [
        f"No value: {label} ({protocol}), {', '.join(dict.fromkeys(titles))} in {missing} of {scores} {what}, such as: "
        f"{reasons[label, protocol, missing, scores]}."
        for (label, protocol, missing, scores), titles in metrics.items()
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
        (record.spec.method.label, record.outcome.reason or "no reason given")
        for record in records
        if not record.is_measured
    )
    notes = [
        f"Failed: {label}, {_plural(count, 'trial')}: {reason}" for (label, reason), count in sorted(reasons.items())
    ]
    if any(record.outcome.scores for record in records if not record.is_measured):
        notes.append(
            "Of trials that failed at a later request, the requests before it are in the layout `sequence` and in "
            "`guidebench scores`, and in no other mean."
        )
    if superseded:
        notes.append(f"Left out: {_plural(superseded, 'failure')} of code that was changed and measured later.")
    return notes


def _version_notes(records: Sequence[Record]) -> list[str]:
    every = [{**record.environment.versions, "numerics": str(record.spec.numerics)} for record in records]
    shown = ("guidebench", "numerics", "torch", "torch-fidelity", "python")
    names = [name for name in shown if any(name in versions for versions in every)]
    versions = [f"{name} {', '.join(sorted({own[name] for own in every if name in own}))}" for name in names]
    commits = sorted({_shortened(record.environment.commit) for record in records if record.environment.commit})
    devices = sorted({record.environment.device for record in records})
    made = f"Made with {', '.join(versions)}" + (f", commit {', '.join(commits)}" if commits else "")
    return [f"{made}, on {'; '.join(devices)}."]


def _shortened(commit: str) -> str:
    return commit[:12] + ("+dirty" if commit.endswith("+dirty") else "")


def _plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
