"""The largest face of a photograph is cut out; files are read, named and written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner
from found_faces import Finds, face
from PIL import Image

from guidebench.commands.main import main
from guidebench.networks import arcface
from guidebench.photos import align


def test_of_several_faces_the_largest_is_taken(tmp_path):
    Image.new("RGB", (1024, 1024), (200, 0, 0)).save(tmp_path / "group.png")
    small, large = face(0.25, 100, 100), face(1.5, 500, 500)
    found = align.align(tmp_path / "group.png", Finds(small, large))
    assert found.faces == 2 and found.enlarged == pytest.approx(1 / 1.5, rel=2e-3)  # whole pixels
    assert found.outside == 0 and found.image.shape == (512, 512, 3)


def aligned(monkeypatch, detector, *arguments):
    monkeypatch.setattr(align, "load_detector", lambda name: detector)
    return CliRunner().invoke(main, ["align", *map(str, arguments)])


def test_a_folder_keeps_its_places_and_trouble_is_named_file_by_file(tmp_path, monkeypatch):
    for name in ("a/one.jpg", "b/two.png", ".hidden/three.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 600)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.jpg").write_text("hello")
    result = aligned(monkeypatch, Finds(face(1.0, 300, 300)), tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 2 and "bad.jpg" in result.stderr and ".hidden/" in result.stderr
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["a/one.png", "b/two.png"] and len(result.stdout.splitlines()) == 2
    with Image.open(tmp_path / "out" / "a" / "one.png") as picture:
        assert (picture.size, picture.mode) == ((512, 512), "RGB")


def test_what_is_outside_and_enlargement_are_said(tmp_path, monkeypatch):
    Image.new("RGB", (170, 170)).save(tmp_path / "near.png")
    result = aligned(monkeypatch, Finds(face(0.25, 80, 90)), tmp_path / "near.png", tmp_path / "out")
    assert result.exit_code == 0 and re.search(r"enlarged\b.* 4\.0\b", result.stdout) and "%" not in result.stdout
    for conventions, words in (("corrected", "mirrored"), ("published", "repeated")):
        arguments = tmp_path / "near.png", tmp_path / "out", "--conventions", conventions
        result = aligned(monkeypatch, Finds(face(0.5, 85, 85)), *arguments)
        assert re.search(rf"\b56 % .*outside.*{words}", result.stdout)  # 1 - (170 / 256)²


def test_a_photograph_without_a_face_is_named(tmp_path, monkeypatch):
    Image.new("RGB", (600, 600)).save(tmp_path / "wall.png")
    result = aligned(monkeypatch, Finds(), tmp_path / "wall.png", tmp_path / "out")
    assert result.exit_code == 2 and "no face" in result.stderr and "wall.png" in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_aligned_is_said_before_anything_is_written(tmp_path, monkeypatch):
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (600, 600)).save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    for inputs, words in (
        ([tmp_path / "none.png"], [tmp_path / "none.png"]),
        ([tmp_path / "empty"], [tmp_path / "empty", ".png, "]),
        (
            [tmp_path / "a.png", tmp_path / "a.jpg"],
            [str(tmp_path / "a.png"), str(tmp_path / "a.jpg"), str(tmp_path / "out")],
        ),
    ):
        result = aligned(monkeypatch, Finds(face(1.0, 300, 300)), *inputs, tmp_path / "out")
        assert result.exit_code == 2 and not (tmp_path / "out").exists()
        assert [word for word in map(str, words) if word not in result.stderr] == []


def test_without_the_detectors_files_the_command_that_fetches_them_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path))
    for detector, asset in (("mtcnn", "mtcnn-pnet"), ("insightface", "arcface-buffalo_l")):
        result = CliRunner().invoke(main, ["align", str(tmp_path), str(tmp_path / "out"), "--detector", detector])
        assert result.exit_code == 2 and f"guidebench assets fetch {asset}" in result.stderr


def test_photographs_that_are_given_are_never_written_over(tmp_path, monkeypatch):
    Image.new("RGB", (600, 600), (9, 9, 9)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for given in (tmp_path, tmp_path / "a.png"):
        result = aligned(monkeypatch, Finds(face(1.0, 300, 300)), given, tmp_path)
        assert result.exit_code == 2 and "a.png" in result.stderr and "over" in result.stderr
    assert (tmp_path / "a.png").read_bytes() == before
    for _ in range(2):  # the second time the crops are in the folder that is given
        result = aligned(monkeypatch, Finds(face(1.0, 300, 300)), tmp_path, tmp_path / "crops")
        assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1
    assert [path.name for path in (tmp_path / "crops").rglob("*")] == ["a.png"]


def test_a_crop_is_copied_and_said_to_be_one(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "crop.png")
    result = aligned(monkeypatch, Finds(face(1.02, 253, 258)), tmp_path / "crop.png", tmp_path / "out")
    assert result.exit_code == 0 and re.search("already.*eg3d", result.stdout)
    with Image.open(tmp_path / "out" / "crop.png") as copied:
        assert np.array_equal(np.asarray(copied), noise)


def test_ffhqs_frame_has_1024_pixels_and_one_convention(tmp_path, monkeypatch):
    Image.new("RGB", (700, 600)).save(tmp_path / "a.png")
    arguments = tmp_path / "a.png", tmp_path / "out", "--frame", "ffhq"
    result = aligned(monkeypatch, Finds(face(0.7, 300, 300)), *arguments)
    assert result.exit_code == 0
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.size == (1024, 1024)
    result = aligned(monkeypatch, Finds(face()), *arguments, "--conventions", "published")
    assert result.exit_code == 2 and re.search("--conventions.*FFHQ", result.stderr)


def test_a_huge_photograph_is_shown_to_the_detector_in_a_size_that_it_can_take(tmp_path, monkeypatch):
    monkeypatch.setattr(align, "_LARGEST_SEEN", 300)
    Image.new("RGB", (900, 600)).save(tmp_path / "huge.png")
    seen = []

    class Small(Finds):
        def detect(self, image):
            seen.append(image.shape)
            return super().detect(image)

    found = align.align(tmp_path / "huge.png", Small(face(1 / 3, 150, 100)))
    assert seen == [(200, 300, 3)] and found.enlarged == pytest.approx(1, rel=5e-3)


def test_a_tiny_photograph_is_refused_by_name(tmp_path, monkeypatch):
    Image.new("RGB", (127, 200)).save(tmp_path / "tiny.png")
    result = aligned(monkeypatch, Finds(face(1.0, 300, 300)), tmp_path / "tiny.png", tmp_path / "out")
    assert result.exit_code == 2 and re.search(r"tiny\.png.*small.*\b127 x 200\b", result.stderr)


def test_insightfaces_detector_finds_the_face_that_the_judge_looks_at(tmp_path, monkeypatch, published_files):
    members = ("det_10g.onnx", "w600k_r50.onnx")
    published_files.write_arcface_pack(tmp_path / "buffalo_l", *members)
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, (200, 160, 3), np.uint8)
    judge = arcface.load(*(tmp_path / "buffalo_l" / member for member in members)).detector
    own = align.load_detector("insightface").detect(picture)
    assert len(own) == 1 and np.array_equal(own.points(0), judge.detect(picture).points(0))
