"""StyleGAN2-ADA's snapshots: tensors as listed, pictures as recorded, through the safe loader."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_noise import TorchNoise

from guidebench.errors import BadInput
from guidebench.networks import stylegan2
from guidebench.noise import Noise

pytestmark = pytest.mark.reference

CODES, IMAGE = 1e-5, 2e-5  # recommended: 1e-5 and 2e-4; fused against unfused modulation moves an image by 5e-6
SNAPSHOTS = {
    "stylegan2_tiny64": "stylegan2_tiny64",
    "stylegan2_tiny32_cond": "stylegan2_tiny32_cond",
    "stylegan2_tiny32_cond_protocol3": "stylegan2_tiny32_cond",
}


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_snapshots_give_the_recorded_numbers(reference: Path, snapshot: str):
    told = json.loads((reference / f"{SNAPSHOTS[snapshot]}.json").read_text())
    generator = stylegan2.load(reference / f"{snapshot}.pkl")
    for key, tensor in generator.state_dict().items():
        assert hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16] == told["tensors"][key]["sha256"], key
    with np.load(reference / f"{SNAPSHOTS[snapshot]}_io.npz") as recorded:
        arrays = {name: torch.from_numpy(value) for name, value in recorded.items()}
    z, c, ws = arrays["z"], arrays["c"], arrays["ws"]
    codes = {
        "ws": generator.map(z, condition=c),
        "ws_psi07": generator.map(z, condition=c, psi=0.7),
        "ws_psi05_cut4": generator.map(z, condition=c, psi=0.5, cutoff=4),
    }
    seeded = TorchNoise(told["seed_random_noise"])
    images = {
        "image_const": generator.synthesize(ws, noise=Noise.constant()),
        "image_none": generator.synthesize(ws, noise=None),
        "image_random_seeded": generator.synthesize(ws, noise=seeded),
        "forward_psi07": generator.synthesize(codes["ws_psi07"], noise=Noise.constant()),
    }
    assert {"z", "c", *codes, *images} == set(arrays)
    for found, tolerance in ((codes, CODES), (images, IMAGE)):
        for name, value in found.items():
            np.testing.assert_allclose(value, arrays[name], atol=tolerance, rtol=0, err_msg=name)


def test_the_entry_chooses_the_network(reference: Path):
    path = reference / "stylegan2_tiny64.pkl"
    averaged, trained = (stylegan2.load(path, entry=entry) for entry in ("G_ema", "G"))
    assert not torch.equal(averaged.synthesis.b4.const, trained.synthesis.b4.const)
    with pytest.raises(BadInput, match=r"\bDiscriminator .*'D'.* Generator"):
        stylegan2.load(path, entry="D")
    with pytest.raises(BadInput, match="'G_best'.*: training_set_kwargs, G"):
        stylegan2.load(path, entry="G_best")
