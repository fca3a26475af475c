"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import guidebench
import guidebench.baselines

# Modules with a function that readers meet first: each must keep an example.
WITH_EXAMPLES = {
    "guidebench.baselines.guide",
    "guidebench.cameras",
    "guidebench.digest",
    "guidebench.evidence",
    "guidebench.images",
    "guidebench.losses",
    "guidebench.metrics.frechet",
    "guidebench.metrics.identity",
    "guidebench.photos.frames",
    "guidebench.photos.manifests",
    "guidebench.reporting.statistics",
    "guidebench.seeds",
    "guidebench.text",
}


def modules_with_examples() -> set[str]:
    """Names of all modules whose source holds an example, whether or not they are listed above."""
    found = set()
    for package in (guidebench, guidebench.baselines):
        assert package.__file__ is not None
        folder = Path(package.__file__).parent
        for path in folder.rglob("*.py"):
            if ">>> " in path.read_text(encoding="utf-8"):
                found.add(".".join([package.__name__, *path.relative_to(folder).with_suffix("").parts]))
    return {name.removesuffix(".__init__") for name in found}


@pytest.mark.parametrize("name", sorted(WITH_EXAMPLES | modules_with_examples()))
def test_examples_in_docstrings_are_true(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module)
    assert results.failed == 0, "see the output above"
    assert results.attempted > 0, f"{name} has no example any more"
