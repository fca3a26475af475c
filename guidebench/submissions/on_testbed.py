"""What a testbed that is installed here says of a submission: weights, people, and a sample of trials judged again."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench import registry
from guidebench.errors import BadInput, GuidebenchError, in_one_line
from guidebench.metric import Metric, Score
from guidebench.metrics import METRICS, score_all
from guidebench.metrics.attacks import of_attack
from guidebench.photos.own import SOURCE
from guidebench.protocol import Protocol
from guidebench.store.folders import StoredRecord
from guidebench.store.record import Instrument
from guidebench.submissions.check import Check, counted, differs, each_differs, listed, not_checked, ok
from guidebench.submissions.claims import Groups, shipped
from guidebench.submissions.recomputed import called, evidence_of

if TYPE_CHECKING:
    from guidebench.engine.judged_again import Judge

# How far scores of one generator differ between two machines at most, by unit: docs/statistics.md#on-another-machine.
_TOLERANCE: Mapping[str, float] = {"cosine": 0.002, "squared feature distance": 0.1}
_RELATIVE = 0.01  # of other units, and of large distances
_SAMPLES = 2  # renders or samples of which a share may be otherwise
_WORDS = 1e-4  # by which the cosine of different people may differ


@dataclass(frozen=True)
class Found:
    """What the testbeds say."""

    checks: list[Check]
    groups: Groups  # who is forgotten under protocols, where that is known


def check_on_testbeds(
    stored: Sequence[StoredRecord], *, sample: int, evidence: bool, trust_code: bool, photos: Path | None, device: str
) -> Found:
    """Compares records with the testbeds that are installed here, and judges a sample of trials again.

    sample: how many trials; those with a kept generator come first, and nobody knows which. evidence: whether there is
    any. trust_code: whether files that records name may run. photos: the user's photographs.
    """
    checks: list[Check] = []
    groups: dict[str, Sequence[tuple[tuple[str, ...], ...]]] = {}
    drawn = {id(item) for item in _drawn(stored, sample)} if evidence else set()
    for alike in _alike(stored):
        first = alike[0].record
        name = first.spec.testbed
        if reason := _why_not(first.instrument.testbed, first.spec.protocol, trust_code, photos):
            checks.append(not_checked("testbed", f"{name}: {reason}"))
            continue
        try:
            checks += _on_testbed(alike, drawn, groups, trust_code, photos, device)
        except GuidebenchError as error:
            checks.append(not_checked("testbed", f"{name}: {error}"))
    kept = sum((item.path / "generator").is_dir() for item in stored)
    if evidence and kept and sample < 1:
        checks.append(not_checked("renders", f"{counted(kept, 'kept generator')}, none rendered; give --sample N"))
    if not evidence or not kept:
        checks.append(
            not_checked("renders", "no kept generator is included, so that nothing unlearned can be rendered")
        )
    return Found(checks, groups)


def _drawn(stored: Sequence[StoredRecord], sample: int) -> list[StoredRecord]:
    measured = [item for item in stored if item.record.is_measured]
    random.SystemRandom().shuffle(measured)
    measured.sort(key=lambda item: not (item.path / "generator").is_dir())  # stable
    return measured[:sample]


def _alike(stored: Sequence[StoredRecord]) -> list[list[StoredRecord]]:
    found: dict[tuple[object, ...], list[StoredRecord]] = {}
    for item in stored:
        spec = item.record.spec
        own = spec.protocol.source == SOURCE
        key = (item.record.instrument.testbed, own, spec.protocol.conventions, spec.precision, spec.salt)
        found.setdefault(key, []).append(item)
    return list(found.values())


def _why_not(testbed: str, protocol: Protocol, trust_code: bool, photos: Path | None) -> str:
    """Why nothing can be said of trials; "": it can."""
    if registry.is_direct(testbed) and not trust_code:
        return "it is in a file of the authors; give --trust-code if you know whose it is"
    if not registry.is_direct(testbed) and not registry.TESTBED.has(testbed):
        return "no testbed of that name is installed here"
    if protocol.source == SOURCE and photos is None:
        return "its photographs were the authors'; give them with --photos"
    return ""


def _on_testbed(
    alike: Sequence[StoredRecord],
    drawn: set[int],
    groups: dict[str, Sequence[tuple[tuple[str, ...], ...]]],
    trust_code: bool,
    photos: Path | None,
    device: str,
) -> Iterator[Check]:
    from guidebench.engine.judged_again import judging

    own = photos if alike[0].record.spec.protocol.source == SOURCE else None
    with judging(alike[0], _with_everybody(alike), device=device, photos=own) as judge:
        groups |= judge.description.groups
        wrong = {item.path: text for item in alike if (text := _other(item, judge))}
        yield from each_differs(
            "testbed", [f"{called(item)}: {wrong[item.path]}" for item in alike if item.path in wrong]
        )
        right = [item for item in alike if item.path not in wrong]
        if right:
            spec, version = right[0].record.spec, right[0].record.instrument.weights_version
            numbered = f", weights version {version}" if version else ""
            yield ok("testbed", f"{counted(len(right), 'record')} of {spec.testbed}{numbered}, as installed here")
        yield from _judged([item for item in right if id(item) in drawn], judge, trust_code)


def _with_everybody(alike: Sequence[StoredRecord]) -> list[Protocol]:
    """The protocols of trials, with as many people as those that ship have."""
    found: dict[str, Protocol] = {}
    for item in alike:
        protocol = item.record.spec.protocol
        official = shipped(protocol, item.record.spec.testbed)
        known = [one.identities for one in (official, found.get(protocol.digest())) if one is not None]
        most = max(protocol.identities, *known, 0)
        found[protocol.digest()] = dataclasses.replace(protocol, identities=most - most % protocol.people)
    return list(found.values())


def _other(item: StoredRecord, judge: Judge) -> str:
    """How a record's testbed differs from the one that is here; "": not at all."""
    spec, here = item.record.spec, judge.description
    names = sorted(spec.weights.keys() | here.weights.keys())
    if weights := [name for name in names if spec.weights.get(name) != here.weights.get(name)]:
        return f"other weights of {listed(weights)} than are installed"
    if spec.testbed_code != here.testbed_code or spec.testbed != here.testbed:
        return "other code of the testbed than is installed"
    if spec.manifest != here.manifests[spec.protocol.digest()]:
        return "other photographs than are here"
    if spec.requests not in here.groups[spec.protocol.digest()]:
        return f"{spec.group} is nobody whom the protocol asks to forget"
    if not _alike_in_words(item.record.instrument, judge.instrument(spec)):
        return "the testbed says other things of itself here, such as how alike different people are"
    return ""


def _alike_in_words(theirs: Instrument, ours: Instrument) -> bool:
    def bare(instrument: Instrument) -> Instrument:
        judges = tuple(dataclasses.replace(one, different_people=None) for one in instrument.judges)
        return dataclasses.replace(instrument, judges=judges)

    def numbers(instrument: Instrument) -> list[float]:
        known = [one.different_people for one in instrument.judges]
        return [value or 0.0 for one in known if one for value in (one.mean, one.std, one.threshold, one.pairs)]

    first, second = numbers(theirs), numbers(ours)
    same = len(first) == len(second) and all(
        math.isclose(one, other, rel_tol=_WORDS, abs_tol=_WORDS) for one, other in zip(first, second, strict=False)
    )
    return bare(theirs) == bare(ours) and same


# A sample, judged again ------------------------------------------------------------------------------------------


def _judged(sample: Sequence[StoredRecord], judge: Judge, trust_code: bool) -> Iterator[Check]:
    from guidebench.engine.kept_generators import refuse_code

    wrong: dict[str, list[str]] = {"renders": [], "originals": []}
    right: dict[str, int] = {"renders": 0, "originals": 0}
    largest = 0.0
    for item in sample:
        about = "renders" if (item.path / "generator").is_dir() else "originals"
        try:
            if about == "renders" and not trust_code:
                refuse_code(item.record, item.path)
        except BadInput as error:
            yield not_checked("renders", str(error))
            continue
        try:
            recorded = evidence_of(item)
            now = judge.judge(item, recorded)
            found = score_all(now.evidence)
        except (GuidebenchError, ValueError) as error:
            wrong[about].append(f"{called(item)}: {error}")
            continue
        except Exception as error:  # whatever odd evidence may lead to
            wrong[about].append(f"{called(item)}: it cannot be judged: {in_one_line(error)}")
            continue
        pairs = list(_paired(item.record.outcome.scores, found, len(item.record.spec.requests)))
        far = [text for text in (_far(*pair) for pair in pairs) if text]
        if now.wrapper is not None and now.wrapper != ("wrapper" in item.record.outcome.marks):
            far.append(f"its generator is {'a' if now.wrapper else 'no'} wrapper")
        if far:
            wrong[about].append(f"{called(item)}: {far[0]}{f', and {len(far) - 1} more scores' if far[1:] else ''}")
        else:
            right[about] += 1
            largest = max([largest, *(_cosines_apart(*pair) for pair in pairs)])
    for about, what in (("renders", "kept generator"), ("originals", "trial")):
        if right[about]:
            judged = "rendered and judged here" if about == "renders" else "whose original generator was judged here"
            says = f"{counted(right[about], what)} {judged}: scores as recorded, cosines to {largest:.1g}"
            yield ok(about, says)
        yield from (differs(about, text) for text in wrong[about])


def _paired(recorded: Sequence[Score], found: Sequence[Score], last: int) -> Iterator[tuple[Metric, Score, Score]]:
    """Recorded scores after the last request, each with what is found now."""
    now = {score.place: score for score in found}
    for score in recorded:
        if score.after_request == last and score.place in now and (metric := _metric(score.metric)):
            yield metric, score, now[score.place]


def _metric(name: str) -> Metric | None:
    known = METRICS.get(name)
    return known or next(
        (metric for metric in of_attack(name.partition("_")[2].partition("_")[2]) if metric.name == name), None
    )


def _far(metric: Metric, recorded: Score, now: Score) -> str:
    """How a score differs by more than machines do; "": it does not."""
    if recorded.value is None and now.value is None:
        return ""
    if recorded.value is not None and now.value is not None:
        allowed = _TOLERANCE.get(metric.unit, 0.0)
        if metric.unit == "share":
            allowed = _SAMPLES / max(1, recorded.n)
        relative = 0.0 if metric.unit in ("cosine", "share") else _RELATIVE
        if math.isclose(recorded.value, now.value, rel_tol=relative, abs_tol=allowed):
            return ""
    values = ["no value" if score.value is None else f"{score.value:.5g}" for score in (recorded, now)]
    by = f" by {recorded.judge}" if recorded.judge else ""
    return f"{recorded.metric} of {recorded.identity}{by} was {values[0]}, here it is {values[1]}"


def _cosines_apart(metric: Metric, recorded: Score, now: Score) -> float:
    if metric.unit != "cosine" or recorded.value is None or now.value is None:
        return 0.0
    return abs(recorded.value - now.value)
