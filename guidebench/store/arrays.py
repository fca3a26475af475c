"""Files of named arrays, and the faces in them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from guidebench.evidence import Seen, SeenFaces


class UnreadableEvidence(ValueError):
    """A file of evidence is missing or damaged; the message is one line and names the file."""


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a file, read as they are asked for; whatever goes wrong in the block is the file's fault."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except UnreadableEvidence:
        raise
    except FileNotFoundError:
        raise UnreadableEvidence(f"{path.name} does not exist") from None
    except KeyError as error:
        name = str(error.args[0]).removesuffix(" is not a file in the archive")  # as numpy puts it
        raise UnreadableEvidence(f"{path.name} has no array {name}") from None
    except OSError as error:
        raise UnreadableEvidence(f"{path.name} cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever a damaged file may lead to
        words = " ".join(str(error).split()) or type(error).__name__
        words = "it holds pickled objects" if "allow_pickle" in words else words
        words = words if zipfile.is_zipfile(path) else "it is not an npz file"
        raise UnreadableEvidence(f"{path.name} is damaged: {words}") from None


def arrays_of(faces: SeenFaces, name: str) -> dict[str, np.ndarray]:
    """Faces as two arrays, the embeddings as float32, or as float16 where that is as exact."""
    vectors = faces.vectors.astype(np.float32)
    half = vectors.astype(np.float16)
    return {name: half if np.array_equal(half.astype(np.float32), vectors) else vectors, f"{name}/found": faces.found}


def faces_of(arrays: Mapping[str, np.ndarray], name: str) -> SeenFaces | None:
    """What `arrays_of` was given; None: no such arrays."""
    if name not in arrays:
        return None
    return Seen(arrays[name].astype(np.float32, copy=False), arrays[f"{name}/found"])
