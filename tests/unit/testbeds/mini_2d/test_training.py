"""Training leaves files that the testbed reads, and an interrupted stage ends like one that was not."""

from __future__ import annotations

import json

import pytest
import torch

from guidebench.testbeds.mini.training.export import weights_folder
from guidebench.testbeds.mini.training.loop import Settings
from guidebench.testbeds.mini_2d.testbed import Mini2DTestbed, weights_in
from guidebench.testbeds.mini_2d.training import card
from guidebench.testbeds.mini_2d.training.data import load_pictures
from guidebench.testbeds.mini_2d.training.inversion import EncoderStage
from guidebench.testbeds.mini_2d.training.plan import PLAN

TRAINED = ("photographs", "pictures", "generator", "encoder", "export")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Settings:
    """A smoke run up to the files that ship."""
    settings = Settings(out=tmp_path_factory.mktemp("training"), steps=2, batch=4)
    for name in TRAINED:
        PLAN.run_stage(settings, name)
    return settings


def test_stages_need_only_stages_listed_before_them():
    seen: set[str] = set()
    for stage in PLAN.order:
        assert seen.issuperset(stage.needs), stage.name
        seen.add(stage.name)


def test_a_smoke_run_ends_with_weights_that_can_be_loaded(trained):
    players = Mini2DTestbed(own_weights=weights_folder(trained)).players()
    assert players.generator.w_avg.abs().max() > 0
    manifest = weights_in(weights_folder(trained)).manifest
    assert list(manifest["training"]) == list(TRAINED[:4])
    assert manifest["training"]["encoder"]["steps"] == 2


def test_pictures_hold_the_pose_of_their_camera_in_z(trained):
    """The same person's pictures differ in z, and as many were drawn as the plan says."""
    pictures = load_pictures(trained)
    assert pictures["z"].shape == (24, 64) and pictures["images"].dtype == torch.uint8
    assert (pictures["z"][0] - pictures["z"][1]).abs().max() > 0.1


def test_an_interrupted_stage_ends_like_an_uninterrupted_one(trained, tmp_path):
    for name in ("data", "pictures", "generator"):
        (tmp_path / name).symlink_to(trained.out / name)
    settings = Settings(out=tmp_path, steps=2, batch=4)
    EncoderStage(settings).run(stop_after=1)
    again = EncoderStage(settings).run()
    whole = json.loads((trained.folder("encoder") / "done.json").read_text())
    assert again["digests"] == whole["digests"]


def test_a_card_reports_what_was_measured(trained):
    one = {"mean": 0.8, "std": 0.1, "true_latent_mean": 0.9, "other_people_mean": 0.01, "other_people_std": 0.12}
    judges = dict.fromkeys(("recognizer", "curricularface", "arcface"), one)
    measured = {
        "generator_vs_renderer": {"psnr_db": 24.125, "face_psnr_db": 22.0, "l1": 0.03, "gradient_error": 0.7},
        "inversion": {"in_domain": judges, "shifted": judges},
        "faces_missed": {"curricularface": 0.002, "arcface": 0.0},
        "fid_generator_vs_renderer": 4.5,
        "fid_floor": {"300": {"generator": 6.0, "gaussian": 2.4}},
        "perceptual": {"mean": 0.6, "std": 0.1},
        "local_loss": {"features": 0.1, "perceptual": 0.7, "identity": 0.2},
        "latents": {"mean_norm": 60.0},
        "cpu_seconds": {"image": 0.01, "guide_like_step": 0.2},
        "device": "cpu (test)",
    }
    text = card.card(measured, weights_in(weights_folder(trained)).manifest)
    assert "24.12 dB" in text and "| curricularface | shifted | 0.800 ± 0.100 | 0.900 | 0.010 ± 0.120 |" in text
    assert "0.2 % (curricularface), 0.0 % (arcface)" in text and "| perceptual | 1 | 0.700 | 70 % |" in text
