"""One StyleGAN2 in its three formats: the same tensors, and files that hold something else in one line."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from guidebench.errors import BadInput
from guidebench.networks import stylegan2_files
from guidebench.networks.stylegan2 import StyleGAN2Generator

ARGUMENTS = {
    "z_dim": 8,
    "c_dim": 0,
    "w_dim": 8,
    "img_resolution": 32,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 128, "channel_max": 6},
}
STATIC = {"resolution": 32, "fmap_base": 64, "fmap_max": 6, "mapping_layers": 2, "mapping_fmaps": 8}
STATIC |= {"latent_size": 8, "dlatent_size": 8, "num_channels": 3, "label_size": 0}


@pytest.fixture(scope="module")
def generator(recipe: ModuleType) -> StyleGAN2Generator:
    return recipe.fill(StyleGAN2Generator(**ARGUMENTS), "three formats", "stylegan")


def test_three_formats_hold_the_same_tensors(generator, published_files, tmp_path: Path):
    """TensorFlow's style biases lack one, which costs a bit."""
    published_files.write_stylegan2(generator, ARGUMENTS, tmp_path / "ffhq.pkl")
    published_files.write_rosinality(generator, tmp_path / "config-f.pt")
    published_files.write_tensorflow(generator, tmp_path / "config-f.pkl", **STATIC)
    own = generator.state_dict()
    for name in ("ffhq.pkl", "config-f.pt", "config-f.pkl"):
        loaded = stylegan2_files.load(tmp_path / name)
        assert not loaded.training and not any(part.requires_grad for part in loaded.parameters())
        found = loaded.state_dict()
        assert found.keys() == own.keys()
        for key, value in found.items():
            same = torch.allclose(value, own[key], atol=1e-6, rtol=0) if "affine.bias" in key else None
            assert torch.equal(value, own[key]) if same is None else same, (name, key)


def test_the_average_code_of_an_encoders_file_has_a_row_per_input(generator, published_files):
    named = published_files.rosinality_names(generator)
    rows = generator.w_avg.expand(8, -1)
    assert torch.equal(stylegan2_files.from_rosinality(named, rows, "file").w_avg, generator.w_avg)


def changed(**changes: Any) -> dict[str, Any]:
    return {**STATIC, **changes}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda named: named.pop("convs.1.conv.weight"), ("lacks", "b8.conv1.weight")),
        (lambda named: named.pop("input.input"), ("input.input",)),
        (lambda named: named.update({"convs.9.extra": torch.zeros(1)}), ("convs.9.extra",)),
        (lambda named: named.update({"to_rgbs.0.bias": torch.zeros(1, 4, 1, 1)}), ("b8.torgb.bias", "(4,)")),
        (lambda named: named.update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), ("[1, 3, 3, 1]",)),
    ],
)
def test_a_file_of_rosinality_that_does_not_fit_is_refused(
    change, told, generator, published_files, tmp_path: Path, says
):
    named = published_files.rosinality_names(generator)
    change(named)
    path = tmp_path / "other.pt"
    torch.save({"g_ema": named, "latent_avg": generator.w_avg}, path)
    with pytest.raises(BadInput, match=says(str(path), *told)) as caught:
        stylegan2_files.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_without_an_average_code_is_refused(generator, published_files, tmp_path: Path, says):
    path = tmp_path / "older.pt"
    torch.save({"g_ema": published_files.rosinality_names(generator)}, path)
    with pytest.raises(BadInput, match=says(str(path), "latent_avg")):
        stylegan2_files.load(path)


@pytest.mark.parametrize(
    ("static", "told"),
    [
        (changed(architecture="resnet"), ("architecture", "'resnet'", "skip")),
        (changed(label_size=10), ("10 classes",)),
        (changed(resolution=33), ("33",)),
        (changed(fmap_max=10**9), ("fmap_max",)),
        (changed(resolution=64), ("64x64/", "lacks")),
        (changed(mapping_layers=3), ("lacks", "fc2")),
    ],
)
def test_a_pickle_of_another_network_is_refused(static, told, generator, published_files, tmp_path: Path, says):
    path = tmp_path / "other.pkl"
    published_files.write_tensorflow(generator, path, **static)
    with pytest.raises(BadInput, match=says(str(path), *told)) as caught:
        stylegan2_files.load(path)
    assert "\n" not in str(caught.value)
