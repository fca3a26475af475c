"""A small set of records made by hand: two protocols, two judges, five methods, a failed trial and lost faces."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebench.chosen import ChosenMethod
from guidebench.evidence import DifferentPeople, Evidence, Samples, Seen, Sight, Subject
from guidebench.metric import Score
from guidebench.metrics import METRICS
from guidebench.protocol import Protocol
from guidebench.reporting import choice, layout
from guidebench.reporting.model import Report
from guidebench.store import folders
from guidebench.store.evidence_files import save_evidence
from guidebench.store.folders import FAILURES, RECORDS, Store, StoredRecord
from guidebench.store.record import Cost, Environment, Instrument, Judge, Outcome, Record, TrialSpec

PRIMARY = ("id", "id_others", "id_retain", "fid_pre", "delta_fid_real")
PROTOCOLS = {
    "ffhq": Protocol(name="ffhq", version=1, title="FFHQ", source="ffhq", identities=3, samples=400, primary=PRIMARY),
    "celebahq-multi": Protocol(
        name="celebahq-multi",
        version=1,
        title="CelebAHQ (multi-image)",
        source="celebahq",
        identities=3,
        probe_photos=4,
        samples=400,
        primary=PRIMARY,
    ),
}
DIFFERENT_PEOPLE = {"alpha": DifferentPeople(0.10, 0.15), "beta": DifferentPeople(0.05, 0.12)}
# id, id_others, id_retain under judge alpha, FID_pre, ΔFID_real of the first person; the others add 0.02 and 0.04
LEVELS: Mapping[str, tuple[float, float, float, float, float]] = {
    "nothing": (0.94, 0.94, 0.94, 0.0, 0.0),
    "scramble": (0.0, 0.0, 0.0, 400.0, 390.0),
    "mean-latent": (0.20, 0.40, 0.80, 12.0, 6.0),
    "guide": (0.02, 0.20, 0.90, 8.0, 4.0),
    "mine": (-0.06, 0.30, 0.85, 9.0, -1.0),
}
ROLES = {"id": "forget", "id_others": "probe", "id_retain": "retain", "fid_pre": "samples", "delta_fid_real": "samples"}

# cosine of the faces of two forgotten people afterwards
LIKENESS: Mapping[str, float] = {"nothing": 0.1, "mean-latent": 0.9, "guide": 0.6}

MakeRecord = Callable[..., Record]
WriteRecord = Callable[[Path, Record], Path]


def judged(metric: str, value: float | None, judge: str | None = "alpha", **changes: Any) -> Score:
    """A score of person a; without a value, most faces were lost."""
    score = Score(
        metric=metric,
        judge=judge,
        identity="a",
        role=ROLES.get(metric, "forget"),  # type: ignore[arg-type]
        after_request=1,
        value=value,
        reason=None if value is not None else "faces found on both sides in 2 of 11 pairs; 0 lost before, 9 after",
        n=11 if value is not None else 2,
        lost_after=0 if value is not None else 9,
    )
    return replace(score, **changes)


def _scores(method: str, protocol: Protocol, person: str) -> list[Score]:
    shift = {"a": 0.0, "b": 0.02, "c": 0.04}.get(person, 0.0)
    ident, others, retain, fid, delta = LEVELS[method]
    values = {"id": ident, "id_retain": retain}
    if protocol.probe_photos:
        values["id_others"] = others
    scores = [
        judged(
            metric,
            None if method == "scramble" else round(value + shift + (0.01 if judge == "beta" else 0.0), 4),
            judge,
            identity=person,
        )
        for judge in DIFFERENT_PEOPLE
        for metric, value in values.items()
    ]
    for metric, value in (("fid_pre", fid), ("delta_fid_real", delta)):
        moved = value if method == "nothing" else value + 50 * shift
        scores.append(judged(metric, moved, None, identity=person, n=protocol.samples))
    return scores


def build_record(
    method: str = "guide",
    identity: str = "a",
    *,
    seed: int = 0,
    protocol: str | Protocol = "celebahq-multi",
    requests: Sequence[Sequence[str]] | None = None,
    label: str | None = None,
    fields: Mapping[str, Any] | None = None,
    preset: bool | None = None,
    source_digest: str | None = None,
    training_seen: bool = True,
    testbed: str = "mini",
    conventions: str = "corrected",
    weights: Mapping[str, str] | None = None,
    weights_version: str | None = None,
    manifest: str | None = None,
    numerics: int = 1,
    precision: str = "strict",
    judges: Iterable[str] = tuple(DIFFERENT_PEOPLE),
    caption: str = "Rendered faces: not comparable with published figures.",
    features: str = "mini features, 64 px",
    versions: Mapping[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    scores: Iterable[Score] | None = None,
    failed: str | None = None,
    peak_memory_bytes: int | None = None,
) -> Record:
    """A record of one of `LEVELS`; failed: why it failed. What differs from the method as it is has other fields."""
    resolved = replace(PROTOCOLS[protocol] if isinstance(protocol, str) else protocol, conventions=conventions)
    floor = method in ("nothing", "scramble")
    usual = {} if floor else {"steps": 300, "lr": 0.001}
    known = {"generator": "a" * 64, "alpha": "b" * 64, "beta": "c" * 64, "features": "d" * 64}
    if scores is None:
        scores = _scores(method, resolved, requests[0][0] if requests else identity) if method in LEVELS else []
    return Record(
        spec=TrialSpec(
            protocol=resolved,
            method=ChosenMethod(
                spec=method,
                name=method,
                class_name=method.title(),
                label=label or method,
                fields=usual | ({"setting": label} if label else {}) if fields is None else fields,
                source_digest=source_digest or hashlib.sha256(method.encode()).hexdigest(),
                preset=not floor and method != "mine" if preset is None else preset,
                floor=floor,
                training_seen=training_seen,
            ),
            testbed=testbed,
            weights=known if weights is None else weights,
            manifest=manifest or hashlib.sha256(resolved.source.encode()).hexdigest(),
            requests=tuple(map(tuple, requests)) if requests else ((identity,),),
            seed=seed,
            numerics=numerics,
            precision=precision,
        ),
        instrument=Instrument(
            testbed="mini",
            caption=caption,
            conventions="",
            features=features,
            real="",
            judges=tuple(Judge(name=name, different_people=DIFFERENT_PEOPLE.get(name)) for name in judges),
            weights_version=weights_version,
        ),
        environment=Environment(
            device="cpu (test)",
            versions={"guidebench": "0.1.0", "torch": "2.13.0", **(versions or {})},
            commit=None,
            created=created,
        ),
        outcome=Outcome(status="failed", reason=failed) if failed else Outcome(status="measured", scores=tuple(scores)),
        cost=None
        if failed
        else Cost(
            seconds_unlearn=20.0,
            seconds_evaluate=5.0,
            seconds_total=25.0,
            steps=300,
            trainable=1000,
            peak_memory_bytes=peak_memory_bytes,
            memory="invented",
        ),
    )


def save_record(out: Path, record: Record) -> Path:
    """Writes a record where a run would; returns its folder."""
    folder = Store(out).path(record.spec, kind=RECORDS if record.is_measured else FAILURES)
    folder = folder / ("" if record.is_measured else "1")
    folder.mkdir(parents=True, exist_ok=True)
    if record.is_measured:
        save_evidence(_evidence(record), folder / "evidence.npz", out / "shared", aside=".building-test-")
    folders.write_record(record, folder)
    return folder


def _evidence(record: Record) -> Evidence:
    """Faces after unlearning, pairwise `LIKENESS` alike: each is that much one common face, the rest its own."""
    spec = record.spec
    likeness = LIKENESS.get(spec.method.name, 0.3)
    axes = np.eye(8)
    own = np.stack([axes[1 + "abcdef".find(person)] for person in spec.people])
    faces = np.sqrt(likeness) * axes[7] + np.sqrt(1 - likeness) * own
    before = Seen(np.tile(own[:, None], (1, 11, 1)), np.ones((len(own), 11), bool))
    found = np.full((len(spec.requests), len(own), 11), spec.method.name != "scramble")
    sight = Sight(before, Seen(np.tile(faces[None, :, None], (len(spec.requests), 1, 11, 1)), found))
    samples = Samples(np.zeros((2, 2), np.float32))
    forgotten = tuple(
        Subject(person, "forget", 0, request)
        for request, people in enumerate(spec.requests, start=1)
        for person in people
    )
    sights = {judge.name: sight for judge in record.instrument.judges}
    return Evidence(forgotten, sights, 5, samples, (samples,) * len(spec.requests), None)


def fill(out: Path) -> Path:
    """The whole set below ``out``."""
    for protocol in PROTOCOLS:
        for method in LEVELS:
            for identity in "abc":
                if method in ("nothing", "scramble") and identity == "c":
                    continue
                broken = (method, identity, protocol) == ("mine", "b", "ffhq")
                failed = "the loss is not finite at step 7" if broken else None
                save_record(out, build_record(method, identity, protocol=protocol, failed=failed))
    return out


@pytest.fixture
def make_record() -> MakeRecord:
    return build_record


@pytest.fixture
def write_record() -> WriteRecord:
    return save_record


@pytest.fixture
def make_score() -> Callable[..., Score]:
    return judged


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A copy of the committed record set, to be changed at will; `make_records.py` says what is in it."""
    return Path(shutil.copytree(Path(__file__).parent / "records", tmp_path / "committed"))


@pytest.fixture(scope="session")
def _whole_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("records"))


@pytest.fixture
def runs(tmp_path: Path, _whole_set: Path) -> Path:
    """A directory with the whole set, to be changed at will."""
    return Path(shutil.copytree(_whole_set, tmp_path / "runs"))


@pytest.fixture
def build_stored() -> Callable[..., Report]:
    """The report of stored records in a layout by name, or of a table."""

    def build(stored: Sequence[StoredRecord], name: str = "auto", table: Any = None, **options: Any) -> Report:
        return layout.build(stored, METRICS, choice=choice.resolve(name, stored, table), **options)

    return build


@pytest.fixture
def build(build_stored: Callable[..., Report]) -> Callable[..., Report]:
    """The report of records without folders."""

    def build(records: Iterable[Record], *arguments: Any, **options: Any) -> Report:
        return build_stored([StoredRecord(record, "path") for record in records], *arguments, **options)

    return build


@pytest.fixture
def make(make_record: MakeRecord, make_score: Callable[..., Score]) -> Callable[..., list[Record]]:
    """Records of a method, one person per value, under the first judge."""

    def records(
        method: str,
        values: Iterable[float | None],
        metric: str = "id",
        judge: str = "alpha",
        seed: int = 0,
        **changes: Any,
    ) -> list[Record]:
        return [
            make_record(method, who, seed=seed, scores=[make_score(metric, value, judge, identity=who)], **changes)
            for who, value in zip([f"p{number}" for number in range(8)], values, strict=False)
        ]

    return records
