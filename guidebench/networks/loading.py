"""Puts stored tensors into a network: all of them, each of the right shape, or one clear line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from guidebench.errors import BadInput
from guidebench.networks.pickles import shown
from guidebench.text import brief

Network = TypeVar("Network", bound=nn.Module)
NAMED = 3  # wrong keys that an error names; the rest are counted


def load_strictly(module: Network, tensors: Mapping[str, Tensor], path: str | Path) -> Network:
    """Copies ``tensors`` into the parameters and buffers of ``module``, by state-dict key, and returns the module.

    Values are converted to the module's own dtype and device. Batch-norm counters (``num_batches_tracked``) may be
    absent, as in files older than them: no output depends on them. Raises `guidebench.errors.BadInput` as `check_fit`
    does; the module is then unchanged.
    """
    check_fit(module, tensors, path)
    module.load_state_dict(dict(tensors), strict=False)
    return module


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Raises `guidebench.errors.BadInput`, naming ``path`` and the first wrong keys, if a tensor is missing, unknown or
    of another shape.
    """
    wanted = module.state_dict()
    missing = [key for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    unknown = [key for key in tensors if key not in wanted]
    misshapen = [
        f"{key} {brief(tuple(tensors[key].shape))} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    faults = [
        f"{what} {_some(keys)}"
        for what, keys in (("lacks", missing), ("has unknown", unknown), ("holds", misshapen))
        if keys
    ]
    if faults:
        raise BadInput(
            f"{path} does not hold the weights of {type(module).__name__}: it {'; it '.join(faults)}; "
            "give the file that this network was published in"
        )


def _some(keys: list[str]) -> str:
    """The first few keys, which may come from a file, and how many more there are."""
    rest = len(keys) - NAMED
    return ", ".join(map(shown, keys[:NAMED])) + (f" and {rest} more" if rest > 0 else "")
