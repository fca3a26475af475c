"""The orderings that GUIDE's paper claims, each with the paired difference that the records show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from guidebench.errors import BadInput
from guidebench.metrics import METRICS
from guidebench.reporting import scores as frames
from guidebench.reporting import selection
from guidebench.reporting.differences import NONE, better_for, number
from guidebench.reporting.statistics import Paired, paired
from guidebench.text import markdown_table


@dataclass(frozen=True)
class Ordering:
    """One claim: ``first`` has the lower value of a metric than ``second``."""

    claim: str
    metric: str
    first: str
    second: str


ORDERINGS = (
    Ordering("GUIDE forgets more than the baseline", "id", "guide", "mean-latent"),
    Ordering("… also from the person's other photographs", "id_others", "guide", "mean-latent"),
    Ordering("extrapolation raises FID_pre", "fid_pre", "mean-latent", "extrapolated"),
    Ordering("adjacency raises FID_pre further", "fid_pre", "extrapolated", "extrapolated-adj"),
    Ordering("the global loss brings FID_pre below the baseline's", "fid_pre", "guide", "mean-latent"),
    Ordering("… and ΔFID_real, too", "delta_fid_real", "guide", "mean-latent"),
)


@dataclass(frozen=True)
class Finding:
    """A claim beside what was measured under one judge."""

    ordering: Ordering
    judge: str | None
    difference: Paired
    fitted: bool = False  # a method's preset was chosen by this metric

    @property
    def found(self) -> str:
        """The verdict, and whether it is partly by construction."""
        return f"{self.verdict} (fitted)" if self.fitted else self.verdict

    @property
    def verdict(self) -> str:
        """holds or reversed if the 95 % interval leaves out 0, else not separable."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return "not measured"
        return "holds" if high < 0 else "reversed" if low > 0 else "not separable"


def findings(frame: pd.DataFrame) -> list[Finding]:
    """Every claim whose two methods the frame holds, under each judge. The frame must hold one protocol and testbed."""
    found = []
    for ordering in ORDERINGS:
        scores = frame[frame["metric"] == ordering.metric]
        if not {ordering.first, ordering.second} <= set(scores["label"]):
            continue
        judges: Sequence[str | None] = list(dict.fromkeys(scores["judge"].dropna())) or [None]
        fitted = _is_fitted(scores, ordering)
        for judge in judges:
            difference = paired(frame, ordering.metric, judge, ordering.first, ordering.second)
            found.append(Finding(ordering, judge, difference, fitted))
    return found


def _is_fitted(scores: pd.DataFrame, ordering: Ordering) -> bool:
    """Whether the preset of one of the two methods was chosen by the metric of an ordering."""
    if "fitted_on" not in scores:
        return False
    by = scores.loc[scores["label"].isin([ordering.first, ordering.second]), "fitted_on"].dropna()
    return any(ordering.metric in names.split("; ") for names in by)


def orderings(
    directory: str | Path,
    *,
    testbed: str | None = None,
    conventions: str | None = None,
    protocol: str | None = None,
    weights: str | None = None,
) -> str:
    """A Markdown table of the paper's orderings as found in the records below ``directory``.

    testbed, conventions, protocol, weights: which, if the records hold several. Raises BadInput if there is
    nothing to compare.
    """
    chosen = selection.Filter(testbed=testbed, conventions=conventions, protocol=protocol, weights=weights)
    frame = frames.from_records(selection.of_one_protocol(frames.read(directory).records, chosen, directory))
    found = findings(frame)
    if not found:
        raise BadInput(f"{directory} holds no two methods of the ladder; run mean-latent, extrapolated, … and guide")
    heads = ("claim of the paper", "metric", "difference", "mean [95 % interval]", "people", "holds for", "found")
    note = (
        "*holds* and *reversed* go by each interval alone, which is not adjusted for the number of claims. This is not "
        "a test: `guidebench compare` tests two methods. Similarities at or below the different-people mean tie: they "
        "are equal before differences are taken."
    )
    if any(finding.fitted for finding in found):
        note += (
            " *fitted*: steps and learning rate were chosen by this metric, on other people, so that the ordering is "
            "partly by construction."
        )
    return f"{markdown_table(heads, [_row(finding) for finding in found], left=3)}\n\n{note}"


def _row(finding: Finding) -> tuple[str, ...]:
    ordering, difference = finding.ordering, finding.difference
    metric = METRICS[ordering.metric].title + (f" ({finding.judge})" if finding.judge else "")
    digits = 3 if finding.judge else 2
    value = NONE
    if difference.mean is not None:
        value = number(difference.mean, digits)
        if difference.low is not None and difference.high is not None:
            value += f" [{number(difference.low, digits)}, {number(difference.high, digits)}]"
    people, wins = str(difference.n), better_for(difference)
    return ordering.claim, metric, f"{ordering.first} - {ordering.second}", value, people, wins, finding.found
