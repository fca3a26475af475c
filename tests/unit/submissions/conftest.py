"""A small benchmark, packed."""

from __future__ import annotations

import shutil

import pytest
from tampering import METHOD

import guidebench
from guidebench.submissions.pack import pack


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two methods on three people, with their generators; one is a wrapper. No floors."""
    out = tmp_path_factory.mktemp("submissions") / "runs"
    options = {"floors": "none", "workers": 0, "keep_generators": True, "out": out}
    guidebench.run("celebahq-multi", ["mean-latent", "redirect"], "linear", **options)
    return out


@pytest.fixture
def copy(runs, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(runs, tmp_path / "copy")


@pytest.fixture(scope="session")
def packed(runs, tmp_path_factory):
    """The benchmark as a file."""
    file = tmp_path_factory.mktemp("packed") / "a.zip"
    pack([runs], file, METHOD)
    return file
