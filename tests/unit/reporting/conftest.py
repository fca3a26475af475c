"""A small set of records made by hand: two protocols, two judges, five methods, a failed trial and lost faces."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebench.evidence import Evidence, Samples, Sight, Subject
from guidebench.protocol import Protocol
from guidebench.store.evidence_files import save_evidence
from guidebench.store.folders import FAILURES, RECORDS, Record, Store, unfinished_prefix

PROTOCOLS = {
    "ffhq": Protocol(name="ffhq", version=1, title="FFHQ", source="ffhq", identities=3, samples=400),
    "celebahq-multi": Protocol(
        name="celebahq-multi",
        version=1,
        title="CelebAHQ (multi-image)",
        source="celebahq",
        identities=3,
        probe_photos=4,
        samples=400,
    ),
}
STRANGERS = {"alpha": [0.10, 0.15], "beta": [0.05, 0.12]}
# id, id_others, id_retain under judge alpha, FID_pre, ΔFID_real of the first identity; the others add 0.02 and 0.04
LEVELS: Mapping[str, tuple[float, float, float, float, float]] = {
    "nothing": (0.96, 0.96, 0.96, 0.0, 0.0),
    "scramble": (0.0, 0.0, 0.0, 400.0, 390.0),
    "mean-latent": (0.20, 0.40, 0.80, 12.0, 6.0),
    "guide": (0.02, 0.20, 0.90, 8.0, 4.0),
    "mine": (-0.06, 0.30, 0.85, 9.0, -1.0),
}

# cosine of the faces of two forgotten people afterwards
LIKENESS: Mapping[str, float] = {"nothing": 0.1, "mean-latent": 0.9, "guide": 0.6}

MakeRecord = Callable[..., Record]
WriteRecord = Callable[[Path, Record], Path]


def judged(metric: str, value: float | None, judge: str = "alpha", **changes: Any) -> dict[str, Any]:
    """One score as record.json holds it."""
    score = {
        "metric": metric,
        "judge": judge,
        "identity": "a",
        "value": value,
        "reason": None if value is not None else "faces found on both sides in 2 of 11 pairs; 0 lost before, 9 after",
        "n": 11 if value is not None else 2,
        "lost_before": 0,
        "lost_after": 0 if value is not None else 9,
        "after_request": 0,
    }
    return {**score, **changes}


def _scores(method: str, protocol: Protocol, identity: str, shift: float) -> list[dict[str, Any]]:
    ident, others, retain, fid, delta = LEVELS[method]
    values = {"id": ident, "id_retain": retain}
    if protocol.probe_photos:
        values["id_others"] = others
    scores = [
        judged(
            metric,
            None if method == "scramble" else round(value + shift + (0.01 if judge == "beta" else 0.0), 4),
            judge,
            identity=identity,
        )
        for judge in STRANGERS
        for metric, value in values.items()
    ]
    for metric, value in (("fid_pre", fid), ("delta_fid_real", delta)):
        moved = value if method == "nothing" else value + 50 * shift
        scores.append(judged(metric, moved, None, identity=identity, n=protocol.samples))  # type: ignore[arg-type]
    return scores


def build_record(
    method: str = "guide", identity: str = "a", *, seed: int = 0, protocol: str = "celebahq-multi", **changes: Any
) -> Record:
    """A measured record of one of `LEVELS`; ``changes`` replace fields."""
    resolved = PROTOCOLS[protocol]
    shift = {"a": 0.0, "b": 0.02, "c": 0.04}.get(identity, 0.0)
    floor = method in ("nothing", "scramble")
    record = Record(
        key="",
        status="measured",
        protocol=resolved.as_data(),
        protocol_digest=hashlib.sha256(protocol.encode()).hexdigest(),
        testbed="mini",
        conventions="corrected",
        method=method,
        label=method,
        fields={} if floor else {"steps": 300, "lr": 0.001},
        preset=not floor and method != "mine",
        source_digest=hashlib.sha256(method.encode()).hexdigest(),
        floor=floor,
        identity=identity,
        seed=seed,
        manifest=hashlib.sha256(resolved.source.encode()).hexdigest(),
        digests={"generator": "a" * 64, "alpha": "b" * 64, "beta": "c" * 64, "features": "d" * 64},
        judges=["alpha", "beta"],
        strangers=STRANGERS,
        notes={"caption": "Rendered faces: not comparable with published figures.", "features": "mini features, 64 px"},
        scores=_scores(method, resolved, identity, shift) if method in LEVELS else [],
        seconds={"unlearn": 20.0, "evaluate": 5.0, "total": 25.0},
        steps=300,
        trainable=1000,
        device="cpu (test)",
        versions={"guidebench": "0.1.0", "numerics": "1", "torch": "2.13.0"},
        commit=None,
        created="2026-01-01T00:00:00Z",
    )
    record = replace(record, **changes)
    parts = (
        record.protocol_digest,
        record.testbed,
        record.label,
        record.source_digest,
        identity,
        seed,
        record.conventions,
    )
    return record if record.key else replace(record, key=hashlib.sha256(repr(parts).encode()).hexdigest())


def save_record(out: Path, record: Record) -> Path:
    """Writes a record as a run would."""
    store = Store(out)
    kind = RECORDS if record.status == "measured" else FAILURES
    path = store.path(str(record.protocol["name"]), record.label, record.folder_name(), kind=kind)
    if kind == FAILURES:
        path = store.next_attempt(path)
    with store.building(path) as folder:
        if kind == RECORDS:
            save_evidence(_evidence(record), folder / "evidence.npz", store.shared, aside=unfinished_prefix())
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return path


def _evidence(record: Record) -> Evidence:
    """Faces after unlearning, pairwise `LIKENESS` alike: each is that much one common face, the rest its own."""
    likeness = LIKENESS.get(record.method, 0.3)
    place = "abc".find(record.identity) + 1
    face = np.sqrt(likeness) * np.eye(5)[4] + np.sqrt(1 - likeness) * np.eye(5)[place]
    faces, found = np.tile(face, (1, 11, 1)), np.full((1, 11), record.method != "scramble")
    sight = Sight(faces, np.ones_like(found), faces, found, None, None)
    samples = Samples(np.zeros((2, 2), np.float32))
    return Evidence(
        (Subject(record.identity, "forget", 0),), dict.fromkeys(STRANGERS, sight), 5, samples, samples, None
    )


def fill(out: Path) -> Path:
    """The whole set below ``out``."""
    for protocol in PROTOCOLS:
        for method in LEVELS:
            for identity in "abc":
                if method in ("nothing", "scramble") and identity == "c":
                    continue
                record = build_record(method, identity, protocol=protocol)
                if (method, identity, protocol) == ("mine", "b", "ffhq"):
                    record = replace(record, status="failed", scores=[], reason="the loss is not finite at step 7")
                save_record(out, record)
    return out


@pytest.fixture
def make_record() -> MakeRecord:
    return build_record


@pytest.fixture
def write_record() -> WriteRecord:
    return save_record


@pytest.fixture
def make_score() -> Callable[..., dict[str, Any]]:
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
