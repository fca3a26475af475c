"""The testbed stylegan2-ffhq at its real size, with drawn weights: every network, every stage, few steps.

Drawn weights make no faces, so the detectors are exchanged as in test_eg3d_real_size. The numbers mean nothing; that
there are numbers, of finite size, is what is tested.
"""

from __future__ import annotations

import dataclasses
import math
import resource
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner

from guidebench import images
from guidebench.assets import catalogue
from guidebench.commands.main import main
from guidebench.networks import mtcnn
from guidebench.store.folders import read
from guidebench.testbeds.stylegan2 import StyleGAN2Testbed

SYNTHESIS_PARAMETERS = 28_268_812  # of the published network: 30,370,060 less those of the mapping network
FEW = """
source = "celebahq"
identities = 1
retain = 1
views = 1
neighbours = 0
samples = 2
"""


@pytest.fixture
def photographs(tmp_path: Path, recipe: ModuleType) -> Path:
    for person in ("first", "second"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        picture = torch.from_numpy(recipe.recipe_image(person, (1, 3, 1024, 1024), "real-size"))[0]
        images.save(picture, tmp_path / "photos" / person / "0.png")
    return tmp_path / "photos"


@pytest.fixture
def real_size(tmp_path: Path, monkeypatch, recipe, published_files) -> None:
    """The assets folder holds every file; trials run in this process, so that the detector can be exchanged."""
    folder = tmp_path / "assets"
    folder.mkdir()
    published_files.write_shared_real_size(folder, recipe)
    published_files.write_stylegan2_real_size(folder, recipe)
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(folder))
    monkeypatch.setattr(catalogue, "ASSETS", tuple(dataclasses.replace(asset, sha256="") for asset in catalogue.ASSETS))
    points = published_files.face_in(1)
    monkeypatch.setattr(mtcnn, "load", lambda folder, *, convention: published_files.FixedCrop(points))
    monkeypatch.setattr(StyleGAN2Testbed, "instant", True)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_stage_at_real_size_on_a_cpu(tmp_path: Path, photographs: Path, real_size):
    """One step of the method that works on one code; GUIDE's works on five."""
    (tmp_path / "few.toml").write_text(FEW)
    words = ["--protocol", str(tmp_path / "few.toml"), "--device", "cpu", "--method", "mean-latent", "--set", "steps=1"]
    started = time.perf_counter()
    given = ["run", "--testbed", "stylegan2-ffhq", "--photos", str(photographs), "--identities", "1", *words]
    done = CliRunner().invoke(main, [*given, "--floors", "none", "--out", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "runs").glob("records/*/*/*/record.json")
    record = read(path.parent)
    sys.stderr.write(
        f"stylegan2-ffhq at real size on {record.environment.device}: {time.perf_counter() - started:.0f} s with "
        f"loading, trial {record.cost.seconds_total:.0f} s, CPU {time.process_time():.0f} s, most resident memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB\n"
    )
    values = {(score.metric, score.judge): score for score in record.outcome.scores}
    for metric in ("id", "id_retain", "id_photo", "inversion"):
        for judge in ("curricularface", "arcface"):
            assert math.isfinite(values[metric, judge].value) and values[metric, judge].lost_before == 0
    assert 0.99 * SYNTHESIS_PARAMETERS < record.cost.trainable <= SYNTHESIS_PARAMETERS
