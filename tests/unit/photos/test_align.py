"""The crop's transform is a scaling and a shift with known answers; files are read, named and written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.networks import arcface
from guidebench.networks.mtcnn import Detections, FaceDetector
from guidebench.photos import align


def turned(points, degrees):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = points[[0, 1, 3, 4]].mean(axis=0)
    return (points - centre) @ rotation.T + centre


class Finds(FaceDetector):
    """Finds the faces that it is told of, whatever it sees."""

    def __init__(self, *faces):
        self.faces = faces

    def detect(self, image):
        boxes = [[*face.min(axis=0), *face.max(axis=0), 0.9] for face in self.faces]
        rows = [face.T.ravel() for face in self.faces]
        return Detections(np.array(boxes).reshape(-1, 5), np.array(rows, np.float32).reshape(-1, 10))


def test_landmarks_on_the_template_stay_where_they_are():
    assert np.allclose(align.crop_transform(align.TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-9)  # float64 rounding


def test_scaled_and_shifted_landmarks_give_the_way_back():
    """Landmarks p = 3 T + (40, -70) need x = p/3 - (40, -70)/3."""
    found = align.crop_transform(3 * align.TEMPLATE + [40, -70])
    assert np.allclose(found, [[1 / 3, 0, -40 / 3], [0, 1 / 3, 70 / 3]], atol=1e-9)  # float64 rounding


@pytest.mark.parametrize("degrees", [-25, 10, 40])
def test_a_tilted_head_is_cropped_in_the_same_size_and_place_and_stays_tilted(degrees):
    """A rotation changes no row's length by more than the two rows differ: here they are equal."""
    found = align.crop_transform(turned(align.TEMPLATE, degrees))
    assert np.allclose(found, [[1, 0, 0], [0, 1, 0]], atol=1e-9)  # float64 rounding


def test_a_broad_face_keeps_its_size_on_average():
    """20 % broader and nothing higher: EG3D's scale is the mean of both, 1 / 1.1."""
    centre = align.TEMPLATE[[0, 1, 3, 4]].mean(axis=0)
    found = align.crop_transform((align.TEMPLATE - centre) * [1.2, 1] + centre)
    assert np.allclose(found[:, :2], np.eye(2) / 1.1) and np.allclose(found @ [*centre, 1], centre)


def test_the_crop_moves_against_the_nose():
    """A nose 10 px further left means a turned head, whose centre is 3 px to the right of what eyes say."""
    moved = align.TEMPLATE.copy()
    moved[2, 0] -= 10
    assert np.allclose(align.crop_transform(moved), [[1, 0, -3], [0, 1, 0]], atol=1e-9)  # float64 rounding


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.outer(np.arange(5), [0, 1]), np.full((5, 2), np.nan)])
def test_landmarks_without_extent_are_refused(points):
    with pytest.raises(BadInput, match="landmarks"):
        align.crop_transform(points)


def test_the_crop_is_the_photograph_where_nothing_moves_and_black_outside():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    photo = Image.fromarray(noise)
    same, outside = align.crop(photo, np.array([[1.0, 0, 0], [0, 1, 0]]))
    assert np.array_equal(same, noise) and outside == 0
    moved, outside = align.crop(photo, np.array([[1.0, 0, 10], [0, 1, -20]]))
    assert np.array_equal(moved[:492, 10:], noise[20:, :502])
    assert moved[:, :10].max() == 0 and moved[492:].max() == 0
    assert outside == pytest.approx(1 - 502 * 492 / 512**2)


def test_a_point_of_the_photograph_lands_where_the_transform_says():
    """A bright pixel at (300, 500) of a larger photograph, at half the size and shifted."""
    array = np.zeros((900, 900, 3), np.uint8)
    array[496:505, 296:305] = 255  # a square around the pixel's centre
    found, _ = align.crop(Image.fromarray(array), np.array([[0.5, 0, 20.25], [0, 0.5, -30.75]]))
    rows, columns = np.nonzero(found[..., 0] > 127)
    assert columns.mean() == pytest.approx(170.25, abs=0.5) and rows.mean() == pytest.approx(219.25, abs=0.5)  # pixels


def test_of_several_faces_the_largest_is_taken(tmp_path):
    Image.new("RGB", (1024, 1024), (200, 0, 0)).save(tmp_path / "group.png")
    small, large = align.TEMPLATE / 4, 1.5 * align.TEMPLATE + 20
    found = align.align(tmp_path / "group.png", Finds(small, large))
    assert found.faces == 2 and found.enlarged == pytest.approx(1 / 1.5, rel=1e-6)  # float32 landmarks
    assert found.outside == 0 and found.image.shape == (512, 512, 3)


def aligned(monkeypatch, detector, *arguments):
    monkeypatch.setattr(align, "load_detector", lambda name: detector)
    return CliRunner().invoke(main, ["align", *map(str, arguments)])


def test_a_folder_keeps_its_places_and_trouble_is_named_file_by_file(tmp_path, monkeypatch):
    for name in ("a/one.jpg", "b/two.png", ".hidden/three.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (600, 600)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.jpg").write_text("hello")
    result = aligned(monkeypatch, Finds(align.TEMPLATE), tmp_path / "in", tmp_path / "out")
    assert result.exit_code == 2 and "bad.jpg" in result.stderr and result.stderr.count("\n") == 1
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["a/one.png", "b/two.png"] and len(result.stdout.splitlines()) == 2
    with Image.open(tmp_path / "out" / "a" / "one.png") as picture:
        assert (picture.size, picture.mode) == ((512, 512), "RGB")


def test_black_borders_and_enlargement_are_said(tmp_path, monkeypatch):
    Image.new("RGB", (170, 170)).save(tmp_path / "near.png")
    result = aligned(monkeypatch, Finds(align.TEMPLATE / 4), tmp_path / "near.png", tmp_path / "out")
    assert result.exit_code == 0 and re.search(r"enlarged\b.* 4\.0\b", result.stdout) and "%" not in result.stdout
    result = aligned(monkeypatch, Finds(align.TEMPLATE / 2), tmp_path / "near.png", tmp_path / "out")
    assert re.search(r"\b56 % .*outside", result.stdout)  # 1 - (170 / 256)²


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
        result = aligned(monkeypatch, Finds(align.TEMPLATE), *inputs, tmp_path / "out")
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
        result = aligned(monkeypatch, Finds(align.TEMPLATE), given, tmp_path)
        assert result.exit_code == 2 and "a.png" in result.stderr and "over" in result.stderr
    assert (tmp_path / "a.png").read_bytes() == before
    for _ in range(2):  # the second time the crops are in the folder that is given
        result = aligned(monkeypatch, Finds(align.TEMPLATE), tmp_path, tmp_path / "crops")
        assert result.exit_code == 0 and len(result.stdout.splitlines()) == 1
    assert [path.name for path in (tmp_path / "crops").rglob("*")] == ["a.png"]


def test_a_tiny_photograph_is_refused_by_name(tmp_path, monkeypatch):
    Image.new("RGB", (127, 200)).save(tmp_path / "tiny.png")
    result = aligned(monkeypatch, Finds(align.TEMPLATE), tmp_path / "tiny.png", tmp_path / "out")
    assert result.exit_code == 2 and re.search(r"tiny\.png.*small.*\b127 x 200\b", result.stderr)


def test_insightfaces_detector_finds_the_face_that_the_judge_looks_at(tmp_path, monkeypatch, published_files):
    members = ("det_10g.onnx", "w600k_r50.onnx")
    published_files.write_arcface_pack(tmp_path / "buffalo_l", *members)
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path))
    picture = np.random.default_rng(0).integers(0, 256, (200, 160, 3), np.uint8)
    judge = arcface.load(*(tmp_path / "buffalo_l" / member for member in members)).detector
    own = align.load_detector("insightface").detect(picture)
    assert len(own) == 1 and np.array_equal(own.points(0), judge.detect(picture).points(0))
