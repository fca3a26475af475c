"""Files of named arrays, and the faces in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from guidebench import archives
from guidebench.archives import BadArchive
from guidebench.evidence import Seen, SeenFaces


class UnreadableEvidence(BadArchive):
    """A file of evidence is missing or damaged; the message is one line and names the file."""


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a file, read as they are asked for; whatever goes wrong in the block is the file's fault."""
    try:
        with archives.opened(path) as archive:
            yield archives.Arrays(archive)
    except UnreadableEvidence:
        raise
    except BadArchive as error:
        raise UnreadableEvidence(f"{path.name} is damaged: it {error}") from None
    except FileNotFoundError:
        raise UnreadableEvidence(f"{path.name} does not exist") from None
    except OSError as error:
        raise UnreadableEvidence(f"{path.name} cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise UnreadableEvidence(f"{path.name} has no array {error.args[0]}") from None


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
