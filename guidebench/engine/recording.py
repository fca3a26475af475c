"""Turns a trial's outcome, or its failure, into a record folder."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from guidebench import digest, environment, images, registry, room
from guidebench.engine.attacking import Outcome as AttackOutcome
from guidebench.engine.bench import Bench
from guidebench.engine.marks import marks_of
from guidebench.engine.trial import Trial
from guidebench.engine.unlearning import Runner
from guidebench.errors import MethodError
from guidebench.evidence import Evidence, Subject
from guidebench.metric import TrialMetric
from guidebench.metrics import score_all
from guidebench.metrics.attacks import METRICS as OVER_ATTACKS
from guidebench.metrics.attacks import of_attack
from guidebench.reporting.figures import Cell, Row, sheet
from guidebench.store.attack_files import ATTACKS, save_attack
from guidebench.store.contents import NO_GENERATOR
from guidebench.store.curve_files import Curve, save_curve
from guidebench.store.evidence_files import load_evidence, save_evidence
from guidebench.store.folders import FAILURES, Store, person_folder, rewrite_record, storage_errors, write_record
from guidebench.store.processes import unfinished_prefix
from guidebench.store.record import AttackRun, Cost, Environment, Instrument, Judge, Outcome, Record, TrialSpec

SHOWN = 5  # requests at most after which a sheet shows somebody
_GROUPS = {
    "forget": "The forgotten person",
    "probe": "Other photographs of the forgotten person",
    "named": "Other people, named to the method",
    "retain": "Other people",
    "lookalike": "Strangers who look like the forgotten person",
}


def write_measured(
    store: Store,
    bench: Bench,
    spec: TrialSpec,
    runner: Runner,
    trial: Trial,
    *,
    metrics: Sequence[TrialMetric] = (),
    attacks: Sequence[AttackOutcome] = (),
    curve: Curve | None = None,
    keep_generator: bool,
) -> tuple[Path, str | None]:
    """Writes a measured trial. Returns its folder and, if the generator could not be kept, why.

    metrics: further ones, beside those that are registered. attacks: what came of them. curve: of the steps of
    unlearning.
    """
    scores = tuple(score_all(_with_attacks(trial.evidence, attacks), metrics))
    attempts = tuple(store.attempts(store.path(spec, kind=FAILURES)))
    answers = [stage.unlearned for stage in trial.stages]
    marks = marks_of(trial.evidence, answers, in_process=runner.in_process, one_by_one=spec.one_by_one)
    record = Record(
        spec=spec,
        instrument=instrument_of(bench, spec),
        environment=_environment(bench),
        outcome=Outcome(status="measured", scores=scores, attempts=attempts, marks=marks),
        cost=_cost(trial),
    )
    target, warning = store.path(spec), None
    with store.building(target) as folder:
        _save_trial(store, trial, folder)
        _save_progress([row for stage in trial.stages for row in stage.unlearned.progress], folder / "progress.csv")
        record = dataclasses.replace(record, attacks=_saved(attacks, folder))
        if curve is not None:
            save_curve(curve, folder)
        if keep_generator:
            warning = _keep_generator(runner, folder / "generator")
        write_record(record, folder)
    return target, warning


def add_attacks(
    record: Record, folder: Path, outcomes: Sequence[AttackOutcome], metrics: Sequence[TrialMetric] = ()
) -> None:
    """Adds attacks to a record, in place of earlier ones of the same label; what else was scored stays as it is.

    metrics: of the user's, which may look at attacks. Raises UnreadableEvidence if what the trial saw cannot be read.
    """
    new = {one.attack.label for one in outcomes}
    kept = tuple(run for run in record.attacks if run.attack.label not in new)
    record = dataclasses.replace(record, attacks=kept)
    evidence = _with_attacks(load_evidence(folder / "evidence.npz", record), outcomes)
    concerned = {metric.name for label in (*new, *evidence.attacks) for metric in of_attack(label)}
    concerned |= {metric.name for metric in (*OVER_ATTACKS, *metrics)}
    scores = [score for score in record.outcome.scores if score.metric not in concerned]
    scores += [score for score in score_all(evidence, metrics) if score.metric in concerned]
    with storage_errors(folder):
        runs = (*kept, *_saved(outcomes, folder))
    own = {run.file for run in runs if run.file}
    old = {name for name in record.files if name.startswith(f"{ATTACKS}/")} - own
    files = {name: sha for name, sha in record.files.items() if name not in old}
    files |= {name: digest.of_file(folder / name) for name in sorted(own)}
    outcome = dataclasses.replace(record.outcome, scores=tuple(scores))
    rewrite_record(dataclasses.replace(record, attacks=runs, files=files, outcome=outcome), folder)
    for name in old:
        (folder / name).unlink(missing_ok=True)


def _with_attacks(evidence: Evidence, outcomes: Sequence[AttackOutcome]) -> Evidence:
    found = {one.attack.label: one.found for one in outcomes if one.found is not None}
    failed = {
        one.attack.label: one.reason or ""
        for one in outcomes
        if one.found is None and one.applies and not one.attack.shows_anybody
    }
    return dataclasses.replace(
        evidence,
        attacks={**evidence.attacks, **found},
        failed_attacks={**evidence.failed_attacks, **failed},
    )


def _saved(outcomes: Sequence[AttackOutcome], folder: Path) -> tuple[AttackRun, ...]:
    return tuple(
        AttackRun(
            attack=one.attack,
            seconds=round(one.seconds, 3),
            file="" if one.found is None else save_attack(one.attack.label, one.found, folder),
            reason=one.reason,
            applies=one.applies,
        )
        for one in outcomes
    )


def write_failure(
    store: Store,
    bench: Bench,
    spec: TrialSpec,
    reason: str,
    progress: Sequence[Mapping[str, float]],
    *,
    before: Trial | None = None,
    metrics: Sequence[TrialMetric] = (),
) -> Path:
    """Writes a failed attempt, which the next run tries again. Returns its folder.

    before: what was measured after the requests before the one that failed; its scores and evidence are recorded, too.
    metrics: see `write_measured`.
    """
    failures = store.path(spec, kind=FAILURES)
    target = store.next_attempt(failures)
    record = Record(
        spec=spec,
        instrument=instrument_of(bench, spec),
        environment=_environment(bench),
        outcome=Outcome(
            status="failed",
            reason=reason,
            attempts=tuple(store.attempts(failures)),
            scores=() if before is None else tuple(score_all(before.evidence, metrics)),
        ),
    )
    with store.building(target) as folder:
        if before is not None:
            _save_trial(store, before, folder)
        _save_progress(progress, folder / "progress.csv")
        write_record(record, folder)
    return target


def _save_trial(store: Store, trial: Trial, folder: Path) -> None:
    save_evidence(trial.evidence, folder / "evidence.npz", store.shared, aside=unfinished_prefix())
    _save_latents(trial, folder / "latents.npz")
    _save_pictures(trial, folder / "pictures")


def instrument_of(bench: Bench, spec: TrialSpec) -> Instrument:
    """What the testbed says of itself to the readers of a trial's record."""
    judges, testbed = bench.judges, bench.testbed
    different_people = bench.different_people(spec.protocol)
    return Instrument(
        testbed=registry.spec_of(type(testbed)),
        caption=testbed.caption,
        conventions=testbed.switches(spec.protocol.conventions),
        features=judges.features.description,
        real=judges.real_description,
        judges=tuple(
            Judge(
                name=name,
                description=judges.descriptions.get(name, ""),
                different_people=different_people.get(name),
            )
            for name in judges.recognizers
        ),
        weights_version=None if testbed.weights_version is None else str(testbed.weights_version),
    )


def _environment(bench: Bench) -> Environment:
    return Environment(
        device=environment.device_in_words(str(bench.testbed.device)),
        versions=environment.versions(),
        commit=environment.checkout_commit(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _cost(trial: Trial) -> Cost:
    answers = [stage.unlearned for stage in trial.stages]
    peaks = [answer.memory.bytes for answer in answers if answer.memory.bytes is not None]
    return Cost(
        seconds_unlearn=round(sum(answer.seconds for answer in answers), 3),
        seconds_evaluate=round(sum(stage.seconds for stage in trial.stages), 3),
        seconds_total=round(trial.seconds, 3),
        steps=sum(int(answer.progress[-1]["step"]) for answer in answers if answer.progress),
        trainable=answers[-1].change.parameters,
        shipped_bytes=answers[-1].change.bytes,
        relative_change=answers[-1].change.relative,
        peak_memory_bytes=max(peaks, default=None),
        memory="; ".join(
            [answers[-1].memory.note, *([f"memory ran out: {short}"] if (short := room.in_words()) else [])]
        ),
    )


def _keep_generator(runner: Runner, folder: Path) -> str | None:
    """Saves the generator after the last request; returns why that failed, since the trial is measured all the same.

    The reason stays beside the record, so that the same is not tried again.
    """
    folder.mkdir()
    try:
        runner.save(folder)
    except MethodError as error:
        shutil.rmtree(folder)
        folder.with_name(NO_GENERATOR).write_text(f"{error}\n", encoding="utf-8", errors="backslashreplace")
        return str(error)
    return None


def _save_latents(trial: Trial, path: Path) -> None:
    subjects = trial.cast.subjects
    np.savez(
        path,
        identity=np.array([subject.identity for subject in subjects]),
        role=np.array([subject.role for subject in subjects]),
        photo=np.array([subject.photo for subject in subjects]),
        request=np.array([subject.request for subject in subjects]),
        latents=trial.cast.latents.cpu().numpy(),
        neighbours=trial.cast.neighbours.cpu().numpy(),
    )


def _save_progress(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.DictWriter(stream, fieldnames=names or ["request", "step"])
        writer.writeheader()
        writer.writerows(rows)


def _save_pictures(trial: Trial, folder: Path) -> None:
    """The sheet (photograph, before, target, after; probe photographs; other people), and what galleries show.

    Galleries find PERSON/photo.png, before.png and after.png, from the front, after the last request.
    """
    folder.mkdir()
    rows = [_row(trial, place, subject) for place, subject in enumerate(trial.cast.subjects)]
    sheet(rows, folder / "sheet.png")
    for place, subject in enumerate(trial.cast.subjects):
        if subject.role != "forget":
            continue
        own = folder / person_folder(subject.identity)
        own.mkdir()
        before, after = trial.scene.before.pictures[place], trial.stages[-1].renders.pictures[place]
        images.save(before[len(before) // 2], own / "before.png")
        images.save(after[len(after) // 2], own / "after.png")
        if trial.cast.photos is not None:
            images.save(trial.cast.photos[place], own / "photo.png")


def _shown_requests(trial: Trial, subject: Subject) -> list[int]:
    """After which requests a sheet shows somebody: from the own one on; of many the first and the last ones."""
    found = list(range(max(1, subject.request), len(trial.stages) + 1))
    return found if len(found) <= SHOWN else [*found[: SHOWN - 1], found[-1]]


def _row(trial: Trial, place: int, subject: Subject) -> Row:
    """One photograph's row of the sheet; the forgotten ones show all views and every request, others the front."""
    before = images.to_arrays(trial.scene.before.pictures[place])
    forgotten = subject.role == "forget"
    views = range(len(before)) if forgotten else [len(before) // 2]
    cells: list[Cell] = []
    if trial.cast.photos is not None:
        cells.append(Cell(images.to_arrays(trial.cast.photos[place][None])[0], "photo"))
    cells += [Cell(before[view], "before") for view in views]
    if forgotten and subject.identity in trial.targets:
        cells.append(Cell(images.to_arrays(trial.targets[subject.identity][None])[0], "target"))
    several = len(trial.stages) > 1
    for request in _shown_requests(trial, subject):
        after = images.to_arrays(trial.stages[request - 1].renders.pictures[place])
        cells += [Cell(after[view], f"after request {request}" if several else "after") for view in views]
    title = f"{subject.identity}, photo {subject.photo}" if subject.role == "probe" else subject.identity
    return Row(title, cells, group=_GROUPS[subject.role])
