"""Turns a trial's outcome, or its failure, into a record folder."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import guidebench
from guidebench import images
from guidebench.engine.isolation import blame_the_method
from guidebench.engine.plan import Case
from guidebench.engine.trial import NUMERICS_VERSION, Bench, Outcome
from guidebench.errors import MethodError
from guidebench.metrics import score_all
from guidebench.reporting.figures import Cell, Row, sheet
from guidebench.store.evidence_files import save_evidence
from guidebench.store.folders import FAILURES, RECORDS, Record, Store, folder_name, scores_to_data, unfinished_prefix
from guidebench.unlearner import Unlearner

_GROUPS = {
    "forget": "The forgotten person",
    "probe": "Other photographs of the forgotten person",
    "retain": "Other people",
}
_PACKAGES = ("torch", "torch-fidelity", "insightface", "numpy", "scipy")


def write_outcome(
    store: Store, bench: Bench, case: Case, method: Unlearner, outcome: Outcome, *, keep_generator: bool
) -> tuple[Path, str | None]:
    """Writes a measured trial. Returns its folder and, if the generator could not be kept, why."""
    target = _folder(store, case)
    record = _record(store, bench, case, "measured", outcome=outcome)
    warning = None
    with store.building(target) as folder:
        save_evidence(outcome.evidence, folder / "evidence.npz", store.shared, aside=unfinished_prefix())
        _save_latents(outcome, folder / "latents.npz")
        _save_progress(outcome.unlearned.progress, folder / "progress.csv")
        (folder / "pictures").mkdir()
        _save_pictures(outcome, folder / "pictures")
        if keep_generator:
            (folder / "generator").mkdir()
            try:
                with blame_the_method("the method's save() fails"):
                    method.save(outcome.unlearned.generator, bench.players.generator, folder / "generator")
            except MethodError as error:  # the trial is measured all the same
                shutil.rmtree(folder / "generator")
                warning = str(error)
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return target, warning


def write_failure(store: Store, bench: Bench, case: Case, reason: str, progress: list[dict[str, float]]) -> Path:
    """Writes a failed attempt, which the next run tries again. Returns its folder."""
    failures = _folder(store, case, kind=FAILURES)
    target = store.next_attempt(failures)
    record = _record(store, bench, case, "failed", reason=reason)
    with store.building(target) as folder:
        _save_progress(progress, folder / "progress.csv")
        (folder / "record.json").write_text(record.to_json(), encoding="utf-8")
    return target


def is_measured(store: Store, case: Case) -> bool:
    """Whether a case has its record already."""
    record = store.measured(_folder(store, case))
    return record is not None and record.key == case.key


def _folder(store: Store, case: Case, *, kind: str = RECORDS) -> Path:
    name = folder_name(case.identity, case.seed, case.key)
    return store.path(case.protocol.name, case.label, name, kind=kind)


def _record(
    store: Store,
    bench: Bench,
    case: Case,
    status: str,
    *,
    outcome: Outcome | None = None,
    reason: str | None = None,
) -> Record:
    judges, testbed = bench.judges, bench.testbed
    strangers = bench.strangers(case.protocol)
    failures = _folder(store, case, kind=FAILURES)
    return Record(
        key=case.key,
        status=status,
        protocol=case.protocol.as_data(),
        protocol_digest=case.protocol.digest(),
        testbed=testbed.name,
        conventions=case.protocol.conventions,
        method=case.label.partition("(")[0],
        label=case.label,
        fields=case.fields,
        preset=case.preset,
        source_digest=case.source_digest,
        floor=case.choice.floor,
        identity=case.identity,
        seed=case.seed,
        manifest=case.manifest,
        digests=dict(bench.digests),
        judges=list(judges.recognizers),
        strangers={judge: [float(value) for value in pair] for judge, pair in strangers.judges.items()},
        notes={
            "method_spec": case.choice.spec,
            "caption": testbed.caption,
            "conventions": testbed.switches(case.protocol.conventions),
            "features": judges.features.description,
            "real": judges.real_description,
            **({} if testbed.weights_version is None else {"weights_version": str(testbed.weights_version)}),
            **({"strangers": strangers.note} if strangers.note else {}),
            **({"judges": "; ".join(map(": ".join, judges.descriptions.items()))} if judges.descriptions else {}),
            **({"memory": outcome.unlearned.memory.note} if outcome else {}),
        },
        scores=scores_to_data(score_all(outcome.evidence)) if outcome else [],
        seconds={name: round(value, 3) for name, value in outcome.seconds.items()} if outcome else {},
        steps=int(outcome.unlearned.progress[-1]["step"]) if outcome and outcome.unlearned.progress else 0,
        trainable=outcome.unlearned.trainable if outcome else 0,
        device=device_in_words(str(testbed.device)),
        versions=versions(),
        commit=checkout_commit(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        reason=reason,
        attempts=store.attempts(failures),
        training_seen=case.training_seen,
        inputs=dict(case.inputs),
        peak_memory_bytes=outcome.unlearned.memory.bytes if outcome else None,
    )


def device_in_words(device: str) -> str:
    """The device's product name, for records and tables."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"cpu ({line.partition(':')[2].strip()})"
    except OSError:
        pass
    return f"cpu ({platform.processor() or platform.machine()})"


def versions() -> Mapping[str, str]:
    """Versions of everything that may change a number."""
    found = {
        "guidebench": guidebench.__version__,
        "numerics": str(NUMERICS_VERSION),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def checkout_commit() -> str | None:
    """The commit that guidebench runs from, with "+dirty" if files are changed; None outside a checkout."""
    root = Path(guidebench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


def _save_latents(outcome: Outcome, path: Path) -> None:
    import numpy as np

    np.savez(
        path,
        identity=np.array([subject.identity for subject in outcome.cast.subjects]),
        role=np.array([subject.role for subject in outcome.cast.subjects]),
        photo=np.array([subject.photo for subject in outcome.cast.subjects]),
        latents=outcome.cast.latents.cpu().numpy(),
        neighbours=outcome.cast.neighbours.cpu().numpy(),
    )


def _save_progress(rows: list[dict[str, float]], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=names or ["step"])
        writer.writeheader()
        writer.writerows(rows)


def _save_pictures(outcome: Outcome, folder: Path) -> None:
    """The sheet (photograph, before, target, after; probe photographs; other people), and what galleries show."""
    cast, rows = outcome.cast, []
    before, after = (
        [images.to_arrays(views) for views in renders.pictures] for renders in (outcome.before, outcome.after)
    )
    middle = len(before[0]) // 2
    photos = None if cast.photos is None else images.to_arrays(cast.photos)
    for place, subject in enumerate(cast.subjects):
        views = range(len(before[place])) if subject.role == "forget" else [middle]
        cells = [] if photos is None else [Cell(photos[place], "photo")]
        cells += [Cell(before[place][view], "before") for view in views]
        if subject.role == "forget" and outcome.target is not None:
            cells.append(Cell(images.to_arrays(outcome.target[None])[0], "target"))
        cells += [Cell(after[place][view], "after") for view in views]
        title = f"{subject.identity}, photo {subject.photo}" if subject.role == "probe" else subject.identity
        rows.append(Row(title, cells, group=_GROUPS[subject.role]))
    sheet(rows, folder / "sheet.png")
    frontal = {"before": outcome.before.pictures[0][middle], "after": outcome.after.pictures[0][middle]}
    if cast.photos is not None:
        frontal["photo"] = cast.photos[0]
    for name, image in frontal.items():
        images.save(image, folder / f"{name}.png")
