"""The original generator's samples, kept for whoever measures the same next: another command, another job of a cluster.

    OUT/shared/original/KEY    digest of the file OUT/shared/DIGEST.npz that holds their features

KEY is of everything that decides the samples: protocol, testbed, weights, salt, precision, numerics, device, torch. The
features are those that the evidence of trials refers to, so nothing is stored twice. What is missing, damaged or cannot
be written counts as absent: the samples are rendered again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from guidebench import digest, files
from guidebench.protocol import Protocol
from guidebench.store.arrays import UnreadableEvidence
from guidebench.store.evidence_files import DIGEST, read_shared, share
from guidebench.store.processes import unfinished_prefix
from guidebench.store.record import NUMERICS_VERSION

_FOLDER = "original"
_log = logging.getLogger(__name__)


class Originals:
    """The samples that one directory of results has of one testbed as it was loaded."""

    def __init__(self, shared: Path, facts: Mapping[str, Any]) -> None:
        """shared: see `guidebench.store.folders.Store`. facts: all but the protocol that decides the samples."""
        self._shared, self._facts = shared, {**facts, "numerics": NUMERICS_VERSION}

    def _pointer(self, protocol: Protocol) -> Path:
        return self._shared / _FOLDER / digest.of_data({**self._facts, "protocol": protocol.digest()})

    def get(self, protocol: Protocol) -> np.ndarray | None:
        """Features (protocol.samples, d) float32; None: they are to be computed."""
        try:
            name = files.read_bytes(self._pointer(protocol)).decode("ascii")
            if not re.fullmatch(DIGEST, name):
                return None
            features = read_shared(self._shared / f"{name}.npz").get("features")
        except (OSError, ValueError, UnreadableEvidence) as error:
            _log.debug("samples of the original generator are computed: %s", error)
            return None
        if features is None or features.ndim != 2 or len(features) != protocol.samples:
            return None
        return features if features.dtype == np.float32 else None

    def put(self, protocol: Protocol, features: np.ndarray) -> None:
        """Keeps the features of all samples of a protocol, where that is possible."""
        try:
            name = share({"features": features.astype(np.float32, copy=False)}, self._shared, unfinished_prefix())
            with files.written_aside(self._pointer(protocol), prefix=unfinished_prefix()) as stream:
                stream.write(name)
        except OSError as error:
            _log.debug("samples of the original generator are not kept: %s", error)
