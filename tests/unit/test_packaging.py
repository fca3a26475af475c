"""What a wheel of guidebench holds, and that every version it needs is pinned."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

import guidebench

SOURCE_SUFFIXES = (".py", ".pyc")


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture
def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("guidebench")
    except metadata.PackageNotFoundError:
        pytest.skip("guidebench is imported from the checkout; tox installs it")


def packages_in_the_tree(root: Path, package_dir: dict[str, str]) -> dict[str, Path]:
    """Every folder that holds a file, by the package name that the mapping gives it."""
    found = {}
    for name, top in package_dir.items():
        for folder in (root / top, *(root / top).rglob("*")):
            ignored = any(part == "__pycache__" or part.startswith(".") for part in folder.relative_to(root).parts)
            if folder.is_dir() and not ignored and any(item.is_file() for item in folder.iterdir()):
                found[".".join([name, *folder.relative_to(root / top).parts])] = folder
    return found


def normalised(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_every_folder_of_the_tree_is_packaged(root, pyproject):
    """The list is kept by hand; a folder that it misses would be absent from a wheel and present in a checkout."""
    setuptools = pyproject["tool"]["setuptools"]
    assert sorted(setuptools["packages"]) == sorted(packages_in_the_tree(root, setuptools["package-dir"]))


def test_every_data_file_of_the_tree_is_packaged(root, pyproject):
    setuptools = pyproject["tool"]["setuptools"]
    patterns = setuptools["package-data"]["*"]
    left_out = [
        str(path.relative_to(root))
        for folder in packages_in_the_tree(root, setuptools["package-dir"]).values()
        for path in folder.iterdir()
        if path.is_file() and path.suffix not in SOURCE_SUFFIXES and not any(fnmatch(path.name, p) for p in patterns)
    ]
    assert left_out == []


def test_importable_guidebench_holds_every_file_of_the_tree(root, pyproject):
    """Compares with whatever is imported: the wheel under tox, the checkout otherwise."""
    tops = [Path(entry) for entry in guidebench.__path__]
    missing = []
    for name, folder in packages_in_the_tree(root, pyproject["tool"]["setuptools"]["package-dir"]).items():
        inside = Path(*name.split(".")[1:])
        for path in folder.iterdir():
            if (
                path.is_file()
                and path.suffix != ".pyc"
                and not any((top / inside / path.name).is_file() for top in tops)
            ):
                missing.append(f"{name}: {path.name}")
    assert missing == []


def test_version_is_that_of_the_distribution(distribution):
    """False also where an old installation is imported beside a newer checkout."""
    assert distribution.version == guidebench.__version__


def test_console_script_starts_the_command_line(distribution):
    (script,) = distribution.entry_points.select(group="console_scripts", name="guidebench")
    assert callable(script.load())


def test_every_requirement_is_pinned(root, pyproject):
    """Also the indirect ones: whatever is installed beside guidebench because it asked for it."""
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    pinned = {normalised(line) for line in lines}
    project = pyproject["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    wanted = {normalised(line) for line in [*project["dependencies"], *extras, "tox"]}
    assert wanted <= pinned
    assert {name for name in _closure(wanted) if not _is_platform_library(name)} <= pinned


def _closure(names: set[str]) -> set[str]:
    """The names and all that they require here, extras and other platforms left out."""
    from packaging.requirements import Requirement

    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # not installed here, such as tox inside its own environment
            continue
        for requirement in map(Requirement, requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting |= {normalised(requirement.name)} - seen
    return seen


def _is_platform_library(name: str) -> bool:
    """PyTorch's CUDA parts, whose versions torch itself names exactly."""
    return name.startswith(("nvidia-", "cuda-")) or name == "triton"
