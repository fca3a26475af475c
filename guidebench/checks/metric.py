"""`guidebench check` of a metric: computes it from made-up evidence of every scenario, and looks at the scores.

The checks look at the contract only, see docs/metrics.md; whether a number means what its name says needs a test that
derives it by hand.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from guidebench import registry
from guidebench.checks.finding import Finding, guarded
from guidebench.errors import GuidebenchError, in_one_line
from guidebench.evidence import (
    Afterwards,
    Attacked,
    Evidence,
    FrechetStatistics,
    Role,
    Samples,
    Seen,
    SeenFaces,
    Shown,
    Sight,
    Subject,
)
from guidebench.metric import CrossMetric, Metric, Score, TrialMetric

JUDGES = ("first", "second")
VIEWS, NEIGHBOURS, EMBEDDING, FEATURES, SAMPLES = 3, 4, 8, 6, 128  # of the made-up evidence
_ROLES = (*typing.get_args(Role), "samples")


@dataclass(frozen=True)
class Case:
    """Evidence of one scenario, and whom scores may be about."""

    name: str
    given: Any  # what the metric's compute() takes
    identities: frozenset[str]
    requests: int

    def changed(self, change: Callable[[SeenFaces], SeenFaces]) -> Case:
        """The same with other faces wherever there are faces."""
        return dataclasses.replace(self, given=_with_faces(self.given, change))


def check_metric(spec: str) -> list[Finding]:
    """Checks a metric by name, ``path/to/file.py:NAME`` or ``module:NAME``; stops where a finding forbids going on."""
    return list(_findings(spec))


def _findings(spec: str) -> Iterator[Finding]:
    try:
        metric = registry.load_metric(spec)
    except GuidebenchError as error:
        yield Finding("loads", False, str(error))
        return
    yield Finding("loads", True, f"{type(metric).__name__} '{metric.name}', {metric.title} in tables")
    yield Finding("direction", True, f"{_better(metric)}, in {metric.unit}")
    assert isinstance(metric, (TrialMetric, CrossMetric))
    make = trials if isinstance(metric, TrialMetric) else everybodies
    computes = guarded(
        "computes", f"scores of {', '.join(case.name for case in make())}", lambda: _computes(metric, make())
    )
    yield computes
    if not computes.ok:
        return
    whom = "scores are about people, judges and requests of the evidence"
    yield guarded("people", whom, lambda: _people(metric, make()))
    yield guarded("records", "plain numbers and texts, as JSON holds them", lambda: _records(metric, make()))
    yield guarded("pure", "the same evidence gives the same scores and stays as it is", lambda: _pure(metric, make))
    yield guarded("order", "scores do not depend on the order of judges", lambda: _order(metric, make()))
    if metric.judged:
        yield guarded("missing", "no face found: no value, and a reason", lambda: _missing(metric, make()))
        yield guarded("unseen", "vectors without a face are not looked at", lambda: _unseen(metric, make()))


def _better(metric: Metric) -> str:
    return "neither way is better" if metric.direction == "none" else f"{metric.direction} is better"


def _scores(metric: TrialMetric | CrossMetric, case: Case) -> Sequence[Score]:
    return metric.compute(case.given)


def _computes(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    """Score objects, at least one in all cases together; each with a finite value, or None and a reason."""
    count = 0
    for case in cases:
        try:
            scores = _scores(metric, case)
        except Exception as error:
            return f"{case.name}: compute() raised {in_one_line(error)}"
        if isinstance(scores, (str, bytes)) or not isinstance(scores, Sequence):
            return f"{case.name}: compute() must return a list of Score, it returned a {type(scores).__name__}"
        for score in scores:
            if not isinstance(score, Score):
                return f"{case.name}: compute() must return a list of Score, it holds a {type(score).__name__}"
            if (score.value is None) != bool(score.reason):
                given = f"value {score.value} and reason {score.reason!r}"
                return f"{case.name}: {_of(score)} has {given}; give exactly one of them"
        count += len(scores)
    return None if count else "compute() gives no score of any evidence; return one Score per judge and person"


def _people(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    judges: tuple[str | None, ...] = JUDGES if metric.judged else (None,)
    for case in cases:
        scores = _scores(metric, case)
        for score in scores:
            wrong = (
                ("metric", score.metric, (metric.name,)),
                ("judge", score.judge, judges),
                ("identity", score.identity, sorted(case.identities)),
                ("role", score.role, _ROLES),
                ("after_request", score.after_request, range(1, case.requests + 1)),
            )
            for field, value, allowed in wrong:
                if value not in allowed:
                    among = ", ".join(map(str, allowed))
                    return f"{case.name}: a score has {field} = {value!r}, the evidence holds: {among}"
        places = [(score.judge, score.identity, score.role, score.after_request) for score in scores]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice:
            return f"{case.name}: there are two scores of {', '.join(map(str, twice))}; give one"
    return None


def _records(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    for case in cases:
        for score in _scores(metric, case):
            for field in ("n", "lost_before", "lost_after"):
                if (value := getattr(score, field)) < 0:
                    return f"{case.name}: {field} = {value} of {_of(score)} is below zero"
            json.dumps(dataclasses.asdict(score), allow_nan=False)
    return None


def _pure(metric: TrialMetric | CrossMetric, make: Callable[[], Sequence[Case]]) -> str | None:
    for case, untouched in zip(make(), make(), strict=True):
        first = list(_scores(metric, case))
        if not all(map(np.array_equal, _arrays(case.given), _arrays(untouched.given))):
            return f"{case.name}: compute() changes arrays of the evidence; work on copies"
        if not first == list(_scores(metric, case)) == list(_scores(metric, untouched)):
            return f"{case.name}: two calls with the same evidence give different scores; draw from a seeded generator"
    return None


def _order(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    def by_place(scores: Sequence[Score]) -> dict[tuple[object, ...], Score]:
        return {(score.judge, score.identity, score.role, score.after_request): score for score in scores}

    for case in cases:
        turned = dataclasses.replace(case, given=_turned(case.given))
        if by_place(_scores(metric, case)) != by_place(_scores(metric, turned)):
            return f"{case.name}: scores change with the order of the judges; look each judge up by name"
    return None


def _missing(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    for case in cases:
        blind = case.changed(lambda faces: Seen(faces.vectors, np.zeros_like(faces.found)))
        for score in _scores(metric, blind):
            if score.value is not None:
                return (
                    f"{case.name}: no face is found anywhere, and {_of(score)} is {score.value}; give None and the "
                    "reason: a missing face is not a similarity of 0"
                )
    return None


def _unseen(metric: TrialMetric | CrossMetric, cases: Sequence[Case]) -> str | None:
    rng = np.random.default_rng(7)

    def partly(faces: SeenFaces) -> SeenFaces:
        found = faces.found & (np.arange(faces.found.size).reshape(faces.found.shape) % 5 != 0)
        return Seen(faces.vectors, found)

    def otherwise(faces: SeenFaces) -> SeenFaces:
        return Seen(np.where(faces.found[..., None], faces.vectors, _unit(rng, faces.found.shape)), faces.found)

    for case in cases:
        some = case.changed(partly)
        if list(_scores(metric, some)) != list(_scores(metric, some.changed(otherwise))):
            return f"{case.name}: scores change with vectors whose face was not found; use `found` to leave them out"
    return None


def _of(score: Score) -> str:
    judge = f" by judge {score.judge}" if score.judge else ""
    return f"the score of {score.identity}{judge}"


def trials() -> list[Case]:
    """Evidence of a single request, of one for two people, of two requests, and without photographs or neighbours."""
    return [
        _trial("one person", forget=1, requests=1),
        _trial("two people in one request", forget=2, requests=1),
        _trial("two requests", forget=1, requests=2),
        _trial("a sampled identity", forget=1, requests=1, photos=False),
    ]


def _trial(name: str, *, forget: int, requests: int, photos: bool = True) -> Case:
    """Evidence of a scenario: each forgotten person has one further photograph, one person is named, two are kept."""
    rng = np.random.default_rng(len(name))
    people = [f"person-{place}" for place in range(forget * requests)]
    subjects = [
        Subject(identity, role, photo, place // forget + 1)
        for place, identity in enumerate(people)
        for photo, role in enumerate(typing.cast(tuple[Role, ...], ("forget", "probe") if photos else ("forget",)))
    ]
    subjects += [Subject("named-0", "named", 0), Subject("kept-0", "retain", 0), Subject("kept-1", "retain", 0)]
    subjects += [Subject("alike-0", "lookalike", 0)]
    sights = {judge: _sight(rng, len(subjects), requests, len(people), photos) for judge in JUDGES}
    source, *after = (Samples(_features(rng)) for _ in range(1 + requests))
    real = FrechetStatistics.of(_features(rng)) if photos else None
    thresholds = {JUDGES[0]: 0.5}  # as of judges of which only one is known well enough
    attacks = {"attack": _attacked(rng, people), "another": _attacked(rng, people, curve=True)} if photos else {}
    evidence = Evidence(
        tuple(subjects), sights, VIEWS // 2, source, tuple(after), real, thresholds=thresholds, attacks=attacks
    )
    whom = {subject.identity for subject in subjects} | {evidence.group}
    return Case(name, evidence, frozenset(whom), requests)


def _attacked(rng: np.random.Generator, people: Sequence[str], *, curve: bool = False) -> Attacked:
    """Unrelated faces, all found: two findings per person, and the same of the original and of somebody else."""
    numbers = np.tile(np.array([1.0, 2.0]), (len(people), 1))
    found, original, other = (
        {judge: Shown(_faces(rng, count, 2, VIEWS), _faces(rng, count, 2, VIEWS)) for judge in JUDGES}
        for count in (len(people), len(people), 1)
    )
    return Attacked(tuple(people), numbers, numbers, found, original, ("kept-0",), other, curve=curve)


def _sight(rng: np.random.Generator, subjects: int, requests: int, people: int, photos: bool) -> Sight:
    """Unrelated faces, all found, with photographs and neighbours or without both."""
    return Sight(
        before=_faces(rng, subjects, VIEWS),
        after=_faces(rng, requests, subjects, VIEWS),
        photo=_faces(rng, subjects) if photos else None,
        neighbours=_faces(rng, requests, people, NEIGHBOURS) if photos else None,
    )


def everybodies() -> list[Case]:
    """What one, two and three forgotten people contribute to a metric over several trials, after two requests."""
    return [_everybody(count) for count in (1, 2, 3)]


def _everybody(count: int) -> Case:
    rng = np.random.default_rng(count)
    people = [f"person-{place}" for place in range(count)]
    given = [Afterwards(person, {judge: _faces(rng, VIEWS) for judge in JUDGES}, request=2) for person in people]
    name = "one person" if count == 1 else f"{count} people, one trial each"
    return Case(name, given, frozenset(people), requests=2)


def _faces(rng: np.random.Generator, *shape: int) -> SeenFaces:
    return Seen(_unit(rng, shape), np.ones(shape, dtype=bool))


def _unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit rows (*shape, EMBEDDING) float32."""
    rows = rng.standard_normal((*shape, EMBEDDING))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def _features(rng: np.random.Generator) -> np.ndarray:
    """(SAMPLES, FEATURES) float32."""
    return rng.standard_normal((SAMPLES, FEATURES)).astype(np.float32)


def _with_faces(given: Any, change: Callable[[SeenFaces], SeenFaces]) -> Any:
    """Evidence, or what several trials contribute, with other faces."""
    if isinstance(given, Evidence):
        sights = {
            judge: Sight(*(None if faces is None else change(faces) for faces in _parts(sight)))  # type: ignore[arg-type]
            for judge, sight in given.sights.items()
        }
        attacks = {label: _changed(attacked, change) for label, attacked in given.attacks.items()}
        return dataclasses.replace(given, sights=sights, attacks=attacks)
    return [
        dataclasses.replace(one, faces={judge: change(faces) for judge, faces in one.faces.items()}) for one in given
    ]


def _changed(attacked: Attacked, change: Callable[[SeenFaces], SeenFaces]) -> Attacked:
    return _with_kinds(
        attacked,
        lambda by_judge: {judge: Shown(change(shown.after), change(shown.before)) for judge, shown in by_judge.items()},
    )


def _with_kinds(attacked: Attacked, change: Callable[[dict[str, Shown]], dict[str, Shown]]) -> Attacked:
    found, original, other = map(change, (attacked.found, attacked.original, attacked.other))
    return dataclasses.replace(attacked, found=found, original=original, other=other)


def _turned(given: Any) -> Any:
    """The same with the judges the other way round."""

    def turned(by_judge: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reversed(list(by_judge.items())))

    if isinstance(given, Evidence):
        attacks = {label: _with_kinds(one, turned) for label, one in given.attacks.items()}
        return dataclasses.replace(given, sights=turned(given.sights), attacks=attacks)
    return [dataclasses.replace(one, faces=turned(one.faces)) for one in given]


def _parts(sight: Sight) -> tuple[SeenFaces | None, ...]:
    return sight.before, sight.after, sight.photo, sight.neighbours


def _arrays(given: Any) -> list[np.ndarray]:
    """Every array of evidence, or of what several trials contribute, in a fixed order."""
    if not isinstance(given, Evidence):
        faces: list[SeenFaces | None] = [faces for one in given for faces in one.faces.values()]
        return [array for seen in faces if seen is not None for array in (seen.vectors, seen.found)]
    faces = [part for sight in given.sights.values() for part in _parts(sight)]
    kinds = [kind for one in given.attacks.values() for kind in (one.found, one.original, one.other)]
    shown = [one for by_judge in kinds for one in by_judge.values()]
    faces += [part for one in shown for part in (one.after, one.before)]
    found = [array for seen in faces if seen is not None for array in (seen.vectors, seen.found)]
    real = [] if given.real is None else [given.real.mean, given.real.covariance]
    return [*found, given.source.features, *(samples.features for samples in given.after), *real]
