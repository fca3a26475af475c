"""Evidence as files: evidence.npz of each record, and beside the records what all trials of a run share.

    OUT/shared/DIGEST.npz       the original generator's samples (see originals.py) and statistics of real images
    OUT/records/…/evidence.npz  everything else, and the digests of those two; what attacks found lies beside it

A shared file is named by the digest of its arrays, so that records of any number of runs may share a folder. It is
looked for in `shared/` beside any folder above the evidence: a run folder may be moved, copied or put below another.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from guidebench import digest
from guidebench.evidence import Afterwards, Evidence, FrechetStatistics, Samples, SeenFaces, Sight, Subject
from guidebench.store.arrays import UnreadableEvidence, arrays_of, faces_of, opened
from guidebench.store.attack_files import load_attacks
from guidebench.store.record import Record
from guidebench.text import brief

SHARED = "shared"
_LEVELS = 12  # folders above the evidence in which shared files are looked for
DIGEST = "[0-9a-f]{64}"  # the name of a shared file; any other may lead out of the folder
_OF_SIGHT = ("before", "after", "photo", "neighbours")


def save_evidence(evidence: Evidence, path: Path, shared: Path, *, aside: str) -> None:
    """Writes evidence.npz, and to the folder ``shared`` what is not there yet. Embeddings and features are float32.

    aside: prefix of the names of unfinished files.
    """
    arrays: dict[str, np.ndarray] = {
        "identity": np.array([subject.identity for subject in evidence.subjects]),
        "role": np.array([subject.role for subject in evidence.subjects]),
        "photo": np.array([subject.photo for subject in evidence.subjects]),
        "request": np.array([subject.request for subject in evidence.subjects]),
        "frontal": np.array(evidence.frontal),
        "judges": np.array(list(evidence.sights)),
        "after/features": _features(*evidence.after),
        **({"public/features": _features(*evidence.public)} if evidence.public else {}),
    }
    for judge, sight in evidence.sights.items():
        for name in _OF_SIGHT:
            faces: SeenFaces | None = getattr(sight, name)
            if faces is not None:
                arrays |= arrays_of(faces, f"{judge}/{name}")
        if (threshold := evidence.thresholds.get(judge)) is not None:
            arrays[f"{judge}/threshold"] = np.array(threshold)
    source = {"features": _features(evidence.source)[0]}
    arrays["source/shared"] = np.array(share(source, shared, aside))
    if evidence.real is not None:
        real = {
            "mean": evidence.real.mean,
            "covariance": evidence.real.covariance,
            "count": np.array(evidence.real.count),
        }
        arrays["real/shared"] = np.array(share(real, shared, aside))
    save = np.savez_compressed if len(evidence.after) > 1 else np.savez
    save(path, **arrays)  # type: ignore[arg-type]


def _features(*samples: Samples) -> np.ndarray:
    """(n, d) features of several sample sets as (len(samples), n, d) float32."""
    return np.stack([one.features for one in samples]).astype(np.float32, copy=False)


def load_evidence(path: str | Path, record: Record | None = None) -> Evidence:
    """Reads what `save_evidence` wrote; pickled content is refused by numpy.

    record: whose attacks are read, too.
    Raises UnreadableEvidence if the file or a shared file that it names is missing or damaged.
    """
    path = Path(path)
    with opened(path) as arrays:
        real = _shared(arrays, "real", path) if "real/shared" in arrays else None
        return Evidence(
            subjects=_subjects(arrays),
            sights={str(judge): _sight(arrays, str(judge)) for judge in arrays["judges"]},
            frontal=int(arrays["frontal"]),
            source=Samples(_shared(arrays, "source", path)["features"]),
            after=tuple(Samples(features) for features in arrays["after/features"]),
            real=None if real is None else FrechetStatistics(real["mean"], real["covariance"], int(real["count"])),
            public=tuple(Samples(features) for features in arrays["public/features"])
            if "public/features" in arrays
            else (),
            attacks=load_attacks(path.parent, record.attack_files) if record else {},
            failed_attacks=record.failed_attacks if record else {},
            thresholds={
                str(judge): float(arrays[f"{judge}/threshold"])
                for judge in arrays["judges"]
                if f"{judge}/threshold" in arrays
            },
        )


def load_faces_after(path: str | Path) -> list[Afterwards]:
    """What each forgotten person looks like after the last request: the renders of the forgotten photograph.

    Reads no more of evidence.npz than that needs. Raises UnreadableEvidence if the file is missing or damaged.
    """
    with opened(Path(path)) as arrays:
        judges = [str(judge) for judge in arrays["judges"]]
        seen = {judge: faces_of(arrays, f"{judge}/after") for judge in judges}
        after = {judge: faces for judge, faces in seen.items() if faces}
        requests = max((len(faces.found) for faces in after.values()), default=1)
        return [
            Afterwards(subject.identity, {judge: faces[-1, place] for judge, faces in after.items()}, requests)
            for place, subject in enumerate(_subjects(arrays))
            if subject.role == "forget"
        ]


def _subjects(arrays: Mapping[str, np.ndarray]) -> tuple[Subject, ...]:
    columns = (arrays[name] for name in ("identity", "role", "photo", "request"))
    return tuple(
        Subject(str(identity), str(role), int(photo), int(request))  # type: ignore[arg-type]
        for identity, role, photo, request in zip(*columns, strict=True)
    )


def _sight(arrays: Mapping[str, np.ndarray], judge: str) -> Sight:
    before, after, photo, neighbours = (faces_of(arrays, f"{judge}/{name}") for name in _OF_SIGHT)
    if before is None or after is None:
        raise KeyError(f"{judge}/before or {judge}/after")
    return Sight(before, after, photo, neighbours)


def share(arrays: Mapping[str, np.ndarray], folder: Path, aside: str) -> str:
    """Writes arrays below their digest unless they are there, whole; returns the digest. Raises OSError.

    The file is built aside and renamed, so that several processes may write the same one.
    """
    name = digest.of_arrays(arrays)
    target = folder / f"{name}.npz"
    try:
        read_shared(target)
    except UnreadableEvidence:
        folder.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(prefix=aside, suffix=".npz", dir=folder)
        try:
            with open(handle, "wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(unfinished, 0o644)
            os.replace(unfinished, target)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    return name


def shared_files(path: str | Path) -> list[Path]:
    """The shared files that evidence refers to. Raises UnreadableEvidence if it is damaged, or one is missing."""
    path = Path(path)
    with opened(path) as arrays:
        return [_shared_file(arrays, name, path) for name in ("source", "real") if f"{name}/shared" in arrays]


def _shared(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays that evidence at ``path`` refers to. Raises UnreadableEvidence if they are missing or damaged."""
    return read_shared(_shared_file(arrays, name, path))


def _shared_file(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> Path:
    named = str(arrays[f"{name}/shared"])
    if not re.fullmatch(DIGEST, named):
        raise UnreadableEvidence(f"{path.name} names a shared file by {brief(named)}, which is not a digest")
    wanted = f"{SHARED}/{named}.npz"
    for above in path.absolute().parents[:_LEVELS]:
        if (above / wanted).is_file():
            return above / wanted
    raise UnreadableEvidence(f"{wanted} is in none of the folders above it; copy {SHARED}/ together with the records")


def read_shared(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shared file; raises UnreadableEvidence if it is missing or not what its name says."""
    with opened(path) as stored:
        arrays = {name: stored[name] for name in stored}
        if digest.of_arrays(arrays) != path.stem:
            raise UnreadableEvidence(f"{SHARED}/{path.name} is damaged; `guidebench run --fresh` writes it again")
    return arrays
