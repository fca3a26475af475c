"""Records for tests of the page: those of the reporting tests, with pictures, attacks and hostile names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from unit.reporting.conftest import build_record, judged, save_record

from guidebench.chosen import ChosenAttack
from guidebench.reporting.figures import Cell, Row, sheet
from guidebench.store import folders
from guidebench.store.folders import person_folder
from guidebench.store.record import AttackRun, Record

HOSTILE = "</script><img src=x onerror=alert(1)>"
SIDE = 32
ATTACK = ChosenAttack(
    spec="neighbourhood",
    name="neighbourhood",
    class_name="Neighbourhood",
    label="neighbourhood",
    fields={"steps": 12},
    source_digest="e" * 64,
    knows="weights",
    unit="steps",
    shows_anybody=False,
)


def face(*names: object) -> np.ndarray:
    """A smooth picture that follows from names alone, (SIDE, SIDE, 3) uint8."""
    draws = np.random.default_rng([ord(letter) for letter in repr(names)])
    coarse = Image.fromarray(draws.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    return np.array(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def attacked(record: Record) -> Record:
    """The record, after an attack."""
    person = record.spec.people[0]
    scores = [
        judged(name, value, judge, identity=person)
        for judge in ("alpha", "beta")
        for name, value in (("id_after_neighbourhood", 0.5), ("id_worst", 0.6))
    ]
    return replace(
        record,
        outcome=replace(record.outcome, scores=(*record.outcome.scores, *scores)),
        attacks=(AttackRun(attack=ATTACK, seconds=1.0),),
    )


def save_with_pictures(out: Path, record: Record, *, probes: int = 1, target: bool = True) -> Path:
    """Writes a record with the pictures that a trial of one request draws."""
    folder = save_record(out, record)
    rows, subjects = [], []
    for person in record.spec.people:
        before, after = ([face(person, side, view) for view in range(3)] for side in ("before", record.spec.method))
        photo = face(person, "photo")
        pictures = [photo, *before, *([face(person, "target")] if target else []), *after]
        rows.append(Row(person, [Cell(picture, "x") for picture in pictures], "The forgotten person"))
        subjects.append((person, "forget"))
        for number in range(probes):
            rows.append(Row(f"{person}, photo {number}", [Cell(photo, "x")] * 3, "Other photographs"))
            subjects.append((person, "probe"))
        own = folder / "pictures" / person_folder(person)
        own.mkdir(parents=True)
        for name, picture in (("photo", photo), ("before", before[1]), ("after", after[1])):
            Image.fromarray(picture).save(own / f"{name}.png")
    sheet(rows, folder / "pictures/sheet.png")
    identity, role = (np.array(column) for column in zip(*subjects, strict=True))
    np.savez(folder / "latents.npz", identity=identity, role=role)
    folders.write_record(record, folder)
    return folder


def fill(out: Path) -> Path:
    """Two protocols; pictures; an attack; lost faces; a failed trial; unseen training; a hostile label."""
    for person in "abc":
        for method in ("mean-latent", "guide", "mine"):
            record = build_record(method, person)
            save_with_pictures(out, attacked(record) if method == "guide" else record)
            save_record(out, build_record(method, person, protocol="ffhq"))
        save_record(out, build_record("guide", person, label=HOSTILE))
    for person in "ab":
        save_record(out, build_record("scramble", person))
        save_record(out, build_record("elsewhere", person, scores=_few(person), training_seen=False))
    save_record(out, build_record("mine", "d", failed=f"it said {HOSTILE}"))
    return out


def _few(person: str) -> list:
    scores = [judged("id", 0.2, judge, identity=person, n=5, lost_after=6) for judge in ("alpha", "beta")]
    return [*scores, judged("fid_pre", 9.0, None, identity=person, n=400)]
