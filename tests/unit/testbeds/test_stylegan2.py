"""The testbed stylegan2-ffhq on files in the published formats with tiny networks: the generator, whole runs, files."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner

from guidebench import images
from guidebench.assets import catalogue
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.networks.e4e import StyleEncoder
from guidebench.networks.stylegan2 import StyleGAN2Generator
from guidebench.noise import Noise
from guidebench.store.folders import read
from guidebench.testbeds import stylegan2 as testbed_module
from guidebench.testbeds.stylegan2 import CODE_SCALE, FaceGenerator, StyleGAN2Testbed, averaged

ARGUMENTS = {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {"channel_base": 512, "channel_max": 16}}
SIZES = {"resolution": 64, "num_ws": 10, "w_dim": 16}
PROTOCOL = """
source = "celebahq"
identities = 1
retain = 1
neighbours = 1
samples = 8
"""


@pytest.fixture(scope="module")
def network(recipe: ModuleType) -> StyleGAN2Generator:
    return recipe.fill(StyleGAN2Generator(16, 0, 16, 64, **ARGUMENTS), "stylegan2 testbed", "stylegan")


@pytest.fixture(scope="module")
def encoder(recipe: ModuleType) -> StyleEncoder:
    slopes = {f"body.{unit}.res_layer.2.weight" for unit in range(24)} | {"input_layer.2.weight"}
    network = StyleEncoder(10, relative=True, widths=(16, 16, 16, 16))
    return recipe.fill(network, "stylegan2 testbed", gain=1.4, prelu=slopes)


@pytest.fixture
def placed(tiny, folder, network, encoder, published_files, monkeypatch) -> Path:
    """The assets folder with rosinality's file and e4e's, both tiny; the shared networks are those of eg3d-ffhq's."""
    published_files.write_rosinality(network, folder / catalogue.named("stylegan2-ffhq-pt").file)
    published_files.write_style_encoder(encoder, network, folder / catalogue.named("e4e").file, "Encoder4Editing")
    monkeypatch.setattr(testbed_module, "SIZES", SIZES)
    monkeypatch.setattr(testbed_module, "FEATURE_SIDE", 32)
    monkeypatch.setattr(StyleGAN2Testbed, "instant", True)
    return folder


@pytest.fixture
def photos(tmp_path: Path, recipe: ModuleType) -> Path:
    for person in ("first", "second"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        picture = torch.from_numpy(recipe.recipe_image(person, (1, 3, 64, 64), "tests"))[0]
        images.save(picture, tmp_path / "photos" / person / "0.png")
    return tmp_path / "photos"


def run(tmp_path: Path, photos: Path, protocol: str, *words: str):
    (tmp_path / "tiny.toml").write_text(protocol)
    given = ["run", "--testbed", "stylegan2-ffhq", "--device", "cpu", "--protocol", str(tmp_path / "tiny.toml")]
    given += ["--photos", str(photos), "--identities", "1", "--floors", "none", "--out", str(tmp_path / "runs"), *words]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    return [read(path.parent) for path in (tmp_path / "runs").glob("records/*/*/*/record.json")]


def test_the_generator_is_the_network_in_two_parts(network):
    """The same numbers as the network's, with the stored noise and with noise that is drawn in between."""
    generator = FaceGenerator(network, feature_side=32, code_scale=0.5)
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    codes = generator.map(z, psi=0.7)
    assert torch.equal(codes, network.map(z, psi=0.7) * 0.5) and torch.equal(generator.w_avg, network.w_avg * 0.5)
    features = generator.synthesize(codes, noise=Noise.constant())
    assert features.shape == (3, 16 + 3, 32, 32) and features.dtype == torch.float32
    for noise in (Noise.constant, lambda: Noise.random(3), lambda: Noise.random(1, 2, 3)):
        image = generator.render(codes, noise=noise())
        assert torch.allclose(image, network.synthesize(codes / 0.5, noise=noise()), atol=1e-5)
    assert set(generator.state_dict()) == set(network.state_dict())
    with pytest.raises(ValueError, match="no cameras"):
        generator.decode(features, codes, torch.zeros(3, 25), noise=Noise.constant())


def test_the_backbone_is_all_that_draws_and_its_features_have_gradients(network):
    generator = FaceGenerator(network, feature_side=32, code_scale=1.0).requires_grad_(False)
    backbone = generator.parts()["backbone"].requires_grad_(True)
    codes = generator.map(torch.zeros(1, 16))
    generator.synthesize(codes, noise=Noise.constant()).square().mean().backward()
    trained = {name for name, part in backbone.named_parameters() if part.grad is not None}
    assert trained and all(name.startswith(("b4.", "b8.", "b16.", "b32.")) for name in trained)
    assert list(generator.blocks()) == ["b4", "b8", "b16", "b32", "b64"]
    backbone.requires_grad_(False).zero_grad()


def test_other_architectures_are_refused():
    settings = {**ARGUMENTS["synthesis_kwargs"], "architecture": "resnet"}
    with pytest.raises(ValueError, match="skip"):
        FaceGenerator(StyleGAN2Generator(8, 0, 8, 16, synthesis_kwargs=settings), feature_side=8, code_scale=1.0)


def test_guides_distances_move_each_of_18_rows_as_far_as_each_of_14():
    """d = 30 is 34.0 and alpha_max = 15 is 17.0 in StyleGAN2's own units; 8.02 per row in both."""
    assert 30 / CODE_SCALE == pytest.approx(34.0, abs=0.05) and 15 / CODE_SCALE == pytest.approx(17.0, abs=0.05)
    assert 30 / CODE_SCALE / math.sqrt(18) == pytest.approx(30 / math.sqrt(14))


def test_losses_see_images_of_512_pixels():
    picture = torch.arange(4.0).repeat(1024 * 1024 // 4).view(1, 1, 1024, 1024)
    assert averaged(picture).shape[-1] == 512 and averaged(picture)[0, 0, 0, :2].tolist() == [0.5, 2.5]
    assert averaged(picture[..., :64, :64]) is not None and averaged(picture[..., :64, :64]).shape[-1] == 64


def test_players_are_put_together_from_the_files(placed, network, encoder):
    players = StyleGAN2Testbed().players()
    assert torch.allclose(players.generator.w_avg, network.w_avg * CODE_SCALE)
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = players.inverter.invert(photo)
    assert codes.shape == (1, 10, 16)
    assert torch.allclose(codes / CODE_SCALE, players.inverter.network.invert(photo))
    assert (codes / CODE_SCALE - network.w_avg).norm() > 1  # an absolute code, away from the average


def test_methods_run_and_a_code_has_one_view_or_as_many_noises_as_are_asked_for(placed, photos, tmp_path):
    (record,) = run(tmp_path, photos, PROTOCOL, "--method", "guide", "--set", "steps=2")
    values = {(score.metric, score.judge): score.value for score in record.outcome.scores}
    assert {"id", "id_retain", "id_photo", "inversion"} <= {metric for metric, _ in values}
    assert record.cost.trainable == pytest.approx(
        sum(part.numel() for part in StyleGAN2Testbed().players().generator.synthesis.parameters()), rel=0.02
    )
    for draws in (1, 3):
        protocol = f'{PROTOCOL}name = "noises-{draws}"\nnoise_draws = {draws}\n'
        records = run(tmp_path, photos, protocol, "--method", "nothing")
        (own,) = [record for record in records if record.spec.protocol.name.startswith(f"noises-{draws}")]
        found = [score for score in own.outcome.scores if score.metric == "id"]
        assert all(score.value == pytest.approx(1, abs=1e-5) for score in found)


def test_any_of_the_three_files_and_either_encoder_will_do(placed, tmp_path, network, published_files):
    assert StyleGAN2Testbed().missing() == []
    digests = StyleGAN2Testbed().players().digests
    (placed / catalogue.named("stylegan2-ffhq-pt").file).unlink()
    (line,) = StyleGAN2Testbed().missing()
    assert "ffhq.pkl" in line and "guidebench assets" in line
    given = {"z_dim": 16, "c_dim": 0, "w_dim": 16, "img_resolution": 64, **ARGUMENTS}
    published_files.write_stylegan2(network, given, placed / catalogue.named("stylegan2-ffhq").file)
    assert StyleGAN2Testbed().players().digests == digests  # the same tensors


def test_an_encoder_for_another_generator_is_reported(placed, encoder, published_files, recipe, caplog, monkeypatch):
    other = recipe.fill(StyleGAN2Generator(16, 0, 16, 64, **ARGUMENTS), "another", "stylegan")
    path = placed / catalogue.named("psp").file
    (placed / catalogue.named("e4e").file).unlink()
    published_files.write_style_encoder(encoder, other, path, "GradualStyleEncoder")
    monkeypatch.setattr(logging.getLogger("guidebench"), "propagate", True)
    with caplog.at_level(logging.WARNING, logger="guidebench"):
        StyleGAN2Testbed().players()
    assert path.name in caplog.text and "another generator" in caplog.text


def test_another_generator_is_refused(placed, monkeypatch, says):
    monkeypatch.setattr(testbed_module, "SIZES", {**SIZES, "resolution": 1024})
    with pytest.raises(BadInput, match=says("stylegan2-ffhq-config-f.pt", "resolution 64", "1024")):
        StyleGAN2Testbed().players()


def test_both_conventions_are_described_in_words():
    told = {name: StyleGAN2Testbed.switches(name) for name in ("corrected", "published")}
    assert "0.6 0.7 0.8" in told["corrected"] and "0.15 0.25 0.35" in told["published"]
