"""The testbed eg3d-ffhq on files in the published formats with tiny networks: whole runs, conventions, wrong files."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import guidebench
from guidebench import assets, images, seeds
from guidebench.assets import catalogue
from guidebench.baselines.checkpoint import DELTA
from guidebench.baselines.checkpoint import load as load_checkpoint
from guidebench.commands.main import main
from guidebench.engine import trial
from guidebench.engine.bench import Bench
from guidebench.engine.workers import default_workers
from guidebench.errors import BadInput, MissingAsset
from guidebench.networks import mtcnn
from guidebench.networks.goae import average_code
from guidebench.noise import Noise
from guidebench.protocol import Protocol
from guidebench.store.folders import read
from guidebench.testbeds import eg3d as testbed_module
from guidebench.testbeds.eg3d import EG3DTestbed
from guidebench.views import render_views

PROTOCOL = """
source = "random"
identities = 1
retain = 1
views = 3
neighbours = 1
samples = 8
"""


def protocol(**changes) -> Protocol:
    return Protocol(
        **{"name": "tiny", "version": 1, "title": "", "source": "random", "identities": 1, "retain": 1}
        | {"views": 3, "neighbours": 1, "samples": 8}
        | changes
    )


def bench_of(conventions: str) -> Bench:
    return Bench(EG3DTestbed(conventions=conventions))


def invoke(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


def run(folder: Path, *words: object):
    path = folder.parent / "tiny.toml"
    path.write_text(PROTOCOL)
    return invoke("run", "--testbed", "eg3d-ffhq", "--device", "cpu", "--protocol", path, *words)


# Whole runs


@pytest.mark.long
def test_a_whole_run_measures_everything(tiny, folder, tmp_path):
    """Methods train through the generator and the losses; both judges, FID and the floors are there."""
    words = ("--method", "guide", "--set", "steps=1", "--out", tmp_path / "runs")
    done = run(folder, *words)
    assert done.exit_code == 0, done.output
    found = guidebench.records(tmp_path / "runs")
    assert set(found.method) == {"guide", "nothing", "scramble"} and set(found.conventions) == {"corrected"}
    measured = found[found.value.notna()]
    assert {"curricularface", "arcface"} <= set(measured.judge)
    assert {"id", "id_retain", "id_neighbour", "fid_pre"} <= set(measured.metric)
    real = found[found.metric == "delta_fid_real"]
    assert real.value.isna().all() and real.reason.str.contains("real images").all()
    untouched = measured[(measured.method == "nothing") & (measured.metric == "id")]
    assert (untouched.value >= 1 - 1e-4).all()
    instrument = read(next((tmp_path / "runs").glob("records/*/guide*/*"))).instrument
    assert instrument.conventions == EG3DTestbed.switches("corrected")
    assert any("buffalo_l" in judge.description for judge in instrument.judges)
    assert {judge.different_people for judge in instrument.judges} == {None}
    again = run(folder, *words)
    assert re.search(r"\b0 measured.*\b3\b.*recorded", again.output)
    published = run(folder, *words, "--conventions", "published", "--floors", "none", "--method", "nothing")
    assert published.exit_code == 0 and "2 measured" in published.output  # other keys


@pytest.mark.long
def test_a_snapshot_of_other_code_gets_the_scores_of_the_run_that_made_it(
    tiny, folder, tmp_path, small, published_files
):
    """What guide unlearned, written as GUIDE writes its last.pkl, and one file that is no generator."""
    words = ("--method", "guide", "--set", "steps=1", "--floors", "none", "--out", tmp_path / "runs")
    assert run(folder, *words, "--keep-generators").exit_code == 0
    (path,) = (tmp_path / "runs").glob("records/*/*/*/record.json")
    own = read(path.parent)
    (tmp_path / "ckpt").mkdir()
    unlearned = load_checkpoint(path.parent / "generator" / DELTA, copy.deepcopy(small))
    published_files.write_eg3d(unlearned, tmp_path / "ckpt" / f"{own.spec.group}.pkl")
    words = ("--testbed", "eg3d-ffhq", "--device", "cpu", "--protocol", folder.parent / "tiny.toml", "--floors", "none")
    given = ("evaluate", *words, "--checkpoint", tmp_path / "ckpt" / "{identity}.pkl")
    done = invoke(*given, "--name", "theirs", "--out", tmp_path / "theirs")
    assert done.exit_code == 0 and "training" in done.output, done.output
    (path,) = (tmp_path / "theirs").glob("records/*/*/*/record.json")
    assert read(path.parent).outcome.scores == own.outcome.scores
    done = invoke(*given, "--identities", 2, "--out", tmp_path / "theirs")
    assert (
        done.exit_code == 1
        and str(tmp_path / "ckpt" / "random-0001.pkl") in done.output
        and "correct the path" in done.output
    )
    other = folder / catalogue.named("goae").file
    done = invoke("evaluate", *words, "--checkpoint", other, "--out", tmp_path / "other")
    assert done.exit_code == 1 and other.name in done.output and "Traceback" not in done.output


def test_photographs_give_a_floor_line_and_real_images_a_delta(tiny, folder, tmp_path, recipe):
    """Ten people are 45 pairs; the statistics are of as many features as the extractor has."""
    pictures = torch.from_numpy(recipe.recipe_image("people", (10, 3, 64, 64), "tests"))
    for place, picture in enumerate(pictures):
        (tmp_path / "photos" / f"p{place}").mkdir(parents=True)
        images.save(picture, tmp_path / "photos" / f"p{place}" / "0.png")
    rows = np.random.default_rng(0).normal(size=(50, 4))
    with open(folder / catalogue.named("ffhq-real").file, "wb") as stream:
        np.save(stream, rows)
    path = tmp_path / "own.toml"
    path.write_text(PROTOCOL.replace("random", "celebahq"))
    words = ("--testbed", "eg3d-ffhq", "--device", "cpu", "--identities", 1, "--method", "nothing", "--floors", "none")
    done = invoke("run", "--protocol", path, "--photos", tmp_path / "photos", *words, "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    record = read(next((tmp_path / "runs").glob("records/*/*/*")))
    pairs = {judge.name: judge.different_people.pairs for judge in record.instrument.judges}
    assert pairs == {"curricularface": 45, "arcface": 45}
    shown = invoke("report", tmp_path / "runs", "--layout", "full").output
    assert re.search(r"^- .*\bcurricularface: 45 pairs", shown, re.MULTILINE)
    values = {score.metric: score.value for score in record.outcome.scores}
    assert abs(values["delta_fid_real"]) < 1e-3 and "real" in record.spec.weights and record.instrument.real
    assert {"id_photo", "inversion"} <= set(values)


@pytest.mark.long
def test_a_photograph_without_a_face_is_named_once(tiny, folder, tmp_path):
    for name in ("dark", "other"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        images.save(torch.full((3, 64, 64), -1.0 if name == "dark" else 0.5), tmp_path / "photos" / name / "0.png")
    path = tmp_path / "own.toml"
    path.write_text(PROTOCOL.replace("random", "celebahq"))
    words = ("--testbed", "eg3d-ffhq", "--device", "cpu", "--identities", 1, "--method", "nothing")
    done = invoke("run", "--protocol", path, "--photos", tmp_path / "photos", *words, "--out", tmp_path / "runs")
    assert done.exit_code == 0, done.output
    file = tmp_path / "photos" / "dark" / "0.png"
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("guidebench: ")]
    assert all(text in line for text in ("judge", f" {file}", f"`guidebench align {file} CROPS`"))
    assert "dark" in line.replace(str(file), "")


def test_photo_sets_that_were_not_scanned_name_the_command(tiny, folder, tmp_path):
    words = ("--testbed", "eg3d-ffhq", "--device", "cpu", "--method", "guide", "--out", tmp_path / "runs")
    done = invoke("run", "--protocol", "celebahq", *words)
    assert done.exit_code == 2 and "guidebench data scan celebahq" in done.stderr and "Traceback" not in done.output


# Conventions


def test_published_moves_the_point_that_cameras_look_at_and_no_code(tiny):
    """Frontal cameras are on the axis of both pivots, so the mapping network's condition stays (FIELD: 1e-6)."""
    corrected, published = (bench_of(name).players.generator for name in ("corrected", "published"))
    assert published.rig == dataclasses.replace(corrected.rig, pivot=(0.0, 0.0, 0.0))
    assert corrected.rig.pivot == (0.0, 0.0, 0.2)
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(corrected.map(z), published.map(z))
    frontal, turned = ([each.rig.look_at(yaw, -0.2 * yaw) for each in (corrected, published)] for yaw in (0.0, 0.26))
    assert torch.allclose(*frontal, atol=1e-6)
    assert (turned[0] - turned[1]).abs().max() > 0.01
    states = [each.state_dict() for each in (corrected, published)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_published_runs_the_encoder_with_seeded_draws(tiny, tmp_path, recipe, monkeypatch):
    (tmp_path / "photos" / "p").mkdir(parents=True)
    (tmp_path / "photos" / "q").mkdir()
    for name in ("p", "q"):
        picture = torch.from_numpy(recipe.recipe_image(name, (1, 3, 64, 64), "tests"))[0]
        images.save(picture, tmp_path / "photos" / name / "0.png")
    codes = {}
    for name in ("corrected", "published"):
        bench = bench_of(name)
        bench.faces = trial_faces(tmp_path / "photos", bench)
        asked = protocol(source="photos", conventions=name)
        before = torch.random.get_rng_state()
        codes[name] = [bench.cast(asked, 0).latents for _ in range(2)]
        assert torch.equal(before, torch.random.get_rng_state())
    for first, second in codes.values():
        assert torch.equal(first, second)
    assert 0.01 < (codes["published"][0] - codes["corrected"][0]).abs().max() < 1  # the encoder's noise, 0.1


def trial_faces(root: Path, bench: Bench):
    from guidebench.photos.own import FolderFaces

    return FolderFaces(root, bench.players.generator.resolution)


def test_published_changes_the_detectors_settings_and_no_weight(tiny, monkeypatch):
    monkeypatch.setattr(mtcnn, "load", tiny.mtcnn)
    judges = {name: EG3DTestbed(conventions=name).judges() for name in ("corrected", "published")}
    detectors = {name: found.recognizers["curricularface"].detector for name, found in judges.items()}
    assert {name: detector.settings for name, detector in detectors.items()} == mtcnn.CONVENTIONS
    states = [detector.state_dict() for detector in detectors.values()]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert judges["corrected"].digests == judges["published"].digests
    second = [found.recognizers["arcface"] for found in judges.values()]
    picture = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(judge.embed(picture).vectors for judge in second))


@pytest.mark.long
def test_published_draws_fresh_evaluation_noise_and_moves_no_identity(tiny):
    from guidebench.baselines.nothing import Nothing

    outcomes = {}
    for name in ("corrected", "published"):
        asked = protocol(conventions=name)
        outcomes[name] = trial.run_trial(bench_of(name), asked, Nothing(), 0, 0, lambda step, scalars: None)
    assert torch.equal(outcomes["corrected"].cast.latents, outcomes["published"].cast.latents)
    change = {}
    for name, outcome in outcomes.items():
        evidence = outcome.evidence
        change[name] = np.abs(evidence.source.features - evidence.after[0].features).max()
    assert change["corrected"] == 0 and change["published"] > 1e-3


@pytest.mark.parametrize("noise", ["constant", "drawn"])
def test_views_in_batches_are_the_views_at_once(tiny, noise):
    """Draws are those of the whole; sums of other lengths round differently."""
    generator = bench_of("corrected").players.generator
    code = generator.map(torch.randn(1, 16, generator=torch.Generator().manual_seed(0)))[0]
    cameras = generator.rig.look_at(torch.linspace(-0.2, 0.2, 5), -0.2)

    def drawn(batch: int | None) -> Tensor:
        source = Noise.constant() if noise == "constant" else Noise.random(seeds.derive("views"))
        return render_views(generator, code, cameras, source, batch=batch)

    with torch.no_grad():
        whole = drawn(None)
        for batch in (1, 2, 4, 5):
            assert torch.allclose(drawn(batch), whole, atol=1e-5), batch
    if noise == "drawn":
        assert (whole - render_views(generator, code, cameras, Noise.constant())).abs().max() > 1e-3


def test_one_worker_runs_unless_more_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "empty"))
    words = ("--testbed", "eg3d-ffhq", "--device", "cpu", "--out", tmp_path / "runs")
    shown = invoke("reproduce", "table-1", *words, "--dry-run").output
    assert re.search(r"^\d+ trials .*\b1\b.*: ", shown, re.MULTILINE)
    assert EG3DTestbed.heavy and default_workers("cpu", heavy=True) == 1


def test_both_conventions_are_described_in_words():
    told = {name: EG3DTestbed.switches(name) for name in ("corrected", "published")}
    for name, word in {"corrected": "trained", "published": "origin"}.items():
        assert word in told[name]
        thresholds = " ".join(map(str, mtcnn.CONVENTIONS[name].thresholds))
        assert thresholds in told[name]


# Files


def test_the_average_code_of_the_scripts_is_used_where_it_is_there(tiny, folder, published_files, says):
    own = torch.linspace(-1, 1, 16)
    path = folder / catalogue.named("eg3d-w-avg").file
    without = EG3DTestbed().players()
    torch.save(own.expand(14, -1).clone(), path)
    players = EG3DTestbed().players()
    assert torch.allclose(players.generator.w_avg, own) and torch.allclose(players.inverter.network.w_avg, own)
    assert not torch.allclose(without.generator.w_avg, own)
    assert set(players.digests) - set(without.digests) == {"w_avg"}
    z = torch.randn(1, 16)
    assert torch.equal(players.generator.map(z), without.generator.map(z))
    torch.save(torch.randn(14, 16), path)
    with pytest.raises(BadInput, match=says(str(path), "differ")):
        average_code(path, 16)
    torch.save({"a": own}, path)
    with pytest.raises(BadInput, match=says(str(path), "average code", "(14, 16)")):
        average_code(path, 16)


def test_either_arcface_pack_will_do(tiny, folder):
    first, second = (catalogue.named(asset) for asset in ("arcface-buffalo_l", "arcface-antelopev2"))
    digests = {EG3DTestbed().judges().digests["arcface"]}
    (folder / first.file).rename(folder / second.file)
    for before, now in zip(first.members, second.members, strict=True):
        (folder / second.file / before).rename(folder / second.file / now)
    assert EG3DTestbed().missing() == []
    judges = EG3DTestbed().judges()
    assert "antelopev2" in judges.descriptions["arcface"]
    digests.add(judges.digests["arcface"])
    assert len(digests) == 2
    shutil.rmtree(folder / second.file)
    with pytest.raises(MissingAsset, match="`guidebench assets fetch arcface-buffalo_l`"):
        EG3DTestbed().judges()


def test_every_required_file_is_asked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path / "empty"))
    required = [asset for asset in catalogue.needed_by("eg3d-ffhq") if not asset.without]
    assert len(EG3DTestbed().missing()) == len(required) - 1  # one of two packs
    done = run(folder, "--method", "guide", "--out", tmp_path / "runs")
    assert done.exit_code == 2 and re.search(rf"\beg3d-ffhq\b.*\b{len(required) - 1}\b.* files", done.stderr)
    assert "Traceback" not in done.output and not (tmp_path / "runs").exists()


def test_photo_sets_that_a_run_asks_for_are_missing_until_they_are_scanned(tiny, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_HOME", str(tmp_path / "home"))
    assert EG3DTestbed().missing({"random"}) == []
    (line,) = EG3DTestbed().missing({"random", "ffhq"})
    assert "photographs of ffhq" in line and "`guidebench data scan ffhq FOLDER`" in line


def test_the_doctor_finds_nothing_wrong_with_the_files(folder):
    done = invoke("doctor", "--testbed", "eg3d-ffhq", "--device", "cpu")
    assert done.exit_code == 0, done.stdout
    assert re.search(r"^ok +assets: .*\beg3d-ffhq\b", done.stdout, re.MULTILINE)
    assert "--protocol random" in done.stdout.splitlines()[-1]


WRONG = {
    "goae": ("goae", "load"),
    "ir-se50": ("irse", "load_ir_se50"),
    "curricularface": ("irse", "load_ir_101"),
    "vgg16": ("lpips", "load"),
    "fid-inception": ("inception", "feature_source"),
}


@pytest.mark.parametrize("asset", WRONG)
def test_a_state_dict_that_does_not_fit_is_named(asset, tiny, folder, monkeypatch):
    """The real loader, on a file that holds one tensor of another name."""
    module, name = WRONG[asset]
    kept = getattr(tiny, module)
    monkeypatch.setattr(importlib.import_module(f"guidebench.networks.{module}"), name, getattr(kept, name, kept))
    testbed = EG3DTestbed()
    with pytest.raises(BadInput, match=re.escape(catalogue.named(asset).file)) as caught:
        testbed.players()
        testbed.judges()
    assert "weights" in str(caught.value) and "\n" not in str(caught.value)


def test_another_generator_ends_a_run_in_one_line(tiny, folder, tmp_path, monkeypatch):
    path = folder / catalogue.named("eg3d-ffhq").file
    words = ("--method", "guide", "--out", tmp_path / "runs")
    with monkeypatch.context() as context:
        context.setattr(testbed_module, "SIZES", {"resolution": 512})
        done = run(folder, *words)
    assert done.exit_code == 2
    assert re.search(rf"{re.escape(str(path))}\b.*\bresolution 128\b.*\b512\b", done.stderr)
    path.write_bytes(pickle.dumps({"G": 1}))
    (folder / assets.LOCK).unlink()  # as if it had been added so
    done = run(folder, *words)
    assert done.exit_code == 2 and re.search(rf"{re.escape(str(path))}\b.*'G_ema'.*\bG\b", done.stderr)
    assert "Traceback" not in done.output


def test_real_features_of_another_network_are_refused(tiny, folder, says):
    with open(folder / catalogue.named("ffhq-real").file, "wb") as stream:
        np.save(stream, np.random.default_rng(0).normal(size=(50, 9)))
    with pytest.raises(BadInput, match=says("ffhq-real.npz", "(50, 9)", "(N, 4)")):
        EG3DTestbed().judges()
