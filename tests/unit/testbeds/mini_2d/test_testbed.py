"""The weights that ship: that they are the right files, and that they do what the model card says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import guidebench
from guidebench.errors import MissingAsset
from guidebench.images import from_uint8
from guidebench.testbed import Players
from guidebench.testbeds.mini import MiniTestbed
from guidebench.testbeds.mini.generator import LATENT_NORM
from guidebench.testbeds.mini.people import SEEDS, gather, photograph
from guidebench.testbeds.mini.training.generated import render_codes
from guidebench.testbeds.mini.training.generator import compare_with_renderer
from guidebench.testbeds.mini.weights_io import SHIPPED as OF_MINI
from guidebench.testbeds.mini.weights_io import WeightsFolder
from guidebench.testbeds.mini_2d.testbed import SHIPPED, Mini2DTestbed, weights_in
from guidebench.testbeds.mini_2d.training.data import fields

LEAST_PSNR, LEAST_SIMILARITY = 26.0, 0.8  # dB and cosine; the model card has the figures
PEOPLE = SEEDS["development"][500:512]  # nobody whom the model card measures


@pytest.fixture(scope="module")
def testbed() -> Mini2DTestbed:
    return Mini2DTestbed()


@pytest.fixture(scope="module")
def players(testbed) -> Players:
    return testbed.players()


@pytest.fixture(scope="module")
def held_out() -> dict[str, torch.Tensor]:
    drawn = gather([photograph(person, 0, "in_domain") for person in PEOPLE])
    return {**fields(drawn), "images": ((drawn.render() + 1) * 127.5).round().to(torch.uint8)}


def test_the_files_are_listed_and_small():
    on_disk = {path.name for path in SHIPPED.glob("*.safetensors")}
    assert set(weights_in(SHIPPED).manifest["files"]) == on_disk == {"generator.safetensors", "encoder.safetensors"}
    assert sum(path.stat().st_size for path in SHIPPED.iterdir() if path.is_file()) < 6 * 2**20


def test_they_were_trained_with_the_networks_of_mini_that_ship():
    """Otherwise mini was trained again since, and mini-2d is to be trained again, too."""
    of_mini = WeightsFolder(OF_MINI)
    learned_from = weights_in(SHIPPED).manifest["learned_from"]
    assert learned_from == {name: of_mini.sha256(f"{name}.safetensors") for name in learned_from}


def test_a_changed_file_is_refused_in_one_line(tmp_path, says):
    folder = tmp_path / "weights"
    shutil.copytree(SHIPPED, folder)
    path = folder / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(MissingAsset, match=says(str(path), "SHA-256")) as caught:
        Mini2DTestbed(own_weights=folder).players()
    assert "\n" not in str(caught.value)


def test_weights_of_another_version_are_refused(says):
    with pytest.raises(MissingAsset, match=says("version", "manifest.json")):
        weights_in(OF_MINI).sha256("generator.safetensors")


def test_all_but_generator_and_encoder_is_that_of_mini(testbed, players):
    mini = MiniTestbed().players()
    differing = {part for part, sha256 in players.digests.items() if sha256 != mini.digests[part]}
    assert differing == {"generator", "inverter"}
    assert testbed.judges().digests == MiniTestbed().judges().digests
    assert testbed.faces().manifest("celebahq") == MiniTestbed().faces().manifest("celebahq")


def test_it_says_what_ships(testbed):
    assert "of mini-2d, 2 files" in testbed.shipped() and "of mini," in testbed.shipped()


@torch.no_grad()
def test_codes_have_the_norm_that_distances_are_made_for(players):
    z = torch.randn(4_000, 64, generator=torch.Generator().manual_seed(0))
    norms = (players.generator.map(z) - players.generator.w_avg).flatten(1).norm(dim=1)
    assert float(norms.mean()) == pytest.approx(LATENT_NORM, rel=0.01)


def test_the_generator_draws_what_the_renderer_draws(players, held_out):
    assert compare_with_renderer(players.generator, held_out)["psnr_db"] > LEAST_PSNR


@torch.no_grad()
def test_inversions_show_the_person(players, held_out):
    photos = from_uint8(held_out["images"])
    rebuilt = from_uint8(render_codes(players.generator, players.inverter.invert(photos), held_out["cameras"]))
    seen, again = players.recognizer(photos), players.recognizer(rebuilt)
    same = functional.cosine_similarity(seen, again)
    others = (again @ seen.T)[~torch.eye(len(PEOPLE), dtype=torch.bool)]
    assert same.mean() > LEAST_SIMILARITY and same.min() > others.mean() + 2 * others.std()


def test_guide_runs_on_it_with_one_view(tmp_path: Path):
    """One trial from photograph to record; a Fréchet distance wants more samples and is left to the contract's test."""
    result = guidebench.run(
        "smoke", "guide", "mini-2d", settings={"steps": 2}, samples=8, floors="none", out=tmp_path, workers=1
    )
    assert not result.failed and result.protocols[0].views == 1
    assert {"id", "id_others", "id_retain"} <= set(result.scores.dropna(subset="value")["metric"])
