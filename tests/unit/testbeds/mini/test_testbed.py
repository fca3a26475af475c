"""The weights that ship: that they are the right files, and that they do what the model card says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from guidebench.errors import MissingAsset
from guidebench.images import to_uint8
from guidebench.metrics.frechet import fit, frechet_distance
from guidebench.noise import Noise
from guidebench.testbed import Judges, Players
from guidebench.testbeds.mini import WEIGHTS_VERSION, MiniTestbed, fid
from guidebench.testbeds.mini.generator import LATENT_NORM
from guidebench.testbeds.mini.people import SEEDS, gather, photograph
from guidebench.testbeds.mini.renderer import camera_labels
from guidebench.testbeds.mini.training.edits import EDITS
from guidebench.testbeds.mini.training.presence import scramble, shuffled, smooth_noise, upside_down
from guidebench.testbeds.mini.weights_io import SHIPPED, WeightsFolder
from guidebench.torchvision_fix import import_torch_fidelity

PEOPLE = SEEDS["development"][:12]


@pytest.fixture(scope="module")
def testbed(tmp_path_factory) -> MiniTestbed:
    return MiniTestbed(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def players(testbed) -> Players:
    return testbed.players()


@pytest.fixture(scope="module")
def judges(testbed) -> Judges:
    return testbed.judges()


@pytest.fixture(scope="module")
def drawn():
    return gather([photograph(person, 0, "in_domain") for person in PEOPLE])


@pytest.fixture(scope="module")
def photos(drawn) -> torch.Tensor:
    return drawn.render()


@pytest.fixture(scope="module")
def generated(players, drawn) -> torch.Tensor:
    with torch.no_grad():
        return players.generator.render(players.generator.map(drawn.z), drawn.cameras, noise=Noise.constant())


def test_the_files_are_listed_and_small():
    files = WeightsFolder().manifest["files"]
    on_disk = {path.name for path in SHIPPED.iterdir() if path.suffix in (".safetensors", ".onnx")}
    assert set(files) == on_disk
    assert sum(path.stat().st_size for path in SHIPPED.iterdir() if path.is_file()) < 16 * 2**20


@pytest.mark.parametrize("name", ["generator.safetensors", "arcface.onnx"])
def test_a_changed_file_is_refused_in_one_line(tmp_path, name, says):
    shutil.copytree(SHIPPED, tmp_path / "weights")
    path = tmp_path / "weights" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    changed = MiniTestbed(weights=tmp_path / "weights")
    with pytest.raises(MissingAsset, match=says(str(path), "SHA-256")) as caught:
        changed.players()
        changed.judges()
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(MissingAsset, match=r"manifest\.json\b.*install"):
        MiniTestbed(weights=tmp_path).players()
    files = {"generator.safetensors": {"sha256": "0"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": WEIGHTS_VERSION, "files": files}))
    with pytest.raises(MissingAsset, match=r"generator\.safetensors\b.*missing"):
        MiniTestbed(weights=tmp_path).players()


def test_no_player_is_a_judge(players, judges):
    assert set(players.digests.values()).isdisjoint(judges.digests.values())
    assert set(judges.recognizers) == {"curricularface", "arcface"} == set(judges.different_people)
    assert all(len(value) == 64 for value in {**players.digests, **judges.digests}.values())


def test_the_paper_s_distances_fit_the_latent_space(players):
    """Rule: the mean of |w - w_avg| over all rows is 60, so that d = 30 is half of it; 2 % from 1,000 samples."""
    z = torch.randn(1_000, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        norms = (players.generator.map(z) - players.generator.w_avg).flatten(1).norm(dim=1)
    assert norms.mean() == pytest.approx(LATENT_NORM, rel=0.02)


def test_the_generator_draws_what_the_renderer_draws(generated, photos):
    """The card says 400 images; twelve of them may be 1 dB lower than the 26 that are asked for."""
    error = (generated.clamp(-1, 1) - photos) / 2
    assert (-10 * error.square().mean(dim=(1, 2, 3)).log10()).mean() > 25


@torch.no_grad()
def test_faces_turn_with_the_camera(players, drawn):
    """The same code from the left and from the right: different pictures of one person."""
    ws = players.generator.map(drawn.z[:4])
    left, right = (
        players.generator.render(ws, camera_labels(torch.full((4,), yaw), torch.zeros(4)), noise=Noise.constant())
        for yaw in (-0.3, 0.3)
    )
    assert (left - right).abs().mean() > 0.05
    similarity = (players.recognizer(left) * players.recognizer(right)).sum(dim=1)
    assert similarity.mean() > 0.5


@torch.no_grad()
def test_inversions_look_like_their_photographs(players, judges, photos, drawn):
    codes = players.inverter.invert(photos)
    assert codes.shape == (len(photos), players.generator.num_ws, players.generator.w_dim)
    rebuilt = players.generator.render(codes, drawn.cameras, noise=Noise.constant())
    for judge in judges.recognizers.values():
        assert functional.cosine_similarity(judge.embed(photos).vectors, judge.embed(rebuilt).vectors).mean() > 0.8


def test_recognisers_distinguish_people(players, judges):
    """Twelve people, two photographs each: every recogniser puts the same person above different people."""
    first = gather([photograph(person, 0, "in_domain") for person in PEOPLE]).render()
    second = gather([photograph(person, 1, "in_domain") for person in PEOPLE]).render()
    for recognizer in (players.recognizer, *judges.recognizers.values()):
        similarity = recognizer.embed(first).vectors @ recognizer.embed(second).vectors.T
        same, different = similarity.diagonal(), similarity[~torch.eye(len(PEOPLE), dtype=torch.bool)]
        assert same.mean() > 0.55 and different.mean() < 0.2
        assert (same > different.mean() + 2 * different.std()).float().mean() > 0.8


def test_judges_find_faces_and_refuse_what_is_none(testbed, players, judges, photos, generated):
    rng = torch.Generator().manual_seed(0)
    broken = testbed.players().generator
    scramble(broken.parts()["backbone"], 3.0, rng)
    with torch.no_grad():
        scrambled = broken.render(broken.map(torch.randn(8, 64, generator=rng)), noise=Noise.constant())
    patches = shuffled(to_uint8(photos), 8, rng)
    plain = smooth_noise(4, 1, rng)
    for judge in judges.recognizers.values():
        assert judge.embed(photos).found.all() and judge.embed(generated).found.all()
        assert not judge.embed(scrambled).found.any()
        for others in (patches, plain):
            assert not judge.embed(others.float() / 127.5 - 1).found.any()


SURVIVES = {"grey": 0.8, "zoom 0.85": 0.9, "8 pixels down": 0.9, "contrast 0.75": 0.9, "saturation 0.5": 0.9}


@pytest.mark.parametrize("edit", SURVIVES)
def test_judges_see_the_same_person_after_an_edit(judges, photos, edit):
    """The card says 500 photographs; of twelve, the mean may be 0.03 lower than what is asked for."""
    for judge in judges.recognizers.values():
        before, after = (judge.embed(images) for images in (photos, EDITS[edit](photos)))
        assert (before.vectors * after.vectors).sum(dim=1).mean() > SURVIVES[edit] - 0.03
        assert after.found.all()


def test_faces_upside_down_are_refused(judges, photos):
    turned = upside_down(to_uint8(photos)).float() / 127.5 - 1
    for judge in judges.recognizers.values():
        assert judge.embed(turned).found.float().mean() < 0.1


@torch.no_grad()
def test_who_is_mirrored_through_the_average_is_a_stranger(players, judges, drawn):
    """Not an anti-person: as alike as different people are, whose cosines' standard deviation is about 0.15."""
    ws = players.generator.map(drawn.z)
    images, mirrored = (
        players.generator.render(codes, noise=Noise.constant()) for codes in (ws, 2 * players.generator.w_avg - ws)
    )
    for recognizer in (players.recognizer, *judges.recognizers.values()):
        cosines = (recognizer.embed(images).vectors * recognizer.embed(mirrored).vectors).sum(dim=1)
        assert cosines.mean().abs() < 0.15


def test_judges_know_where_a_person_counts_as_recognised(judges):
    for known in judges.different_people.values():
        low, high = known.threshold_interval
        assert known.pairs >= 20_000 and abs(known.mean) < 0.05 < known.std < 0.2
        assert known.mean + 2 * known.std < low <= known.threshold <= high < 0.75


def test_judges_see_quantised_images(judges, photos):
    """A change below half a grey level is not there for a judge."""
    nudged = photos.clamp(-0.99, 0.99).mul(127.5).round().div(127.5)
    for judge in judges.recognizers.values():
        assert torch.equal(judge.embed(nudged).vectors, judge.embed(nudged + 1e-4).vectors)


def test_training_losses_have_gradients(players, photos):
    images = photos[:2].clone().requires_grad_(True)
    other = photos[2:4]
    distance = players.perceptual(images, other)
    assert distance.shape == (2,) and (distance > 0.01).all()
    assert players.perceptual(other, other).abs().max() < 1e-6
    (distance.sum() + (players.recognizer(images) * players.recognizer(other)).sum()).backward()
    assert images.grad is not None and images.grad.abs().max() > 0


@torch.no_grad()
def test_two_faces_are_about_as_far_apart_as_lpips_says(players, generated):
    """A mean of 0.65 over pairs of photographs; eleven pairs of generated faces are within a quarter of it."""
    assert players.perceptual(generated[1:], generated[:-1]).mean() == pytest.approx(0.65, rel=0.25)


def test_torch_fidelity_computes_the_same_distance_with_the_registered_extractor(judges, photos, generated):
    """Below twice the feature dimension a distance means nothing, but both must compute the same one."""
    import_torch_fidelity()
    fid.register()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    assert FEATURE_EXTRACTORS_REGISTRY[fid.NAME] is fid.register()
    extractor = FEATURE_EXTRACTORS_REGISTRY[fid.NAME](fid.NAME, [str(fid.FID_DIM)]).eval()
    features = [extractor(to_uint8(images))[0] for images in (photos, generated)]
    ours = frechet_distance(*(fit([judges.features.features(images)]) for images in (photos, generated)))
    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(one) for one in features), verbose=False)
    value = theirs["frechet_inception_distance"] if isinstance(theirs, dict) else theirs
    assert ours == pytest.approx(float(value), rel=1e-3)  # square roots of singular covariances


def test_loading_the_testbed_does_not_import_torchvision():
    """Half of a worker's start was torchvision, and torch._dynamo by it, of which nothing is used."""
    code = (
        "import sys; from guidebench.testbeds.mini import MiniTestbed; testbed = MiniTestbed(); "
        "testbed.players(); testbed.judges(); print({'torchvision', 'torch._dynamo'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"set()\n"


def test_real_statistics_are_those_of_thousands_of_photographs(judges):
    """The features are scaled such that photographs have a total variance of 100."""
    assert judges.real is not None and judges.real.count >= 5_000
    assert judges.real.covariance.trace() == pytest.approx(100, rel=0.01)


def test_the_model_card_is_of_these_files():
    card = (SHIPPED.parent / "MODEL_CARD.md").read_text()
    for name, file in WeightsFolder().manifest["files"].items():
        assert f"| {name} |" in card and f"`{file['sha256'][:16]}`" in card
