"""What a number was made on: device, versions of packages, commit of the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import guidebench
from guidebench.errors import BadInput

PACKAGES = ("torch", "torch-fidelity", "insightface", "numpy", "scipy")  # those that may change a number
_GIT_SECONDS = 10.0


def resolve_device(name: str) -> str:
    """auto, cpu, cuda or cuda:N -> a device that exists; raises BadInput otherwise."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    if not (name == "cuda" or (name.startswith("cuda:") and name[5:].isdigit())):
        raise BadInput(f"unknown device '{name}'; give auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise BadInput(f"device {name}: this PyTorch ({torch.__version__}) sees no CUDA device; give cpu")
    count = torch.cuda.device_count()
    if name != "cuda" and int(name[5:]) >= count:
        raise BadInput(f"device {name}: there are {count} CUDA devices, counted from 0; give cuda:{count - 1} or less")
    return name


def cuda_devices() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(number) for number in range(count)]


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_in_words(device: str) -> str:
    """The device's product name, for records and tables."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"cpu ({_processor()})"


def versions() -> Mapping[str, str]:
    """Versions of guidebench, Python and every package that may change a number; "absent" if it is not installed."""
    found = {"guidebench": guidebench.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def checkout_commit(root: Path | None = None) -> str | None:
    """The commit that guidebench runs from, with "+dirty" if tracked files are changed; None outside a checkout.

    root: a checkout to look at instead.
    """
    root = root or Path(guidebench.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_GIT_SECONDS)
    return done.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
