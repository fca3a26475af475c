"""StyleGAN2 from files of rosinality's stylegan2-pytorch and of TensorFlow: listed tensors, recorded pictures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.networks import stylegan2_files
from guidebench.networks.stylegan2 import StyleGAN2Generator
from guidebench.noise import Noise

pytestmark = pytest.mark.reference

# Recommended: 1e-5 and 2e-4; fused against unfused modulation moves a picture by 1e-5, at 256 px by 2e-5.
CODES, IMAGE, LARGE_IMAGE = 5e-6, 3e-5, 8e-5


def arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path) as recorded:
        return {name: torch.from_numpy(value) for name, value in recorded.items()}


def close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=0, err_msg=name)


def check_pictures(generator: StyleGAN2Generator, recorded: dict[str, Tensor]) -> None:
    codes = {"image_z": generator.map(recorded["z"]), "image_z_psi": generator.map(recorded["z"], psi=0.7)}
    close(codes["image_z"][:, 0], recorded["w"], CODES, "w")
    close(codes["image_z_psi"][:, 0], recorded["w_psi"], CODES, "w_psi")
    for name, ws in {**codes, "image_wplus": recorded["wplus"]}.items():
        close(generator.synthesize(ws, noise=Noise.constant()), recorded[name], IMAGE, name)


@pytest.mark.parametrize("file", ["rosinality_tiny.pt", "rosinality_tiny_legacy.pt"])
def test_a_file_of_rosinality_gives_the_recorded_pictures(reference: Path, file: str):
    generator, recorded = stylegan2_files.load(reference / file), arrays(reference / "rosinality_tiny_io.npz")
    check_pictures(generator, recorded)
    assert torch.equal(generator.w_avg, recorded["latent_avg"])
    silent = generator.synthesize(recorded["wplus"][:1], noise=None)
    close(silent, recorded["image_wplus_nonoise"], IMAGE, "without noise")
    close(generator.synthesize(recorded["w_mix"], noise=Noise.constant()), recorded["image_mix"], IMAGE, "mix")


def test_layers_of_a_file_of_rosinality_are_the_recorded_ones(reference: Path):
    generator, recorded = (
        stylegan2_files.load(reference / "rosinality_tiny.pt"),
        arrays(reference / "rosinality_tiny_io.npz"),
    )
    seen: dict[str, Tensor] = {}
    layers = dict(zip(("layer_conv1", "layer_convs_0", "layer_convs_1"), generator.synthesis.layers(), strict=False))
    for name, layer in layers.items():
        layer.register_forward_hook(lambda module, given, out, name=name: seen.update({name: out.clone()}))
    generator.synthesize(recorded["wplus"][:1], noise=Noise.constant())
    for name in layers:
        close(seen[name], recorded[name], IMAGE, name)


def test_the_generator_of_real_width_gives_the_recorded_pictures(reference: Path, recipe: ModuleType):
    """256 px; the weights are drawn under rosinality's names, as e4e's decoder."""
    listed = json.loads((reference / "e4e_keys.json").read_text())["decoder"]
    salt = "dev-e4e-decoder"
    named = {
        key: torch.from_numpy(recipe.recipe_tensor(key, told["shape"], salt, "rosinality"))
        for key, told in listed.items()
    }
    average = torch.from_numpy(recipe.recipe_tensor("latent_avg", (512,), salt, "rosinality"))
    generator, recorded = (
        stylegan2_files.from_rosinality(named, average, "drawn"),
        arrays(reference / "rosinality_full_io.npz"),
    )
    codes = generator.map(recorded["z"], psi=0.7)
    close(generator.map(recorded["z"])[:, 0], recorded["w"], CODES, "w")
    close(codes[:, 0], recorded["w_psi"], CODES, "w_psi")
    picture = generator.synthesize(codes, noise=Noise.constant())
    close(picture[:, :, 1::4, 2::4], recorded["image_z_psi_sub"], LARGE_IMAGE, "picture")
    inverted = arrays(reference / "e4e_io.npz")
    for kind in ("e4e", "psp"):
        picture = generator.synthesize(inverted[f"w_{kind}"], noise=Noise.constant())
        close(picture[:, :, 1::4, 2::4], inverted[f"image_{kind}_sub"], LARGE_IMAGE, kind)


def test_a_pickle_of_tensorflow_gives_the_recorded_pictures_and_tensors(reference: Path):
    """The tensors are those of rosinality's conversion, bit for bit, under the other names."""
    told = json.loads((reference / "stylegan2_tf_tiny.json").read_text())
    generator, recorded = (
        stylegan2_files.load(reference / "stylegan2_tf_tiny.pkl"),
        arrays(reference / "stylegan2_tf_tiny_io.npz"),
    )
    check_pictures(generator, recorded)
    assert torch.equal(generator.w_avg, recorded["dlatent_avg"])
    assert sorted(converted_digests(generator)) == sorted(
        sha16 for key, sha16 in told["converted_rosinality"].items() if not key.endswith(".kernel")
    )


def converted_digests(generator: StyleGAN2Generator) -> list[str]:
    """sha16 of every tensor but the filters and the average code, which rosinality's conversion keeps apart."""

    def sha16(value: Any) -> str:
        return hashlib.sha256(np.ascontiguousarray(value.numpy()).tobytes()).hexdigest()[:16]

    return [
        sha16(value) for key, value in generator.state_dict().items() if not key.endswith(("resample_filter", "w_avg"))
    ]
