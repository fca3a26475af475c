"""Trials of the analytic testbed, measured once: several photographs per person, attacks, and several requests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import guidebench
from guidebench.reporting.plots import trials


@pytest.fixture(scope="session")
def measured_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    guidebench.run(
        "celebahq-multi",
        ["mean-latent", "guide"],
        "linear",
        identities=3,
        seeds=[0],
        samples=40,
        floors="all",
        attacks=["relearn"],
        keep_generators=True,
        every=10,
        workers=0,
        out=out,
    )
    return out


@pytest.fixture
def measured(tmp_path, measured_once):
    """A directory of three people, to be changed at will."""
    return Path(shutil.copytree(measured_once, tmp_path / "measured"))


@pytest.fixture(scope="session")
def sequence(tmp_path_factory):
    """A directory of two groups of two people, one after another."""
    out = tmp_path_factory.mktemp("sequence")
    sizes = {"identities": 4, "requests": 2, "seeds": [0], "samples": 40}
    guidebench.run("celebahq-sequential", "mean-latent", "linear", **sizes, floors="none", workers=0, out=out)
    return out


@pytest.fixture(scope="session")
def loaded(measured_once):
    """The trials of three people; not to be changed."""
    return trials.load(measured_once)
