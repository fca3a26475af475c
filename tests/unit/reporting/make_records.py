"""Writes the committed record set: `python tests/unit/reporting/make_records.py`. Every number follows from a formula.

Nine people under celebahq-multi (one has two seeds), three under ffhq; two judges; floors on two people; one failed
trial; one method whose values are half lost. Half of the methods are written as record schema 1, half as schema 2.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "records"
STRANGERS = {"alpha": [0.10, 0.15], "beta": [0.05, 0.12]}
PEOPLE = tuple(f"p{number}" for number in range(1, 10))
PROTOCOLS = {
    "celebahq-multi": {"title": "CelebAHQ (multi-image)", "source": "celebahq", "probe_photos": 4, "people": PEOPLE},
    "ffhq": {"title": "FFHQ", "source": "ffhq", "probe_photos": 0, "people": PEOPLE[:3]},
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
SCHEMAS = {"nothing": 1, "scramble": 2, "mean-latent": 1, "guide": 2, "mine": 1}


def main(folder: Path = FOLDER) -> None:
    """Writes the set below ``folder``, in place of what is there."""
    shutil.rmtree(folder, ignore_errors=True)
    for protocol, described in PROTOCOLS.items():
        for method in LEVELS:
            people = described["people"][:2] if method in ("nothing", "scramble") else described["people"]
            for person in people:
                seeds = (0, 1) if person == "p1" and method in ("mean-latent", "guide") else (0,)
                for seed in seeds:
                    if (protocol, method) != ("ffhq", "mine"):
                        _write(folder, _record(protocol, method, person, seed))


def _record(protocol: str, method: str, person: str, seed: int) -> dict[str, Any]:
    failed = (method, person) == ("mine", "p9")
    floor = method in ("nothing", "scramble")
    record = {
        "key": _digest(protocol, method, person, seed),
        "status": "failed" if failed else "measured",
        "reason": "the loss is not finite at step 7" if failed else None,
        "protocol": _protocol(protocol),
        "protocol_digest": _digest(protocol),
        "testbed": "mini",
        "conventions": "corrected",
        "method": method,
        "label": method,
        "fields": {} if floor else {"steps": 300, "lr": 0.001},
        "preset": method in ("mean-latent", "guide"),
        "source_digest": _digest(method),
        "floor": floor,
        "training_seen": True,
        "identity": person,
        "seed": seed,
        "manifest": _digest(protocol, "photos"),
        "digests": {name: _digest(name) for name in ("generator", "alpha", "beta", "features")},
        "judges": list(STRANGERS),
        "strangers": STRANGERS,
        "notes": {
            "caption": "Invented numbers: they measure nothing.",
            "conventions": "evaluation noise constant and shared before and after, encoder in eval mode",
            "features": "128 invented features at 64 x 64 (bilinear)",
            "real": "6000 rendered photographs of unseen people",
        },
        "scores": [] if failed else _scores(protocol, method, person, seed),
        "seconds": {"unlearn": 0.0 if floor else 20.0, "evaluate": 5.0, "total": 5.0 if floor else 25.0},
        "steps": 0 if floor else 300,
        "trainable": 0 if floor else 412_300,
        "device": "cpu (none)",
        "versions": {"guidebench": "0.1.0", "numerics": "1", "torch": "2.13.0", "python": "3.11.7"},
        "commit": "1" * 40,
        "created": "2026-01-01T00:00:00Z",
        "attempts": [],
        "schema": SCHEMAS[method],
    }
    if SCHEMAS[method] == 2:
        record["protocol"]["neighbours"] = 0
        record["peak_memory_bytes"] = 96 * 2**20
    return record


def _protocol(name: str) -> dict[str, Any]:
    described = PROTOCOLS[name]
    return {
        "name": name,
        "version": 1,
        "title": described["title"],
        "summary": "",
        "source": described["source"],
        "identities": len(described["people"]),
        "seeds": [0],
        "probe_photos": described["probe_photos"],
        "retain": 10,
        "views": 11,
        "yaw_deg": 15.0,
        "pitch": -0.2,
        "samples": 400,
        "conventions": "corrected",
    }


def _scores(protocol: str, method: str, person: str, seed: int) -> list[dict[str, Any]]:
    ident, others, retain, fid, delta = LEVELS[method]
    step = (int(person[1]) - 5) * SLOPES[method] + seed  # a second seed is one step further
    judged = {"id": ident, "id_retain": retain}
    if PROTOCOLS[protocol]["probe_photos"]:
        judged["id_others"] = others
    scores = []
    for judge, shift in (("alpha", 0.0), ("beta", -0.01)):
        for metric, level in judged.items():
            lost = level is None or (method, person, metric) == ("mine", "p1", "id_others")
            scores.append(
                {
                    "metric": metric,
                    "judge": judge,
                    "identity": person,
                    "value": None if lost else round(level + shift + 0.01 * step, 4),
                    "reason": "faces found on both sides in 2 of 11 pairs; 0 lost before, 9 after" if lost else None,
                    "n": 2 if lost else 11,
                    "lost_before": 0,
                    "lost_after": 9 if lost else 0,
                    "after_request": 0,
                }
            )
    for metric, level in (("fid_pre", fid), ("delta_fid_real", delta)):
        scores.append(
            {
                "metric": metric,
                "judge": None,
                "identity": person,
                "value": round(level + 0.5 * step, 4),
                "reason": None,
                "n": 400,
                "lost_before": 0,
                "lost_after": 0,
                "after_request": 0,
            }
        )
    return scores


def _digest(*names: object) -> str:
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()


def _write(folder: Path, record: dict[str, Any]) -> None:
    place = f"{record['identity']}-s{record['seed']}-{record['key'][:12]}"
    kind, attempt = ("records", "") if record["status"] == "measured" else ("failures", "1")
    path = folder / kind / record["protocol"]["name"] / record["label"] / place / attempt / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
