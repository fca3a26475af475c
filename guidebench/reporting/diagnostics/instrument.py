"""A page on the instrument itself: what its readings are worth, from the records and evidence of one protocol.

Every section explains how to read it, then lists what was found; what cannot be computed is replaced by the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from guidebench.reporting import scores, selection
from guidebench.reporting.diagnostics import sections, sensitivity
from guidebench.reporting.diagnostics.runs import Runs, Section
from guidebench.reporting.formats import markdown

SECTIONS: Sequence[Callable[[Runs], Section]] = (
    sections.retest_section,
    sections.resolution_section,
    sections.judges_section,
    sections.samples_section,
    sections.brackets_section,
    sensitivity.sensitivity_section,
)


def instrument(
    directory: str | Path,
    *,
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    weights: str | None = None,
    further: Sequence[Callable[[Runs], Section]] = (),
) -> str:
    """The page as Markdown, from the records below ``directory`` and their evidence.

    testbed, conventions, protocol, weights: which, if the records hold several. further: more sections. Raises BadInput
    if the records still hold several, or if no method was measured.
    """
    chosen = selection.Filter(testbed=testbed, conventions=conventions, protocol=protocol, weights=weights)
    runs = Runs(selection.of_one_protocol(scores.read(directory).records, chosen, directory))
    return "\n\n".join([_head(runs), *(section(runs).markdown() for section in (*SECTIONS, *further))])


def _head(runs: Runs) -> str:
    """What the page is made from."""
    first = runs.first
    spec, numbered = first.spec, first.instrument.weights_version
    version = f", weights version {numbered}" if numbered else ""
    people = len({person for stored in runs.records for person in stored.record.spec.people})
    seeds = sorted({stored.record.spec.seed for stored in runs.records})
    lines = [
        f"{spec.protocol.title}, testbed {spec.testbed}{version}, conventions {spec.protocol.conventions}: "
        f"{len(runs.records)} trials of {people} people, seeds {', '.join(map(str, seeds))}, {spec.protocol.samples} "
        f"samples for FID_pre; guidebench {first.environment.versions.get('guidebench')}, numerics {spec.numerics}.",
        *([first.instrument.caption] if first.instrument.caption else []),
        *([f"{runs.failed} failed trials are left out."] if runs.failed else []),
        f"Methods: {', '.join(runs.methods)}.",
    ]
    return markdown.bullets(lines)
