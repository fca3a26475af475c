"""Training is a function of seed and steps: repeated or interrupted, it ends with the same bits."""

from __future__ import annotations

import json

import pytest
import torch

from guidebench import digest
from guidebench.testbeds.mini.recognizers import ArcFaceJudge, ArcFaceNetwork, judge_input
from guidebench.testbeds.mini.training.data import render_held_out, render_training_set
from guidebench.testbeds.mini.training.export import export_onnx
from guidebench.testbeds.mini.training.generator import GeneratorPoints
from guidebench.testbeds.mini.training.loop import Settings, cosine, seeded_build
from guidebench.testbeds.mini.training.plan import PLAN
from guidebench.testbeds.mini.training.recognition import CurricularFaceStage, verification


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with the photographs of a smoke run."""
    out = tmp_path_factory.mktemp("training")
    settings = Settings(out=out, steps=2, batch=2)
    for name in ("recognizer", "curricularface", "arcface"):
        render_training_set(settings, name)
    render_held_out(settings)
    return out / "data"


@pytest.fixture
def fresh(tmp_path, data):
    """Settings of a run of its own on those photographs."""

    def build(name: str, steps: int, seed: int = 0) -> Settings:
        out = tmp_path / name
        out.mkdir()
        (out / "data").symlink_to(data)
        return Settings(out=out, seed=seed, steps=steps, batch=2, save_every=1000)

    return build


@pytest.mark.long
def test_two_runs_of_fifty_steps_have_equal_digests(fresh):
    digests = [GeneratorPoints(fresh(name, 50)).run()["digests"] for name in ("first", "second")]
    assert digests[0] == digests[1]


@pytest.mark.long
def test_another_seed_gives_other_weights(fresh):
    digests = [GeneratorPoints(fresh(f"seed{seed}", 2, seed)).run()["digests"] for seed in (0, 1)]
    assert digests[0]["average"] != digests[1]["average"]


@pytest.mark.long
def test_an_interrupted_run_ends_like_an_uninterrupted_one(fresh):
    whole = CurricularFaceStage(fresh("whole", 8)).run()
    settings = fresh("interrupted", 8)
    CurricularFaceStage(settings).run(stop_after=3)
    resumed = CurricularFaceStage(settings)
    assert resumed.run()["digests"] == whole["digests"] and resumed.step == 8
    assert json.loads((settings.out / "curricularface" / "done.json").read_text())["steps"] == 8


def test_a_stage_names_what_it_needs(tmp_path, says):
    with pytest.raises(SystemExit, match=says("'generator-images'", "generator-points, perceptual", "--stages")):
        PLAN.run_stage(Settings(out=tmp_path), "generator-images")


def test_stages_need_only_stages_listed_before_them():
    """The order of the plan is an order in which one worker can run it."""
    seen: set[str] = set()
    for stage in PLAN.order:
        assert seen.issuperset(stage.needs), stage.name
        seen.add(stage.name)
    assert len(PLAN.stages) == len(PLAN.order)


def test_the_learning_rate_is_flat_then_falls_to_its_end():
    assert cosine(0.2, flat=0.3, end=0.1) == 1.0
    assert cosine(1.0, flat=0.3, end=0.1) == pytest.approx(0.1)
    assert cosine(0.65, flat=0.3, end=0.1) == pytest.approx(0.55)


def test_verification_of_separable_people_has_no_errors():
    """Two people on orthogonal axes: same cosine 1, different 0, and some threshold between them errs never."""
    vectors = torch.eye(4)[[0, 0, 1, 1]]
    numbers = verification(vectors, torch.tensor([0, 0, 1, 1]))
    assert numbers["eer"] == 0 and numbers["same_mean"] == 1 and numbers["different_mean"] == 0


@torch.no_grad()
def test_insightface_runs_the_exported_judge_as_torch_does(tmp_path):
    """Normalisation, channel order, free batch dimension and the single output, on random weights."""
    network = seeded_build(3, "test", ArcFaceNetwork).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # an untrained network's outputs hardly depend on its input
            module.running_var.fill_(0.05)
    export_onnx(network, tmp_path / "judge.onnx")
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = ArcFaceJudge(tmp_path / "judge.onnx").embed(images)
    output = network(judge_input(images).float() / 127.5 - 1)
    assert torch.allclose(seen.vectors, output[:, :128], atol=1e-4)  # float32 sums in another order
    assert torch.equal(seen.found, output[:, 128] > 0)
    assert (seen.vectors[0] - seen.vectors[1]).abs().max() > 1e-3
    assert digest.of_file(tmp_path / "judge.onnx")
