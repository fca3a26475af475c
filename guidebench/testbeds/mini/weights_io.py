"""Reads and writes weights that ship. Every file is checked against the manifest's SHA-256 before it is used.

The manifest holds the version of the weights; networks of another version have other shapes or see other pictures.

Matrices are stored as float16 and loaded as float32, small tensors (biases, scales, statistics) stay as they are.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from guidebench import digest, files
from guidebench.errors import MissingAsset
from guidebench.evidence import FrechetStatistics
from guidebench.testbeds.mini.weights_version import WEIGHTS_VERSION

SHIPPED = Path(__file__).parent / "weights"
MANIFEST = "manifest.json"
_HALF_FROM = 1_000  # tensors with at least so many numbers are stored as float16

ModuleType = TypeVar("ModuleType", bound=nn.Module)


class WeightsFolder:
    """A folder of weights with its manifest: mini's own, unless another testbed's are named."""

    def __init__(self, folder: Path = SHIPPED, *, testbed: str = "mini", version: int = WEIGHTS_VERSION) -> None:
        """version: of the weights that this code reads."""
        self.folder, self.testbed, self.version = folder, testbed, version

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest's content. Raises MissingAsset if there is none, or if it lists weights of another version."""
        path = self.folder / MANIFEST
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise MissingAsset(
                f"{self.testbed}'s weights have no readable {path}: {error}; install guidebench again"
            ) from None
        version = manifest.get("version", 1)  # the first manifests did not say
        if version != self.version:
            raise MissingAsset(
                f"{path} lists weights of version {version}, this guidebench reads version {self.version}; "
                "install guidebench again, or train them with it"
            )
        return manifest

    def sha256(self, name: str) -> str:
        """The SHA-256 that a file must have."""
        try:
            return str(self.manifest["files"][name]["sha256"])
        except KeyError:
            raise MissingAsset(f"{self.folder / MANIFEST} lists no {name}; install guidebench again") from None

    def checked(self, name: str) -> Path:
        """The path of a file whose content is what the manifest says. Raises MissingAsset otherwise."""
        path, wanted = self.folder / name, self.sha256(name)
        if not path.is_file():
            raise MissingAsset(f"{path} is missing; install guidebench again")
        found = digest.of_file(path)
        if found != wanted:
            raise MissingAsset(
                f"{path} is damaged or was changed: SHA-256 {found[:12]}… instead of {wanted[:12]}…; "
                "install guidebench again"
            )
        return path

    def load_into(self, module: ModuleType, name: str) -> ModuleType:
        """Load `name`.safetensors into a module, as float32, frozen and in evaluation mode."""
        path = self.checked(f"{name}.safetensors")
        try:
            state = load_safetensors(path.read_bytes())
        except SafetensorError as error:
            raise MissingAsset(f"{path} cannot be read: {error}; install guidebench again") from None
        own = module.state_dict()
        module.load_state_dict({key: value.to(own[key].dtype) for key, value in state.items()})
        return module.eval().requires_grad_(False)

    def real_statistics(self) -> FrechetStatistics:
        """FID statistics of rendered photographs of people whom nothing else uses."""
        state = load_safetensors(self.checked("reals.safetensors").read_bytes())
        mean, covariance = (state[name].to(torch.float64).numpy() for name in ("mean", "covariance"))
        return FrechetStatistics(np.asarray(mean), np.asarray(covariance), int(state["count"]))


def write_module(module: nn.Module, path: Path) -> None:
    """Store a module's state."""
    state = {
        name: (value.half() if value.is_floating_point() and value.numel() >= _HALF_FROM else value).contiguous().cpu()
        for name, value in module.state_dict().items()
    }
    with files.written_aside(path, "wb") as stream:
        stream.write(save_safetensors(state))


def write_manifest(folder: Path, entries: dict[str, Any], *, version: int = WEIGHTS_VERSION) -> None:
    """List all files of a folder with size and SHA-256 under the version of the weights, together with `entries`."""
    listed = {
        path.name: {"sha256": digest.of_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.suffix in (".safetensors", ".onnx")
    }
    manifest = {"version": version, "files": listed, **entries}
    files.write_json(manifest, folder / MANIFEST)
