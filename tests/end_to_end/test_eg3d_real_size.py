"""The testbed eg3d-ffhq at its real size, with drawn weights: every network of the paper, every stage, few steps.

Drawn weights make no faces, so the detectors are exchanged: a fixed crop for MTCNN, and an ArcFace pack of a few kB.
They are for tests only. The numbers mean nothing; that there are numbers, of finite size, is what is tested.
"""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from guidebench import images
from guidebench.assets import catalogue
from guidebench.commands.main import main
from guidebench.networks import mtcnn
from guidebench.store.folders import read
from guidebench.store.record import Record
from guidebench.testbeds.eg3d import EG3DTestbed

BACKBONE_PARAMETERS = 28_207_533  # of the tri-plane synthesis network, all of which GUIDE trains
FEW = """
source = "celebahq"
identities = 1
probe_photos = 1
retain = 1
views = 2
neighbours = 1
samples = 2
"""


@pytest.fixture
def photographs(tmp_path: Path, recipe: ModuleType) -> Path:
    """Two people with two photographs each."""
    for person in ("first", "second"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for place, picture in enumerate(recipe.recipe_image(person, (2, 3, 512, 512), "real-size")):
            images.save(torch.from_numpy(picture), tmp_path / "photos" / person / f"{place}.png")
    return tmp_path / "photos"


@pytest.fixture
def real_size(tmp_path: Path, monkeypatch, recipe, published_files, root: Path) -> None:
    """The assets folder holds every file; trials run in this process, so that the detector can be exchanged."""
    folder = tmp_path / "assets"
    folder.mkdir()
    with np.load(root / "tests" / "goldens" / "networks" / "eg3d.npz") as arrays:
        published_files.write_real_size(folder, recipe, json.loads(str(arrays["full_config"])))
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(folder))
    monkeypatch.setattr(catalogue, "ASSETS", tuple(dataclasses.replace(asset, sha256="") for asset in catalogue.ASSETS))
    points = published_files.face_in(1)
    monkeypatch.setattr(mtcnn, "load", lambda folder, *, convention: published_files.FixedCrop(points))
    monkeypatch.setattr(EG3DTestbed, "instant", True)


def measured(tmp_path: Path, photographs: Path, *words: str) -> Record:
    """The record of GUIDE on one person; says seconds and memory on stderr."""
    started = time.perf_counter()
    arguments = ["run", "--testbed", "eg3d-ffhq", "--photos", str(photographs), "--identities", "1", *words]
    done = CliRunner().invoke(
        main, [*arguments, "--method", "guide", "--floors", "none", "--out", str(tmp_path / "runs")]
    )
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "runs").glob("records/*/*/*/record.json")
    record = read(path.parent)
    assert record.cost is not None
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    sys.stderr.write(
        f"eg3d-ffhq at real size on {record.environment.device}: {time.perf_counter() - started:.0f} s with loading, "
        f"trial {record.cost.seconds_total:.0f} s, "
        f"peak while unlearning {(record.cost.peak_memory_bytes or 0) / 2**30:.1f} GiB, "
        f"most resident memory {resident:.1f} GiB\n"
    )
    return record


def check(record: Record) -> None:
    values = {(score.metric, score.judge): score for score in record.outcome.scores}
    for metric in ("id", "id_others", "id_retain", "id_photo", "id_neighbour", "inversion"):
        for judge in ("curricularface", "arcface"):
            assert math.isfinite(values[metric, judge].value) and values[metric, judge].lost_before == 0
    assert values["fid_pre", None].value is None and "--samples" in values["fid_pre", None].reason
    assert 0.99 * BACKBONE_PARAMETERS < record.cost.trainable <= BACKBONE_PARAMETERS


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_stage_at_real_size_on_a_cpu(tmp_path, photographs, real_size):
    (tmp_path / "few.toml").write_text(FEW)
    words = ("--protocol", str(tmp_path / "few.toml"), "--device", "cpu", "--set", "steps=1")
    check(measured(tmp_path, photographs, *words))


@pytest.mark.gpu
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("conventions", ["corrected", "published"])
def test_smoke_at_full_size_on_a_gpu(tmp_path, photographs, real_size, conventions):
    """Both judges on CUDA, or the run is refused."""
    words = ("--protocol", "smoke", "--device", "cuda", "--set", "steps=2", "--conventions", conventions)
    check(measured(tmp_path, photographs, *words))
