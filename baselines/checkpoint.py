"""Generators that other code unlearned, as a method: `guidebench evaluate` hands them over to be judged like any other.

A checkpoint is a file for each identity (and seed). Its weights are put into a copy of the testbed's own generator, so
that it is rendered exactly as the original is; a loader of the user's own may build anything else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from guidebench import digest, plugins, sources
from guidebench.errors import BadInput, GuidebenchError, MethodError
from guidebench.testbed import Generator
from guidebench.unlearner import ABSENT, Context, ForgetRequest, Unlearner

PLACEHOLDERS = ("identity", "seed")
DELTA = "delta.safetensors"  # what `guidebench run --keep-generators` writes: `guidebench.unlearner.Unlearner.save`
_SHAPE = ("z_dim", "num_ws", "w_dim", "resolution")


@dataclass(frozen=True)
class Checkpoint(Unlearner):
    """Returns the generator of a file; nothing is trained."""

    name = "checkpoint"
    summary = "a generator that other code unlearned; see `guidebench evaluate`"
    training_seen = False

    path: str = ""  # with {identity} and {seed} where files differ
    loader: str = ""  # path/to/file.py:Class, called with the path and a copy of the original generator; "": see `load`

    def __post_init__(self) -> None:
        """Raises BadInput on a placeholder that means nothing, or a loader that is not there."""
        for name in re.findall(r"\{([^{}]*)\}", self.path):
            if name not in PLACEHOLDERS:
                raise BadInput(f"checkpoint {self.path}: {{{name}}} means nothing; use {{identity}} and {{seed}}")
        if self.loader and not callable(plugins.from_file(self.loader, "loader")):
            raise BadInput(f"loader '{self.loader}' cannot be called; name a class or function of (path, original)")

    def for_trial(self, identity: str, seed: int) -> Checkpoint:
        """With the path of this identity and seed."""
        return replace(self, path=self.path.replace("{identity}", identity).replace("{seed}", str(seed)))

    def inputs(self) -> Mapping[str, str]:
        """Digests of the checkpoint and of the loader's code."""
        code = {"loader": sources.code_digest(Path(self.loader.rpartition(":")[0]))} if self.loader else {}
        return {"checkpoint": _digest(self._file), **code}

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Loads the checkpoint. Raises MethodError, in one line, if it is missing or of another kind."""
        if not self._file.is_file():
            what = "is not a file" if self._file.exists() else "does not exist"
            raise MethodError(f"the checkpoint {self._file} {what}; put it there, or correct the path")
        try:
            if self.loader:
                loaded = plugins.from_file(self.loader, "loader")(self._file, generator)
            else:
                loaded = load(self._file, generator)
        except GuidebenchError as error:
            raise MethodError(str(error)) from None
        if not isinstance(loaded, Generator):
            raise MethodError(
                f"loader {self.loader} returned {type(loaded).__name__}, not a guidebench.testbed.Generator"
            )
        for name in _SHAPE:
            own, wanted = getattr(loaded, name, None), getattr(context.source, name)
            if own != wanted:
                raise MethodError(f"the generator of {self._file} has {name} {own}, the original has {wanted}")
        return loaded.to(context.device)

    @property
    def _file(self) -> Path:
        """The checkpoint; of a folder that a run kept, the weights in it."""
        path = Path(self.path).expanduser()
        return path / DELTA if path.is_dir() else path


def load(path: Path, generator: Generator) -> Generator:
    """``generator`` with the weights of a file.

    That is a snapshot of EG3D or GUIDE (``last.pkl``) or a file of `guidebench.networks.eg3d.save` for an EG3D
    generator, and for any generator a safetensors or torch file of all its tensors or of those that changed. Raises
    BadInput, naming the file and the first wrong keys, if it holds anything else.
    """
    from guidebench.networks import checkpoints, eg3d
    from guidebench.networks.loading import load_strictly

    if isinstance(generator, eg3d.TriPlaneGenerator) and path.name != DELTA:
        tensors = eg3d.load(path).state_dict()
    else:
        tensors = checkpoints.state_dict(path)
        if not tensors and path.name != DELTA:
            raise BadInput(f"{path} holds no tensors; give the weights of an unlearned generator")
    return load_strictly(generator, {**generator.state_dict(), **tensors}, path)


def _digest(path: Path) -> str:
    try:
        state = path.stat()
        return _digest_of_state(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return ABSENT


@functools.lru_cache(maxsize=4096)
def _digest_of_state(path: Path, size: int, changed_ns: int) -> str:
    """Hundreds of megabytes are hashed once, not for every seed; size and time are only there to be noticed."""
    return digest.of_file(path)
