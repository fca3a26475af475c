"""What attacks found as files: attacks/LABEL-DIGEST.npz below a record's folder, beside its evidence.npz."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from guidebench import digest
from guidebench.evidence import Attacked, Shown
from guidebench.files import written_aside
from guidebench.store.arrays import arrays_of, faces_of, opened

ATTACKS = "attacks"
_KINDS = ("found", "original", "other")


def save_attack(label: str, attacked: Attacked, folder: Path) -> str:
    """Writes what an attack found below a record's folder, beside what is there. Returns the path in the folder."""
    arrays: dict[str, np.ndarray] = {
        "label": np.array(label),
        "people": np.array(attacked.people),
        "at": attacked.at,
        "distance": attacked.distance,
        "others": np.array(attacked.others, dtype=np.str_),
        "shows_anybody": np.array(attacked.shows_anybody),
        "curve": np.array(attacked.curve),
        "judges": np.array(list(attacked.found)),
    }
    for kind in _KINDS:
        for judge, shown in getattr(attacked, kind).items():
            arrays |= arrays_of(shown.after, f"{judge}/{kind}/after")
            arrays |= arrays_of(shown.before, f"{judge}/{kind}/before")
    stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", label)[:60]
    name = f"{ATTACKS}/{stem}-{digest.of_arrays(arrays)[:12]}.npz"  # other contents never replace it
    with written_aside(folder / name, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    return name


def load_attacks(folder: Path, names: Iterable[str]) -> dict[str, Attacked]:
    """What `save_attack` wrote, by label. names: as it returned them. Raises UnreadableEvidence."""
    found = {}
    for name in names:
        with opened(folder / name) as arrays:
            found[str(arrays["label"])] = _attacked(arrays)
    return found


def _attacked(arrays: Mapping[str, np.ndarray]) -> Attacked:
    kinds = {kind: _by_judge(arrays, kind) for kind in _KINDS}
    return Attacked(
        people=tuple(map(str, arrays["people"])),
        at=arrays["at"],
        distance=arrays["distance"],
        found=kinds["found"],
        original=kinds["original"],
        others=tuple(map(str, arrays["others"])),
        other=kinds["other"],
        shows_anybody=bool(arrays["shows_anybody"]),
        curve=bool(arrays["curve"]),
    )


def _by_judge(arrays: Mapping[str, np.ndarray], kind: str) -> dict[str, Shown]:
    found = {}
    for judge in map(str, arrays["judges"]):
        after, before = (faces_of(arrays, f"{judge}/{kind}/{side}") for side in ("after", "before"))
        if after is not None and before is not None:
            found[judge] = Shown(after, before)
    return found
