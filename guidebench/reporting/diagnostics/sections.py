"""The sections of the instrument page on seeds, people, judges, samples and brackets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from guidebench.metrics import METRICS
from guidebench.reporting import statistics
from guidebench.reporting.choice import BRIEF
from guidebench.reporting.diagnostics import reliability
from guidebench.reporting.diagnostics.runs import (
    BRACKETS,
    Quantity,
    Runs,
    Section,
    as_correlation,
    percent,
    shown_mean,
)
from guidebench.reporting.differences import NONE, TextTable, interval, number
from guidebench.reporting.layout import DEFAULT_AGAINST
from guidebench.reporting.selection import ENDS, LADDER
from guidebench.reporting.statistics import Paired, Summary
from guidebench.reporting.ties import tie_of, tied
from guidebench.store.evidence_files import UnreadableEvidence, load_evidence

RESOLVED = ("id", "id_others", "fid_pre")  # metrics for which the resolvable difference is stated
SIZES = (10, 20, 50)  # and people
EIGHTHS = (1, 2, 4, 6, 8)  # of the samples, from which FID_pre is computed

# Test-retest -----------------------------------------------------------------------------------------------------


def retest_section(runs: Runs) -> Section:
    """Spread over seeds against spread over people."""
    rows, shares, costs = [], [], []
    for quantity in runs.quantities():
        for label in runs.methods:
            found = reliability.retest(runs.scores(label, quantity))
            widening = found.widening(1, 3)
            rows.append(
                (
                    quantity.title,
                    label,
                    quantity.shown(found.seeds),
                    str(found.df),
                    quantity.shown(found.groups),
                    str(found.n),
                    percent(found.share),
                    NONE if widening is None else f"+{percent(widening - 1)}",
                )
            )
            if found.share is not None and widening is not None:
                shares.append((found.share, f"{quantity.title} of {label}"))
                costs.append(widening - 1)
    heads = ("metric", "method", "std over seeds", "df", "std over people", "n")
    return Section(
        "Test-retest: how much a seed moves a value",
        "A value is one method's on one person under one seed. *Std over seeds* is that of one person's values, pooled "
        "over people, with its degrees of freedom; *std over people* that of people's means over seeds (*n* "
        "people). The seed's share of a value's variance is 1 − ICC, with the intraclass correlation of a one-way "
        "random effects model (Shrout & Fleiss 1979, ICC(1,1)): near 0 %, a second seed adds nothing to the first. The "
        "last column is what the standard error of a mean over people grows by with one seed instead of three.",
        _retest_findings(runs, shares, costs),
        [TextTable("", (*heads, "seed's share", "one seed for three"), tuple(rows))],
    )


def _retest_findings(runs: Runs, shares: Sequence[tuple[float, str]], costs: Sequence[float]) -> list[str]:
    once = [label for label in runs.methods if len(runs.units(label)) == runs.people(label)]
    lines = []
    if shares:
        lines.append(
            f"The seed's share is {percent(min(shares)[0])} to {percent(max(shares)[0])} of the variance, "
            f"{percent(float(np.median([share for share, _ in shares])))} in the median row; it is largest in "
            f"{max(shares)[1]}. One seed instead of three widens the standard error by {percent(min(costs))} to "
            f"{percent(max(costs))}."
        )
    if once:
        lines.append(
            f"One seed only, so no spread over seeds: {', '.join(once)}; `--seeds 0-2` measures three for each person."
        )
    return lines


# Resolution ------------------------------------------------------------------------------------------------------


def resolution_section(runs: Runs) -> Section:
    """The smallest difference of two methods that so many people distinguish from none."""
    pairs = compared(runs.methods)
    rows, findings = [], []
    for quantity in runs.quantities(RESOLVED):
        metric = METRICS[quantity.metric]
        stds = []
        for first, second in pairs:
            left, right = (
                tied(own, tie_of(own, metric)) for own in (runs.scores(first, quantity), runs.scores(second, quantity))
            )
            found = statistics.difference(left, right, metric.direction)
            rows.append((quantity.title, f"{first} − {second}", *_resolved(found, quantity)))
            stds += [] if found.std is None else [found.std]
        if stds:
            findings.append(_resolved_in_short(quantity, stds))
    if not pairs:
        findings.append("One method only: there is no difference to resolve.")
    factors = ", ".join(f"{reliability.resolvable(n):.2f} s for n = {n}" for n in SIZES)
    low, high = reliability.spread_interval(SIZES[0])
    heads = ("metric", "difference", "mean [95 % interval]", "s", "n", *(f"n = {n} resolve" for n in SIZES))
    return Section(
        "Resolution: the smallest difference that n people show",
        "Methods are compared person by person, so what counts is *s*, the standard deviation of the people's "
        "differences (seeds averaged first, as many as are recorded; values that tie with different people are equal). "
        "A true mean difference δ is *resolved* if the "
        f"two-sided paired t test at α = {statistics.ALPHA:g} finds it in {percent(reliability.POWER)} of all "
        "experiments: δ = λ s / √n, where a noncentral t with n − 1 degrees of freedom and noncentrality λ exceeds "
        f"t(0.975; n − 1) with probability {reliability.POWER:g}. That is {factors}. In brackets: half the width of "
        "the 95 % interval, t(0.975; n − 1) s / √n. This is one test; under Holm's correction for the columns of a "
        "table it takes more, and the sign-flip test finds δ a little less often. *s* is an estimate, too: from "
        f"{SIZES[0]} people its 95 % interval reaches from {low:.2f} to {high:.2f} times the value. Pairs: "
        f"neighbouring rows of the ladder, and every method against {DEFAULT_AGAINST}. The list gives the "
        "median over pairs, with the least and the most.",
        findings,
        [TextTable("", heads, tuple(rows))] if rows else [],
    )


def compared(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Neighbouring rows of the ladder, then every method against the baseline; each pair once, the later row first."""
    ladder = [label for label in methods if label in (*ENDS, *LADDER)]
    pairs = [(after, before) for before, after in pairwise(ladder)]
    if DEFAULT_AGAINST in methods:
        pairs += [(label, DEFAULT_AGAINST) for label in methods if label != DEFAULT_AGAINST]
    return list(dict.fromkeys(pairs))


def _resolved(found: Paired, quantity: Quantity) -> tuple[str, ...]:
    if found.mean is None or found.std is None:
        why = "no person in common" if found.mean is None else "one person in common has no spread"
        return why, NONE, str(found.n), *(NONE for _ in SIZES)
    mean = f"{quantity.shown(found.mean)} {interval(found, quantity.digits)}".rstrip()
    cells = (
        f"{quantity.shown(reliability.resolvable(n) * found.std)} "
        f"(± {quantity.shown(statistics.half_width(found.std, n))})"
        for n in SIZES
    )
    return mean, quantity.shown(found.std), str(found.n), *cells


def _resolved_in_short(quantity: Quantity, stds: Sequence[float]) -> str:
    def resolved(n: int) -> str:
        least, middle, most = (
            quantity.shown(reliability.resolvable(n) * float(of(stds))) for of in (min, np.median, max)
        )
        return f"{middle} ({least} to {most})" if len(stds) > 1 else middle

    return f"{quantity.title}: " + "; ".join(f"{n} people resolve {resolved(n)}" for n in SIZES) + "."


# Judges ----------------------------------------------------------------------------------------------------------


def judges_section(runs: Runs) -> Section:
    """The first judge beside each further one."""
    rows, findings = [], []
    for name in (name for name in BRIEF if METRICS[name].judged):
        for judge in runs.judges[1:]:
            found = reliability.agreement(
                *(_of_methods(runs, Quantity(name, one)) for one in (runs.judges[0], judge)),
            )
            if not found.n:
                continue
            title = METRICS[name].title
            rows.append((title, judge, *_agreed(found)))
            if found.swapped:
                pairs = ", ".join(" and ".join(pair) for pair in found.swapped)
                findings.append(f"{title}: {judge} reverses the order of {pairs}.")
            elif found.methods > 1:
                findings.append(
                    f"{title}: {judge} puts the {found.methods} methods in the same order as the first judge."
                )
    if len(runs.judges) < 2:
        findings = [f"One judge only ({', '.join(runs.judges)}): there is no second opinion."]
    correlations = ("n", "Pearson", "Spearman", "Spearman within methods")
    heads = ("metric", "second judge", *correlations, "mean difference", "limits of agreement", "Kendall τ of methods")
    first = f" The first judge is {runs.judges[0]}; differences are second − first." if rows else ""
    return Section(
        "Judges: does a second opinion agree?",
        "A unit is a method on a person, seeds averaged. The correlations over all units hold differences of methods "
        "and of people; *within methods* is the mean over methods of the rank correlation over people alone. The "
        "limits of agreement, mean ± 1.96 std of the differences, hold 95 % of them if they are normal (Bland & Altman "
        "1986). "
        "Kendall's τ compares the order of the methods' means: 1 means the same order. Units of one person are not "
        f"independent, so these figures describe and have no interval.{first}",
        findings,
        [TextTable("", heads, tuple(rows))] if rows else [],
    )


def _of_methods(runs: Runs, quantity: Quantity) -> pd.DataFrame:
    return pd.concat([runs.scores(label, quantity) for label in runs.methods])


def _agreed(found: reliability.Agreement) -> tuple[str, ...]:
    limits = " to ".join(number(limit, 3) for limit in found.limits) if found.limits else NONE
    tau = f"{as_correlation(found.kendall)} ({found.methods} methods)"
    correlations = (found.pearson, found.spearman, found.within)
    return str(found.n), *map(as_correlation, correlations), number(found.shift or 0.0, 3), limits, tau


# FID_pre by the number of samples --------------------------------------------------------------------------------


def samples_section(runs: Runs) -> Section:
    """FID_pre of the first samples of every trial against that of all."""
    total = runs.first.spec.protocol.samples
    counts = sorted({total * part // 8 for part in EIGHTHS})
    found = _fid_by_count(runs, counts)
    values = found.pivot(index=["label", "path"], columns="count", values="value").dropna(how="all", axis="columns")
    rows: list[tuple[str, ...]] = []
    findings = []
    for count in counts:
        if count not in values:
            rows.append((str(count), "every method", "0", NONE, NONE, NONE))
            continue
        for label in (*runs.methods, None):
            own = values if label is None else values[values.index.get_level_values("label") == label]
            rows.append((str(count), label or "every method", *_against_all(own, count, total)))
        if count != total and total in values:
            findings.append(_order_of_methods(values.groupby(level="label").mean(), count, total))
    missing = found[found["value"].isna()]
    findings += [
        f"N = {count}: {len(own)} trials without a value: {reason}."
        for (count, reason), own in missing.groupby(["count", "reason"])
    ]
    heads = ("N", "method", "trials", "FID_pre", f"minus that of {total}", f"Spearman with that of {total}")
    return Section(
        "FID_pre by the number of samples",
        f"FID_pre of the first N of every trial's {total} samples, which have the same latent codes in every trial: "
        "mean over trials, mean difference to the value of all samples (and in per cent of that), and the rank "
        "correlation of trials between the two. A Fréchet distance of few samples is too large on average. N must "
        "exceed the number of features, or the covariance is singular; the benchmark itself reports FID_pre only from "
        "twice that number on. The first N are a part of all samples, so the correlation flatters a little.",
        findings,
        [TextTable("", heads, tuple(rows))],
    )


def _fid_by_count(runs: Runs, counts: Sequence[int]) -> pd.DataFrame:
    """One row per trial and count: label, path, count, value or NaN with the reason."""
    rows: list[dict[str, Any]] = []
    for label in runs.methods:
        for stored in runs.trials(label):
            trial: dict[str, Any] = {"label": label, "path": stored.folder}
            try:
                evidence = load_evidence(stored.path / "evidence.npz")
            except UnreadableEvidence as error:
                rows += [trial | {"count": count, "value": None, "reason": str(error)} for count in counts]
                continue
            for count in counts:
                try:
                    rows.append(trial | {"count": count, "value": reliability.fid_of_first(evidence, count)})
                except ValueError as error:
                    rows.append(trial | {"count": count, "value": None, "reason": str(error)})
    return pd.DataFrame(rows, columns=["label", "path", "count", "value", "reason"]).astype({"value": float})


def _against_all(values: pd.DataFrame, count: int, total: int) -> tuple[str, ...]:
    """Trials, mean, bias and rank correlation of one method's FID_pre at ``count``."""
    quantity = Quantity("fid_pre", None)
    own = values[count].dropna()
    if own.empty:
        return "0", NONE, NONE, NONE
    mean = quantity.shown(float(own.mean()))
    if count == total or total not in values:
        return str(len(own)), mean, NONE, NONE
    both = values[[count, total]].dropna()
    whole, bias = float(both[total].mean()), float((both[count] - both[total]).mean())
    relative = f" ({'+' if bias > 0 else ''}{percent(bias / whole)})" if whole else ""
    correlation = as_correlation(reliability.rank_correlation(both[count], both[total]))
    return str(len(own)), mean, f"{quantity.shown(bias)}{relative}", correlation


def _order_of_methods(means: pd.DataFrame, count: int, total: int) -> str:
    both = means[[count, total]].dropna()
    swapped = reliability.swaps(both[count], both[total])
    if not swapped:
        return f"N = {count}: the {len(both)} methods are in the same order as with all {total} samples."
    pairs = ", ".join(" and ".join(pair) for pair in swapped)
    return f"N = {count}: the order of {pairs} is the reverse of that with all {total} samples."


# Brackets --------------------------------------------------------------------------------------------------------


def brackets_section(runs: Runs) -> Section:
    """Every metric of the untouched and of the destroyed generator beside the methods."""
    labels = [
        name for name in (*BRACKETS[:1], *runs.methods, *BRACKETS[1:]) if name not in BRACKETS or name in runs.floors
    ]
    rows = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for quantity in runs.quantities(list(METRICS)):
        cells = {label: statistics.summarise(runs.scores(label, quantity)) for label in labels}
        rows.append(
            (quantity.title, *(shown_mean(cell, quantity) for cell in cells.values()), _outside(cells, quantity))
        )
        for label, cell in cells.items():
            if label in BRACKETS and cell and cell.mean is None and cell.reason:
                reasons.setdefault((label, cell.reason), []).append(quantity.title)
    absent = [name for name in BRACKETS if name not in runs.floors]
    findings = [f"Not run: {', '.join(absent)}; `--floors few` measures both on two people."] if absent else []
    findings += [f"{label} has no {', '.join(titles)}: {reason}." for (label, reason), titles in reasons.items()]
    heads = [f"{label}, n = {runs.people(label)}" for label in labels]
    return Section(
        "Brackets: the untouched and the destroyed generator",
        "`nothing` leaves the generator as it is, `scramble` destroys it: a metric with a direction should read "
        "between the two. Mean over people, seeds averaged first; *n* people, in brackets how many have a "
        "value where some have none. The last column names the methods whose mean is outside; – where a "
        "bracket has no value, or neither direction is better.",
        findings,
        [TextTable("", ("metric", *heads, "outside"), tuple(rows))],
    )


def _outside(cells: Mapping[str, Summary | None], quantity: Quantity) -> str:
    """The methods whose mean, as shown, is not between the brackets'; – where there are not two of them."""
    means = {
        label: round(cell.mean, quantity.digits) for label, cell in cells.items() if cell and cell.mean is not None
    }
    ends = [means.pop(name) for name in BRACKETS if name in means]
    if len(ends) < 2 or METRICS[quantity.metric].direction == "none":
        return NONE
    return ", ".join(label for label, mean in means.items() if not min(ends) <= mean <= max(ends)) or "none"
