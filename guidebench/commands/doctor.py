"""`guidebench doctor`: whether this machine can run a testbed, and the exact command that comes next.

Each finding is one line: ok, FAIL (the testbed cannot run as asked) or note (it can, but you should know something),
with the command that repairs it if there is one. docs/dependencies.md explains the traps behind the checks.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from guidebench import assets, places, registry, torchvision_fix
from guidebench.assets.catalogue import needed_by
from guidebench.commands import common
from guidebench.environment import resolve_device
from guidebench.errors import EXIT_BAD_INPUT, BadInput, GuidebenchError
from guidebench.repairs import PIP, REPAIR_LIBRARIES, REPAIR_ONNXRUNTIME, REPAIR_PACKAGES
from guidebench.text import bytes_in_words

if TYPE_CHECKING:
    from guidebench.testbed import Testbed

PYTHON = (3, 11)  # the bounds of pyproject.toml; a test compares them
PACKAGES = {"torch": ">=2.13", "torchvision": ">=0.28", "insightface": ">=1.0"}
TRIED_TORCH = (
    "2.13.0",
    "2.14.1",
    "2.15.0",
)  # the releases that the tests were run with; docs/dependencies.md names them, too
SCARCE_BYTES = 1_000_000_000  # free space below which there is a note
TOO_FEW_BYTES = 50_000_000  # and below which a run would soon stop


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    level: Literal["ok", "FAIL", "note"]
    name: str  # what was checked
    detail: str  # what was found
    repair: str = ""  # the command that repairs it; every FAIL has one

    @property
    def line(self) -> str:
        """As it is printed."""
        repair = f"; repair: {self.repair}" if self.repair else ""
        return f"{self.level:4} {self.name}: {self.detail}{repair}"


def examine(testbed: str, *, device: str = "auto", out: Path = Path("runs")) -> list[Finding]:
    """Looks at everything that a run of a testbed on a device, with records below ``out``, relies on.

    testbed: registered name, ``path/to/file.py:Class`` or ``module:Class``. Raises BadInput if there is no such
    testbed. Without a working PyTorch nothing else is looked at.
    """
    registry.TESTBED.entry(testbed)
    torch = _import("torch")
    findings = [_python(), *_versions(), *_fit(), torch]
    if torch.level == "FAIL":
        return findings
    kind = registry.testbed_class(testbed)
    computing, on_cuda = _device(device, repair=f"guidebench doctor --testbed {testbed} --device cpu")
    return [
        *findings,
        *computing,
        _import("torchvision", torchvision_fix.import_torchvision),
        _import("torch-fidelity", torchvision_fix.import_torch_fidelity),
        _import("opencv-python", lambda: importlib.import_module("cv2")),
        _import("insightface"),
        _onnxruntime(needs_cuda=on_cuda and bool(needed_by(kind.name))),
        _folder("cache", places.cache_folder(), repair="export GUIDEBENCH_HOME=FOLDER"),
        _folder("records", out, repair=f"guidebench doctor --testbed {testbed} --out FOLDER"),
        *_testbed(kind, testbed),
    ]


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.level != "FAIL" for finding in findings)


def next_command(findings: Sequence[Finding], testbed: str) -> str:
    """The first repair that is needed, or else the first run."""
    for finding in findings:
        if finding.level == "FAIL":
            return finding.repair
    given = "" if testbed == registry.DEFAULT_TESTBED else f" --testbed {testbed}"
    return f"guidebench run {registry.testbed_class(testbed).first_run}{given}"


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        needed = ".".join(map(str, PYTHON))
        return Finding("FAIL", "python", f"{version}; {needed} or later is needed", f"python{needed} -m venv .venv")
    return Finding("ok", "python", version)


def _versions() -> Iterator[Finding]:
    """Whether the packages that must fit together have versions that do."""
    from packaging.specifiers import SpecifierSet

    for name, bounds in PACKAGES.items():
        version = _version(name)
        if version is None:
            yield Finding("FAIL", name, "is not installed", REPAIR_PACKAGES)
        elif not SpecifierSet(bounds, prereleases=True).contains(version):
            yield Finding("FAIL", name, f"{version} is installed, {bounds} is needed", REPAIR_PACKAGES)


def _fit() -> Iterator[Finding]:
    """Whether torch is one that this version was tried with, and the one that the installed torchvision asks for.

    Each torchvision names its torch in its own metadata, so that this knows pairs that are younger than guidebench.
    Neither is a failure: guidebench needs only that torchvision can be imported, which is looked at by itself.
    """
    from packaging.requirements import Requirement
    from packaging.version import Version

    torch, torchvision = _version("torch"), _version("torchvision")
    if torch is None or torchvision is None:
        return
    newest = TRIED_TORCH[-1]
    if Version(torch).release[:2] > Version(newest).release[:2]:
        yield Finding("note", "torch", f"{torch} is newer than {newest}, the newest that guidebench was tried with")
    for asked in map(Requirement, metadata.requires("torchvision") or []):
        applies = asked.marker is None or asked.marker.evaluate({"extra": ""})
        if asked.name == "torch" and applies and not asked.specifier.contains(torch, prereleases=True):
            told = f"{torchvision} is made for torch {asked.specifier}, and {torch} is installed"
            repair = f"{PIP} install torchvision torch=={Version(torch).public}"  # named, so that pip keeps it
            yield Finding("note", "torchvision", told, repair)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _import(name: str, load: Callable[[], object] | None = None) -> Finding:
    """Whether a package can be imported; ``load`` does it where the module is not called as the package."""
    try:
        (load or (lambda: importlib.import_module(name)))()
    except Exception as error:  # a damaged installation may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        library = re.search(r"lib[\w.+-]+\.so[\w.]*", reason)
        if library and name == "opencv-python":
            return Finding("FAIL", name, f"the system library {library[0]} is missing", REPAIR_LIBRARIES)
        return Finding("FAIL", name, f"cannot be imported: {reason}", REPAIR_PACKAGES)
    return Finding("ok", name, _version(name) or "can be imported")


def _device(asked: str, *, repair: str) -> tuple[list[Finding], bool]:
    """Which device a run takes and whether it computes; and whether that is CUDA."""
    import torch

    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    try:
        device = torch.device(resolve_device(asked))
        torch.zeros(1, device=device).add(1).item()
    except (BadInput, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        return [Finding("FAIL", "device", f"{asked} cannot be used ({build}): {reason}", repair)], False
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        text = f"{device}, {properties.name}, {bytes_in_words(properties.total_memory)} ({build})"
        return [Finding("ok", "device", text)], True
    found = [Finding("ok", "device", f"cpu, {os.cpu_count()} cores ({build})")]
    if asked == "auto" and _has_nvidia_driver():
        why = "finds no device; check nvidia-smi and CUDA_VISIBLE_DEVICES" if torch.version.cuda else "is a CPU build"
        text = f"this machine has an NVIDIA driver, but PyTorch {torch.__version__} {why}"
        found.append(Finding("note", "device", text))
    return found, False


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _onnxruntime(*, needs_cuda: bool) -> Finding:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime

        providers = onnxruntime.get_available_providers()
    except Exception as error:  # both packages own one folder; removing either breaks the other
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding("FAIL", "onnxruntime", f"cannot be used: {reason}", REPAIR_ONNXRUNTIME)
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _version(name)]
    return onnxruntime_finding(installed, providers, needs_cuda=needs_cuda)


def onnxruntime_finding(installed: Collection[str], providers: Sequence[str], *, needs_cuda: bool) -> Finding:
    """What it means that these packages are installed and these providers are offered.

    onnxruntime and onnxruntime-gpu own the same folder, so the one that was unpacked last is the one that runs; where
    that is the CPU package, the GPU is silently never used. needs_cuda: judges of ONNX files run on CUDA.
    """
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    if "CUDAExecutionProvider" in providers:
        return Finding("ok", "onnxruntime", f"offers {names}")
    if "onnxruntime-gpu" not in installed:
        detail = f"offers {names}; onnxruntime-gpu is not installed, so ONNX judges run on the CPU"
    else:
        detail = f"offers {names}: the CPU package has overwritten onnxruntime-gpu, so ONNX judges run on the CPU"
    if needs_cuda:
        return Finding("FAIL", "onnxruntime", detail, REPAIR_ONNXRUNTIME)
    return Finding("note", "onnxruntime", f"{detail}; with a GPU: {REPAIR_ONNXRUNTIME}")


def _folder(name: str, path: Path, *, repair: str) -> Finding:
    """Whether a folder can be written, or made, and how much fits in."""
    shown = path.resolve()
    existing = next(parent for parent in (shown, *shown.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = assets.free_bytes(existing)
    except OSError as error:
        return Finding("FAIL", name, f"{shown} cannot be written: {error.strerror or error}", repair)
    detail = f"{shown} is writable, {bytes_in_words(free)} free"
    if free < TOO_FEW_BYTES:
        return Finding("FAIL", name, detail, repair)
    return Finding("note" if free < SCARCE_BYTES else "ok", name, detail)


def _testbed(kind: type[Testbed], spec: str) -> Iterator[Finding]:
    """Whether the testbed has its weights and photographs."""
    testbed = kind()
    yield from _shipped(testbed)
    wanted, unmet = needed_by(kind.name), assets.unmet(kind.name)
    if unmet:
        detail = f"{len(unmet)} of the files that {kind.name} requires are missing from {assets.folder()} or damaged"
        yield Finding("FAIL", "assets", detail, f"guidebench assets fetch --testbed {kind.name}")
    elif wanted:
        yield Finding("ok", "assets", f"everything that {kind.name} requires is in {assets.folder()}")
    for asset in wanted:
        state = assets.inspect(asset)
        what = f"{asset.file} ({asset.role}) {state.detail or 'is missing'}"
        if state in unmet or state.status == "wrong":
            yield Finding("FAIL", asset.id, what, f"guidebench assets fetch {asset.id}")
        elif asset.without and state.status == "missing":
            yield Finding("note", asset.id, f"{what}; {asset.needed}")
        elif state.status == "present" and (doubt := assets.doubt(state)):
            yield Finding("note", asset.id, doubt)
    for source in kind.photo_sets:
        yield _photo_set(source)
    if not wanted:  # what the catalogue does not know, the testbed itself names
        for line in testbed.missing():
            yield Finding("FAIL", "files", line, f"guidebench doctor --testbed {spec}")


def _shipped(testbed: Testbed) -> Iterator[Finding]:
    try:
        told = testbed.shipped()
    except GuidebenchError as error:
        yield Finding("FAIL", "weights", str(error), REPAIR_PACKAGES)
    else:
        if told:
            yield Finding("ok", "weights", told)


def _photo_set(source: str) -> Finding:
    """Whether a photo set was scanned and its files are still there; a run hashes those that it takes."""
    from guidebench.photos import manifests

    try:
        manifest = manifests.read(source)
    except GuidebenchError as error:
        return Finding("note", source, f"{error}; --protocol random needs no photos")
    photos = [photo for person in manifest.people for photo in person.photos]
    gone = [manifest.path(photo) for photo in photos if not manifest.path(photo).is_file()]
    if gone:
        text = f"{len(gone)} of {len(photos)} photos are missing, such as {gone[0]}; put them back"
        return Finding("note", source, f"{text}, or make a new manifest: {manifests.remedy(source)}")
    if manifest.hint:
        return Finding("note", source, manifest.hint)
    return Finding("ok", source, f"{len(manifest.people)} people, {len(photos)} photos below {manifest.root}")


@click.command()
@click.option("--testbed", default="mini", show_default=True, help="The testbed to run on.")
@common.device
@common.out
@common.as_json
def doctor(testbed: str, device: str, out: Path, as_json: bool) -> None:
    """Check that this machine can run a testbed.

    The last line is the command to type next: a repair, or the first run. Exit code 2 if the testbed cannot run.
    """
    findings = examine(testbed, device=device, out=out)
    able, command = can_run(findings), next_command(findings, testbed)
    if as_json:
        found = {"can_run": able, "next": command, "findings": [dataclasses.asdict(item) for item in findings]}
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        click.echo("\n".join([*(finding.line for finding in findings), f"next: {command}"]))
    if not able:
        sys.exit(EXIT_BAD_INPUT)
