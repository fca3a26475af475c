"""The testbed eg3d-afhq on tiny files: a run on sampled cats, the renamed encoder, and that nobody recognises cats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from guidebench.assets import catalogue
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.networks import goae
from guidebench.store.folders import read
from guidebench.testbeds.eg3d_afhq import SIMILARITY, EG3DCatsTestbed

PROTOCOL = """
source = "random"
identities = 1
retain = 1
views = 2
neighbours = 1
samples = 8
"""


@pytest.fixture
def cats(tiny, folder, monkeypatch) -> Path:
    """The files of eg3d-ffhq under the names of those for cats."""
    for face, cat in (("eg3d-ffhq", "eg3d-afhq"), ("goae", "goae-afhq")):
        (folder / catalogue.named(face).file).rename(folder / catalogue.named(cat).file)
    return folder


def test_sampled_cats_are_forgotten_and_scored_by_a_similarity(cats, tmp_path):
    (tmp_path / "tiny.toml").write_text(PROTOCOL)
    words = ["--testbed", "eg3d-afhq", "--protocol", str(tmp_path / "tiny.toml"), "--device", "cpu"]
    words += ["--method", "guide", "--set", "steps=1", "--floors", "none", "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == 0, done.output
    (path,) = (tmp_path / "runs").glob("records/*/*/*/record.json")
    record = read(path.parent)
    assert {judge.name for judge in record.instrument.judges} == {SIMILARITY}
    values = {(score.metric, score.judge): score.value for score in record.outcome.scores}
    assert -1 <= values["id", SIMILARITY] <= 1 and values["fid_pre", None] is not None


def test_the_judge_gives_unit_vectors_and_looks_for_no_face(cats):
    judge = EG3DCatsTestbed().judges().recognizers[SIMILARITY]
    seen = judge.embed(torch.stack([torch.full((3, 64, 64), value) for value in (-0.9, 0.5)]))
    assert seen.found.all() and torch.allclose(seen.vectors.norm(dim=1), torch.ones(2))


def test_no_photo_set_of_people_is_handed_out(cats, says):
    with pytest.raises(BadInput, match=says("celebahq", "--photos", "random")):
        EG3DCatsTestbed().faces().people("celebahq", [0], photos=1)
    assert EG3DCatsTestbed().missing({"celebahq"}) == []


def test_the_encoder_for_cats_calls_its_backbone_otherwise():
    tensors = {"encoder.swin_base.norm.weight": torch.zeros(1), "encoder.mapper.swin_base.x": torch.ones(1)}
    found = goae.encoder_tensors({"state_dict": tensors}, "encoder_AFHQ.pt")
    assert set(found) == {"swin_model.norm.weight", "mapper.swin_base.x"}
