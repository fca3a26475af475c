"""Evidence as files: evidence.npz of each record, and beside the records what all trials of a run share.

    OUT/shared/DIGEST.npz       features of the original generator's samples; statistics of real images
    OUT/records/…/evidence.npz  everything else, and the digests of those two

A shared file is named by the digest of its arrays, so records of any number of runs may lie together. It is looked for
in `shared/` beside any folder above the evidence: a run folder may be moved, copied or put below another.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from guidebench import digest
from guidebench.evidence import Evidence, FrechetStatistics, Samples, Sight, Subject

SHARED = "shared"
_LEVELS = 12  # folders above the evidence in which shared files are looked for


class UnreadableEvidence(ValueError):
    """A file of evidence is missing or damaged; the message is one line and names the file."""


def save_evidence(evidence: Evidence, path: Path, shared: Path, *, aside: str) -> None:
    """Writes evidence.npz, and to the folder ``shared`` what is not there yet. Embeddings and features are float32.

    aside: prefix of the names of unfinished files. Raises ValueError if the evidence was read from a schema 1 record.
    """
    if evidence.source.features is None or evidence.after.features is None:
        raise ValueError("evidence without features cannot be saved")
    arrays: dict[str, np.ndarray] = {
        "identity": np.array([subject.identity for subject in evidence.subjects]),
        "role": np.array([subject.role for subject in evidence.subjects]),
        "photo": np.array([subject.photo for subject in evidence.subjects]),
        "frontal": np.array(evidence.frontal),
        "judges": np.array(list(evidence.sights)),
        "after/features": evidence.after.features.astype(np.float32, copy=False),
    }
    for judge, sight in evidence.sights.items():
        for item in dataclasses.fields(Sight):
            value = getattr(sight, item.name)
            if value is not None:
                arrays[f"{judge}/{item.name}"] = value if value.dtype == bool else value.astype(np.float32)
    source = {"features": evidence.source.features.astype(np.float32, copy=False)}
    arrays["source/shared"] = np.array(_share(source, shared, aside))
    if evidence.real is not None:
        real = {
            "mean": evidence.real.mean,
            "covariance": evidence.real.covariance,
            "count": np.array(evidence.real.count),
        }
        arrays["real/shared"] = np.array(_share(real, shared, aside))
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load_evidence(path: str | Path) -> Evidence:
    """Reads what `save_evidence` wrote, or the evidence of a schema 1 record; pickled content is refused by numpy.

    Raises UnreadableEvidence if the file or a shared file that it names is missing or damaged.
    """
    path = Path(path)
    with _opened(path) as arrays:
        return Evidence(
            subjects=_subjects(arrays),
            sights={str(judge): _sight(arrays, str(judge)) for judge in arrays["judges"]},
            frontal=int(arrays["frontal"]),
            source=_samples(arrays, "source", path),
            after=_samples(arrays, "after", path),
            real=_statistics(arrays, "real", path),
        )


def load_faces_after(path: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Judge -> (V, d) unit rows and (V,) found: the forgotten person's renders after unlearning.

    Reads no more of evidence.npz than that needs. Raises UnreadableEvidence if the file is missing or damaged.
    """
    with _opened(Path(path)) as arrays:
        row = [str(role) for role in arrays["role"]].index("forget")
        judges = [str(judge) for judge in arrays["judges"]]
        return {judge: (arrays[f"{judge}/after"][row], arrays[f"{judge}/after_found"][row]) for judge in judges}


@contextmanager
def _opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a file, read as they are asked for; whatever goes wrong in the block is the file's fault."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except UnreadableEvidence:
        raise
    except FileNotFoundError:
        raise UnreadableEvidence(f"{path.name} does not exist") from None
    except KeyError as error:
        raise UnreadableEvidence(f"{path.name} lacks what was written: {error.args[0]}") from None
    except Exception as error:  # whatever a damaged file may lead to
        words = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableEvidence(f"{path.name} is damaged: {words}") from None


def _subjects(arrays: Mapping[str, np.ndarray]) -> tuple[Subject, ...]:
    names = zip(arrays["identity"], arrays["role"], arrays["photo"], strict=True)
    return tuple(Subject(str(identity), str(role), int(photo)) for identity, role, photo in names)  # type: ignore[arg-type]


def _sight(arrays: Mapping[str, np.ndarray], judge: str) -> Sight:
    return Sight(*(arrays.get(f"{judge}/{item.name}") for item in dataclasses.fields(Sight)))  # type: ignore[arg-type]


def _samples(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> Samples:
    if f"{name}/shared" in arrays:
        return Samples(_shared(arrays, name, path)["features"])
    if f"{name}/features" in arrays:
        return Samples(arrays[f"{name}/features"])
    return Samples(None, _gaussian({key: arrays[f"{name}/{key}"] for key in ("mean", "covariance", "count")}))


def _statistics(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> FrechetStatistics | None:
    if f"{name}/shared" in arrays:
        return _gaussian(_shared(arrays, name, path))
    if f"{name}/mean" not in arrays:
        return None
    return _gaussian({key: arrays[f"{name}/{key}"] for key in ("mean", "covariance", "count")})


def _gaussian(arrays: Mapping[str, np.ndarray]) -> FrechetStatistics:
    return FrechetStatistics(arrays["mean"], arrays["covariance"], int(arrays["count"]))


def _share(arrays: Mapping[str, np.ndarray], folder: Path, aside: str) -> str:
    """Writes arrays below their digest unless they are there, whole; returns the digest.

    The file is built aside and renamed, so that several processes may write the same one.
    """
    name = digest.of_arrays(arrays)
    target = folder / f"{name}.npz"
    try:
        _read_shared(target)
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


def _shared(arrays: Mapping[str, np.ndarray], name: str, path: Path) -> dict[str, np.ndarray]:
    """The arrays that evidence at ``path`` refers to. Raises UnreadableEvidence if they are missing or damaged."""
    wanted = f"{SHARED}/{arrays[f'{name}/shared']}.npz"
    for above in path.absolute().parents[:_LEVELS]:
        if (above / wanted).is_file():
            return _read_shared(above / wanted)
    raise UnreadableEvidence(f"{wanted} lies in no folder above it; copy {SHARED}/ together with the records")


def _read_shared(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shared file; raises UnreadableEvidence if it is missing or not what its name says."""
    with _opened(path) as stored:
        arrays = {name: stored[name] for name in stored}
        if digest.of_arrays(arrays) != path.stem:
            raise UnreadableEvidence(f"{SHARED}/{path.name} is damaged; `guidebench run --fresh` writes it anew")
    return arrays
