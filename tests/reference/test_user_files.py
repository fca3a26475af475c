"""Files that users bring, on the recorded ones: photographs to align, a snapshot to evaluate."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from guidebench import assets
from guidebench.baselines.checkpoint import load
from guidebench.commands.main import main
from guidebench.errors import BadInput
from guidebench.networks import eg3d, mtcnn
from guidebench.photos import align, frames

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def landmarks(reference):
    detector = mtcnn.load(reference / "mtcnn", convention="corrected")
    photos = [np.asarray(Image.open(reference / "mtcnn" / f"aligned_{place}.jpg")) for place in range(1, 6)]
    return np.stack([detector.detect(photo).points(0) for photo in photos]).astype(np.float64)


def test_guides_crops_are_found_again_as_docs_data_says(landmarks):
    """The true frame of a crop is the crop. Percent of the scale, and pixels of the centre."""
    poses = [frames.weak_perspective(points, 512) for points in landmarks]
    errors = np.array([[100 * (pose.px_per_unit / (512 * 300 / 700) - 1), *(pose.origin - 256)] for pose in poses])
    assert np.sqrt(np.square(errors).mean(axis=0)) == pytest.approx([1.9, 3.2, 2.5], abs=0.06)  # the table's rounding
    assert np.abs(errors).max(axis=0) == pytest.approx([3.1, 4.9, 4.3], abs=0.06)
    assert errors.mean(axis=0) == pytest.approx([-0.5, -2.8, 1.9], abs=0.06)
    assert errors.std(axis=0)[1:] == pytest.approx([1.7, 1.6], abs=0.06)  # what a constant offset would leave
    assert all(frames.is_framed("eg3d", (512, 512), points) for points in landmarks)
    assert not any(frames.is_framed("ffhq", (512, 512), points) for points in landmarks)


def test_guides_crops_end_in_rows_that_repeat_one_another_below_ffhqs_frame(reference, landmarks):
    """What `published` fills: 23 rows and more, from where FFHQ's square of the landmarks ends, to 12 px."""
    for place, points in enumerate(landmarks, start=1):
        with Image.open(reference / "mtcnn" / f"aligned_{place}.jpg") as opened:
            rows = np.asarray(opened.convert("RGB")).astype(float)
        steps = np.abs(np.diff(rows, axis=0)).mean(axis=(1, 2))[::-1]
        repeated = int(np.argmax(steps > 1.5))
        assert 23 <= repeated <= 40
        assert frames.ffhq_square(points)[1:3, 1].mean() == pytest.approx(512 - repeated, abs=12)


def test_a_photograph_is_aligned_with_the_published_detector(reference, tmp_path, monkeypatch):
    """A crop pasted small into a larger photograph comes out as it was, up to the rule's error and the resizing."""
    monkeypatch.setattr(assets, "find", lambda asset: reference / "mtcnn" / f"{asset.removeprefix('mtcnn-')}.npy")
    original = Image.open(reference / "mtcnn" / "aligned_4.jpg").resize((256, 256), Image.Resampling.BICUBIC)
    scene = Image.new("RGB", (600, 500), (90, 90, 90))
    scene.paste(original, (200, 120))
    scene.save(tmp_path / "scene.png")
    points = align.load_detector("mtcnn").detect(np.asarray(scene)).points(0)
    corners = frames.cut(scene, points, "eg3d", fill="edge").corners
    pasted = np.array([[200, 120], [200, 376], [456, 376], [456, 120]])
    assert np.abs(corners - pasted).max() <= 10  # 3 % of 256 px, 2 degrees of its half, and 3 px at the centre
    for frame, side in (("eg3d", 512), ("ffhq", 1024)):
        out = tmp_path / frame
        result = CliRunner().invoke(main, ["align", str(tmp_path / "scene.png"), str(out), "--frame", frame])
        assert result.exit_code == 0, result.output
        assert Image.open(out / "scene.png").size == (side, side)


def test_a_crop_that_is_given_again_is_copied(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "find", lambda asset: reference / "mtcnn" / f"{asset.removeprefix('mtcnn-')}.npy")
    given = reference / "mtcnn" / "aligned_2.jpg"
    result = CliRunner().invoke(main, ["align", str(given), str(tmp_path / "out")])
    assert result.exit_code == 0 and "already" in result.stdout
    with Image.open(given) as before, Image.open(tmp_path / "out" / "aligned_2.png") as after:
        assert np.array_equal(before.convert("RGB"), after)


def test_snapshots_of_eg3d_are_put_into_the_testbeds_own_generator(reference):
    """The tiny reference snapshot, read into a copy whose backbone was emptied, is the snapshot again."""
    path = reference / "eg3d_tiny128.pkl"
    original = eg3d.load(path)
    emptied = copy.deepcopy(original)
    emptied.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in original.state_dict().items()})
    loaded = load(path, emptied)
    assert loaded is emptied
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in original.state_dict().items())
    with pytest.raises(BadInput, match=r"eg3d_tiny512\.pkl"):
        load(reference / "eg3d_tiny512.pkl", emptied)
