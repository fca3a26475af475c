"""Snapshots as the official code writes them yield every tensor bit by bit, and no damage to them goes unnoticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guidebench.errors import BadInput
from guidebench.networks import checkpoints

pytestmark = pytest.mark.reference

RECORDED_IN = {  # snapshot -> the table of its tensors
    "eg3d_tiny128.pkl": "eg3d_tiny128.json",
    "eg3d_tiny512.pkl": "eg3d_tiny512.json",
    "stylegan2_tiny64.pkl": "stylegan2_tiny64.json",
    "stylegan2_tiny32_cond.pkl": "stylegan2_tiny32_cond.json",
    "stylegan2_tiny32_cond_protocol3.pkl": "stylegan2_tiny32_cond.json",
}
DETECTORS = ("pnet", "rnet", "onet")


def recorded(reference: Path, name: str) -> dict[str, Any]:
    return json.loads((reference / RECORDED_IN[name]).read_text())


@pytest.mark.parametrize("name", RECORDED_IN)
def test_every_tensor_of_a_snapshot_has_the_recorded_bytes(reference, name):
    """Names in the order of the table, shapes, and 16 hexadecimal digits of the SHA-256 of the float32 numbers."""
    wanted = {key: (entry["shape"], entry["sha256"]) for key, entry in recorded(reference, name)["tensors"].items()}
    found = checkpoints.state_dict(reference / name, entry="G_ema")
    assert list(found) == list(wanted)
    for key, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert (list(tensor.shape), hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]) == wanted[key], key


@pytest.mark.parametrize("name", RECORDED_IN)
def test_constructor_arguments_are_the_recorded_ones(reference, name):
    """JSON knows no tuples, hence the detour; the arguments by name alone, as the training scripts give them."""
    generator = checkpoints.read(reference / name)["G_ema"]
    positional, keywords = checkpoints.init_arguments(generator)
    assert positional == () and json.loads(json.dumps(keywords)) == recorded(reference, name)["config"]


@pytest.mark.parametrize("name", ["eg3d_tiny128.pkl", "eg3d_tiny512.pkl"])
def test_attributes_outside_the_constructor_are_kept(reference, name):
    """The rendering resolution is set after construction; the planes' axes are a tensor in no state dict."""
    generator = checkpoints.read(reference / name)["G_ema"]
    resolution = recorded(reference, name)["neural_rendering_resolution"]
    assert checkpoints.attribute(generator, "neural_rendering_resolution") == resolution
    renderer = checkpoints.attribute(generator, "_modules")["renderer"]
    assert renderer.name == "training.volumetric_rendering.renderer.ImportanceRenderer"
    assert checkpoints.attribute(renderer, "plane_axes").shape == (3, 3, 3)


def test_a_training_snapshot_holds_its_other_networks(reference):
    snapshot = checkpoints.read(reference / "stylegan2_tiny64.pkl")
    assert list(snapshot) == ["training_set_kwargs", "G", "D", "G_ema", "augment_pipe"]
    assert snapshot["training_set_kwargs"]["class_name"] == "training.dataset.ImageFolderDataset"
    assert [snapshot[key].name for key in ("G", "D", "augment_pipe")] == ["Generator", "Discriminator", "AugmentPipe"]
    trained, averaged = (checkpoints.tensors(snapshot[key]) for key in ("G", "G_ema"))
    assert list(trained) == list(averaged) and not torch.equal(trained["mapping.w_avg"], averaged["mapping.w_avg"])


def test_safetensors_hold_the_same_values_as_the_snapshot(reference):
    """Numbers without dimensions are stored there with one."""
    snapshot = checkpoints.state_dict(reference / "eg3d_tiny128.pkl", entry="G_ema")
    other = checkpoints.state_dict(reference / "eg3d_tiny128.safetensors")
    assert set(other) == set(snapshot)
    assert all(torch.equal(other[key].flatten(), snapshot[key].flatten()) for key in snapshot)


@pytest.mark.parametrize("name", DETECTORS)
def test_detector_weights_have_the_recorded_shapes(reference, name):
    wanted = json.loads((reference / "mtcnn/mtcnn.json").read_text())["weights"][name]
    found = checkpoints.read(reference / f"mtcnn/{name}.npy")
    assert {key: list(array.shape) for key, array in found.items()} == wanted
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("name", [*RECORDED_IN, *(f"mtcnn/{name}.npy" for name in DETECTORS)])
def test_files_cut_at_any_4_kib_are_refused(reference, name):
    data = memoryview((reference / name).read_bytes())
    for length in range(0, len(data), 4096):
        with pytest.raises(BadInput, match="damaged|not a checkpoint"):
            checkpoints.parse(data[:length], source=f"{length} bytes of {name}")


@pytest.mark.parametrize("name", ["stylegan2_tiny32_cond.pkl", "stylegan2_tiny32_cond_protocol3.pkl"])
def test_files_cut_before_what_looks_like_an_end_are_refused(reference, name):
    """Most cuts are seen by the missing last instruction; with it the machine has to find the hole."""
    data = (reference / name).read_bytes()
    for length in range(4096, len(data), 4096):
        with pytest.raises(BadInput, match="damaged"):
            checkpoints.parse(data[:length] + b".", source=f"{length} bytes of {name}")


def test_flipped_bits_in_numbers_are_caught_by_the_digest(reference, tmp_path):
    """One bit in the middle of each tenth of the file; most of these give a file that reads well."""
    data = bytearray((reference / "stylegan2_tiny32_cond.pkl").read_bytes())
    digest, path, readable = hashlib.sha256(data).hexdigest(), tmp_path / "flipped.pkl", 0
    for where in range(len(data) // 20, len(data), len(data) // 10):
        data[where] ^= 1
        path.write_bytes(data)
        with pytest.raises(BadInput, match=rf"SHA-256 .*{digest[:12]}"):
            checkpoints.read(path, digest=digest)
        try:
            checkpoints.read(path)
            readable += 1
        except BadInput:
            pass
        data[where] ^= 1
    assert readable > 5
