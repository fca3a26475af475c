"""Records made by hand, and written as a run writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebench.chosen import ChosenMethod
from guidebench.evidence import DifferentPeople
from guidebench.metric import Score
from guidebench.protocol import Protocol
from guidebench.store import folders
from guidebench.store.folders import FAILURES, RECORDS, Store
from guidebench.store.record import Cost, Environment, Instrument, Judge, Outcome, Record, TrialSpec


def build(
    person: str = "anna", *, seed: int = 0, label: str = "guide", failed: str | None = None, **score: Any
) -> Record:
    """A record of one score; score: its fields that differ."""
    usual = {"metric": "id", "judge": "alpha", "identity": person, "role": "forget", "after_request": 1}
    scores = (Score(**{**usual, "value": 0.25, "n": 11, **score}),)  # type: ignore[arg-type]
    return Record(
        spec=TrialSpec(
            protocol=Protocol(name="p", version=1, title="P", source="celebahq", identities=2),
            method=ChosenMethod(
                spec="guide", name="guide", class_name="Guide", label=label, fields={"lr": 0.1}, source_digest="s"
            ),
            testbed="linear",
            weights={"generator": "g", "alpha": "a"},
            manifest="m",
            requests=((person,),),
            seed=seed,
        ),
        instrument=Instrument(
            testbed="linear",
            caption="",
            conventions="",
            features="",
            real="",
            judges=(Judge(name="alpha", different_people=DifferentPeople(0.0, 0.1, 20, 0.3, (0.2, 0.4))),),
        ),
        environment=Environment(device="cpu", versions={}, commit=None, created="2026-01-01T00:00:00+00:00"),
        outcome=Outcome(status="failed", reason=failed) if failed else Outcome(status="measured", scores=scores),
        cost=Cost(
            seconds_unlearn=1.5,
            seconds_evaluate=0.5,
            seconds_total=2.0,
            steps=7,
            trainable=12,
            peak_memory_bytes=None,
            memory="",
        ),
    )


def put(out: Path, record: Record, folder: Path | None = None) -> Path:
    """Writes a record with files beside it that say whose they are; returns its folder."""
    store = Store(out)
    target = folder or store.path(record.spec, kind=RECORDS if record.is_measured else FAILURES)
    if folder is None and not record.is_measured:
        target = store.next_attempt(target)
    with store.building(target) as aside:
        np.savez(aside / "evidence.npz", of=np.array([record.spec.group, str(record.spec.seed)]))
        (aside / "progress.csv").write_text(f"request,step\n1,{record.spec.group}\n")
        (aside / "pictures").mkdir()
        (aside / "pictures/sheet.png").write_text("a picture")
        folders.write_record(record, aside)
    return target


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return build


@pytest.fixture
def put_record() -> Callable[..., Path]:
    return put
