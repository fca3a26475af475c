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
from guidebench.photos import align

pytestmark = pytest.mark.reference
CENTRE = np.array([255.5, 255.5, 1])


@pytest.fixture(scope="module")
def landmarks(reference):
    detector = mtcnn.load(reference / "mtcnn", convention="corrected")
    photos = [np.asarray(Image.open(reference / "mtcnn" / f"aligned_{place}.jpg")) for place in range(1, 6)]
    return np.stack([detector.detect(photo).points(0) for photo in photos]).astype(np.float64)


def test_template_and_spread_are_those_of_the_five_crops(landmarks):
    """Written down with two decimals; the detector's landmarks repeat within 1e-3 px elsewhere."""
    assert np.allclose(landmarks.mean(axis=0), align.TEMPLATE, atol=7e-3)
    assert np.allclose(landmarks.std(axis=0, ddof=1), align.SPREAD, atol=7e-3)


def test_a_crop_is_found_again_from_the_template_of_the_others(landmarks, monkeypatch):
    """Root mean square over the five as docs/data.md says it; the true transform is the identity."""
    errors = []
    for place, points in enumerate(landmarks):
        monkeypatch.setattr(align, "TEMPLATE", np.delete(landmarks, place, axis=0).mean(axis=0))
        transform = align.crop_transform(points)
        errors.append([100 * (transform[0, 0] - 1), *(transform @ CENTRE - CENTRE[:2])])
    rms = np.sqrt(np.square(errors).mean(axis=0))
    assert rms == pytest.approx([3.0, 1.2, 2.2], abs=0.06)  # the table's rounding
    assert np.abs(errors).max(axis=0) == pytest.approx([4.1, 2.2, 3.2], abs=0.06)


def test_a_photograph_is_aligned_with_the_published_detector(reference, tmp_path, monkeypatch):
    """A crop pasted small into a larger photograph comes out as it was, up to the rule's error and the resizing."""
    monkeypatch.setattr(assets, "find", lambda asset: reference / "mtcnn" / f"{asset.removeprefix('mtcnn-')}.npy")
    original = Image.open(reference / "mtcnn" / "aligned_4.jpg").resize((256, 256), Image.Resampling.BICUBIC)
    scene = Image.new("RGB", (600, 500), (90, 90, 90))
    scene.paste(original, (200, 120))
    scene.save(tmp_path / "scene.png")
    detector = align.load_detector("mtcnn")
    (found,) = [detector.detect(np.asarray(scene)).points(0)]
    transform = align.crop_transform(found)
    assert transform[0, 0] == pytest.approx(2, rel=0.05)
    corner = transform @ [200 - 0.25, 120 - 0.25, 1]  # the pasted crop's first pixel, whose centre moved by its size
    assert np.abs(corner).max() <= 20  # 3 % of scale over 256 px, and the rule's 3 px at the centre
    result = CliRunner().invoke(main, ["align", str(tmp_path / "scene.png"), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "out" / "scene.png").size == (512, 512)


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
