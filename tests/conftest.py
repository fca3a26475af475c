"""What all tests share: markers that skip with a reason, and where the reference arrays are."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("GUIDEBENCH_REFERENCE", ROOT.parent / "shared" / "reference"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {
        "slow": None if config.getoption("--slow") else "takes minutes; run with --slow",
        "long": None if "GUIDEBENCH_LONG" in os.environ else "takes ten seconds or more; run with GUIDEBENCH_LONG=1",
        "reference": None if REFERENCE.is_dir() else "no reference arrays; name their folder in GUIDEBENCH_REFERENCE",
    }
    if any(item.get_closest_marker("gpu") for item in items):
        reasons["gpu"] = _reason_against_gpu()
    if any(item.get_closest_marker("weights") for item in items):
        reasons["weights"] = _reason_against_weights()
    for item in items:
        for marker, reason in reasons.items():
            if reason and item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _reason_against_gpu() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "no CUDA device"


def _reason_against_weights() -> str | None:
    folder = os.environ.get("GUIDEBENCH_ASSETS")
    return (
        None if folder and Path(folder).is_dir() else "no pretrained networks; name their folder in GUIDEBENCH_ASSETS"
    )


@pytest.fixture(autouse=True, scope="session")
def one_salt() -> Iterator[None]:
    """All results directories that tests make have one salt, so that their numbers can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("guidebench.store.salts.draw", lambda: 0)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout that the tests are in."""
    return ROOT


@pytest.fixture(scope="session")
def says() -> Callable[..., str]:
    """A pattern of what a message must hold, in any order: `pytest.raises(BadInput, match=says("gide", "'guide'"))`.

    Values that were given, alternatives, commands, names and digits; the sentences around them are free to change.
    """
    return lambda *parts: "(?s)" + "".join(f"(?=.*{re.escape(part)})" for part in parts)


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference arrays; skips where there is none."""
    if not REFERENCE.is_dir():
        pytest.skip("no reference arrays; name their folder in GUIDEBENCH_REFERENCE")
    return REFERENCE


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    """tests/recipe_weights.py: weights and images that are functions of their names, as the reference arrays used."""
    module = _beside("recipe_weights")
    module.self_check()
    return module


@pytest.fixture(scope="session")
def published_files() -> ModuleType:
    """tests/published_files.py: writes files in the formats that the published networks come in."""
    return _beside("published_files")


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Rendered photographs of the tests stay out of the user's cache."""
    os.environ.setdefault("GUIDEBENCH_HOME", str(tmp_path_factory.mktemp("home")))
