"""Writes the committed record set: `python tests/unit/reporting/make_records.py`. Every number follows from a formula.

Nine people under celebahq-multi (one has two seeds), three under ffhq; two judges; floors on two people; one failed
trial; one method whose values are half lost.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from guidebench.chosen import ChosenMethod
from guidebench.evidence import DifferentPeople
from guidebench.metric import Score
from guidebench.protocol import Protocol
from guidebench.store.record import Cost, Environment, Instrument, Judge, Outcome, Record, TrialSpec

FOLDER = Path(__file__).parent / "records"
JUDGES = (
    Judge(name="alpha", different_people=DifferentPeople(0.10, 0.15)),
    Judge(name="beta", different_people=DifferentPeople(0.05, 0.12)),
)
PEOPLE = tuple(f"p{number}" for number in range(1, 10))
PRIMARY = ("id", "id_others", "id_retain", "fid_pre", "delta_fid_real")
PROTOCOLS = {
    "celebahq-multi": Protocol(
        name="celebahq-multi",
        version=1,
        title="CelebAHQ (multi-image)",
        source="celebahq",
        identities=9,
        probe_photos=4,
        neighbours=0,
        samples=400,
        primary=PRIMARY,
    ),
    "ffhq": Protocol(
        name="ffhq", version=1, title="FFHQ", source="ffhq", identities=3, neighbours=0, samples=400, primary=PRIMARY
    ),
}
# id, id_others, id_retain under alpha, FID_pre, ΔFID_real of the person in the middle
LEVELS = {
    "nothing": (1.0, 1.0, 1.0, 0.0, 0.0),
    "scramble": (None, None, None, 400.0, 390.0),
    "mean-latent": (0.30, 0.40, 0.80, 12.0, 6.0),
    "guide": (0.05, 0.30, 0.90, 9.0, 4.0),
    "mine": (0.28, 0.38, 0.80, 11.0, -1.0),
}
# how far one person is from the next, as a part of the baseline's step: the methods' differences vary by it
SLOPES = {"nothing": 0.0, "scramble": 0.0, "mean-latent": 1.0, "guide": 0.5, "mine": 4.0}
MEASURED_MEMORY = ("scramble", "guide")


def main(folder: Path = FOLDER) -> None:
    """Writes the set below ``folder``, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, protocol in PROTOCOLS.items():
        for method in LEVELS:
            people = PEOPLE[:2] if method in ("nothing", "scramble") else PEOPLE[: protocol.identities]
            for person in people:
                seeds = (0, 1) if person == "p1" and method in ("mean-latent", "guide") else (0,)
                for seed in seeds:
                    if (name, method) != ("ffhq", "mine"):
                        _write(folder, _record(protocol, method, person, seed))


def _record(protocol: Protocol, method: str, person: str, seed: int) -> Record:
    failed = (method, person) == ("mine", "p9")
    floor = method in ("nothing", "scramble")
    outcome = Outcome(status="measured", scores=_scores(protocol, method, person, seed))
    cost = Cost(
        seconds_unlearn=0.0 if floor else 20.0,
        seconds_evaluate=5.0,
        seconds_total=5.0 if floor else 25.0,
        steps=0 if floor else 300,
        trainable=0 if floor else 412_300,
        peak_memory_bytes=96 * 2**20 if method in MEASURED_MEMORY else None,
        memory="invented",
    )
    return Record(
        spec=TrialSpec(
            protocol=protocol,
            method=ChosenMethod(
                spec=method,
                name=method,
                class_name=method.title(),
                label=method,
                fields={} if floor else {"steps": 300, "lr": 0.001},
                source_digest=_digest(method),
                preset=method in ("mean-latent", "guide"),
                settings_tried=6 if method in ("mean-latent", "guide") else 0,
                floor=floor,
            ),
            testbed="mini",
            weights={name: _digest(name) for name in ("generator", "alpha", "beta", "features")},
            manifest=_digest(protocol.name, "photos"),
            requests=((person,),),
            seed=seed,
            precision="strict",
            numerics=1,
        ),
        instrument=Instrument(
            testbed="mini",
            caption="Invented numbers: they measure nothing.",
            conventions="evaluation noise constant and shared before and after, encoder in eval mode",
            features="128 invented features at 64 x 64 (bilinear)",
            real="6000 rendered photographs of unseen people",
            judges=JUDGES,
        ),
        environment=Environment(
            device="cpu (none)",
            versions={"guidebench": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
            commit="1" * 40,
            created="2026-01-01T00:00:00Z",
        ),
        outcome=Outcome(status="failed", reason="the loss is not finite at step 7") if failed else outcome,
        cost=None if failed else cost,
    )


def _scores(protocol: Protocol, method: str, person: str, seed: int) -> tuple[Score, ...]:
    ident, others, retain, fid, delta = LEVELS[method]
    step = (int(person[1]) - 5) * SLOPES[method] + seed  # a second seed is one step further
    judged = {"id": ident, "id_retain": retain}
    if protocol.probe_photos:
        judged["id_others"] = others
    scores = []
    for judge, shift in (("alpha", 0.0), ("beta", -0.01)):
        for metric, level in judged.items():
            lost = level is None or (method, person, metric) == ("mine", "p1", "id_others")
            scores.append(
                Score(
                    metric=metric,
                    judge=judge,
                    identity=person,
                    role={"id": "forget", "id_retain": "retain", "id_others": "probe"}[metric],
                    after_request=1,
                    value=None if lost else round(level + shift + 0.01 * step, 4),
                    reason="faces found on both sides in 2 of 11 pairs; 0 lost before, 9 after" if lost else None,
                    n=2 if lost else 11,
                    lost_after=9 if lost else 0,
                )
            )
    for metric, level in (("fid_pre", fid), ("delta_fid_real", delta)):
        value = round(level + 0.5 * step, 4)
        scores.append(
            Score(metric=metric, judge=None, identity=person, role="samples", after_request=1, value=value, n=400)
        )
    return tuple(scores)


def _digest(*names: object) -> str:
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()


def _write(folder: Path, record: Record) -> None:
    spec = record.spec
    place = f"{spec.group}-s{spec.seed}-{record.key[:12]}"
    kind, attempt = ("records", "") if record.is_measured else ("failures", "1")
    path = folder / kind / spec.protocol.name / spec.method.label / place / attempt / "record.json"
    path.parent.mkdir(parents=True)
    data = json.loads(record.to_json())
    path.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
