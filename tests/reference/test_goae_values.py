"""GOAE's encoder against codes recorded from GUIDE's copy of it, full size, with drawn weights.

The reference asks for 1e-4 in relative norm; measured are 3e-7, and 8e-7 on other instruction sets. Two of its images
are photographs, which stay where they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from guidebench.networks import goae, swin
from guidebench.networks.goae import GOAEEncoder
from guidebench.networks.loading import load_strictly
from guidebench.networks.swin import Pyramid

pytestmark = pytest.mark.reference
TOLERANCE = 1e-5
DIGEST_TOLERANCE = 2e-5  # of means, deviations, maxima and sums of eight values of order 1


@pytest.fixture(scope="module")
def recorded(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "goae_io.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def table(reference: Path) -> dict[str, Any]:
    return json.loads((reference / "goae_keys.json").read_text())


@pytest.fixture(scope="module")
def encoder(reference: Path, table: dict[str, Any], recipe: ModuleType) -> GOAEEncoder:
    """Drawn weights by the recorded names and shapes; structural buffers are the network's own."""
    drawing = json.loads((reference / "goae.json").read_text())
    network = GOAEEncoder()
    tensors = {key: network.state_dict()[key] for key in table["structural_buffers"]}
    for key, shape in table["shapes"].items():
        if key not in tensors:
            drawn = recipe.recipe_tensor(key, shape, drawing["salt"], drawing["family"], drawing["gain"])
            tensors[key] = torch.from_numpy(drawn)
    return load_strictly(network, tensors, "drawn")


@pytest.fixture(scope="module")
def photos(reference: Path) -> Tensor:
    files = [reference / "mtcnn" / f"aligned_{number}.jpg" for number in (1, 3)]
    return torch.cat([goae.prepare(np.array(Image.open(file).convert("RGB"))) for file in files])


def relative(actual: Tensor, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual.numpy() - expected) / np.linalg.norm(expected))


def test_codes_and_what_the_backbone_sees_are_reproduced(encoder, recorded, recipe: ModuleType) -> None:
    """The two deepest outputs were recorded channels first; the code of the base stage alone repeats one row."""
    kept: list[Pyramid] = []
    hook = encoder.swin_model.register_forward_hook(lambda module, images, pyramid: kept.append(pyramid))
    offsets, base = encoder(torch.from_numpy(recipe.recipe_image("goae_256", (2, 3, 256, 256), "dev-images")))
    hook.remove()
    assert relative(offsets, recorded["w"]) < TOLERANCE
    for name in ("w_base", "w_stage0"):
        assert relative(base.expand(-1, 14, -1), recorded[name]) < TOLERANCE
    (seen,) = kept
    outputs = {"fine": seen.fine, "mid": seen.mid, "coarse": seen.coarse}
    outputs |= {"query": seen.deep.transpose(1, 2), "base": seen.last.transpose(1, 2)}
    for name, values in outputs.items():
        rows, columns = (max(1, size // 16) for size in values.shape[1:])
        assert list(values.shape) == recorded[f"swin_{name}_shape"].tolist()
        digest = recipe.digest(values.numpy())
        np.testing.assert_allclose(digest, recorded[f"swin_{name}_digest"], atol=DIGEST_TOLERANCE, rtol=0)
        assert relative(values[:1, ::rows, ::columns], recorded[f"swin_{name}_sub"]) < TOLERANCE


def test_photographs_are_prepared_and_inverted_as_recorded(encoder: GOAEEncoder, recorded, photos: Tensor) -> None:
    np.testing.assert_array_equal(photos[:, :, 3::16, 5::16].numpy(), recorded["photo_input_sub"])
    assert relative(encoder(photos)[0], recorded["w_photos"]) < TOLERANCE


def test_train_mode_draws_in_the_recorded_order(encoder: GOAEEncoder, recorded, photos: Tensor) -> None:
    """The first photograph alone under seeds 0 and 1; a draw too many, too few or of another shape changes all."""
    first, second = (encoder(photos[:1], rng=torch.Generator().manual_seed(seed))[0] for seed in (0, 1))
    assert relative(first, recorded["train_mode_w_seed0"]) < TOLERANCE
    assert relative(second, first.numpy()) == pytest.approx(float(recorded["train_mode_spread_rel"]), rel=1e-4)


def test_names_shapes_and_types_are_the_recorded_ones(table: dict[str, Any]) -> None:
    network = GOAEEncoder()
    tensors = network.state_dict()
    assert {key: list(value.shape) for key, value in tensors.items()} == table["shapes"]
    others = {key: str(value.dtype) for key, value in tensors.items() if value.dtype != torch.float32}
    assert others == table["dtypes_not_float32"]
    assert sum(parameter.numel() for parameter in network.parameters()) == table["n_params"]
    assert len(tensors) == table["n_tensors"]


def test_structural_buffers_are_the_recorded_ones(encoder: GOAEEncoder, table, recipe: ModuleType) -> None:
    for key, expected in table["structural_digests"].items():
        digest = recipe.digest(encoder.state_dict()[key].numpy())
        np.testing.assert_allclose(digest, expected, rtol=1e-6, atol=1e-7)


def test_constants_are_those_of_the_recorded_configuration(table: dict[str, Any]) -> None:
    assert table["config"] == {
        "img_size": swin.IMAGE_SIDE,
        "patch_size": swin.PATCH,
        "embed_dim": swin.WIDTH,
        "depths": list(swin.DEPTHS),
        "num_heads": list(swin.HEADS),
        "window_size": swin.WINDOW,
        "pretrained_window_sizes": list(swin.PRETRAINED_WINDOWS),
        "mlp_ratio": swin.MLP_RATIO,
        "qkv_bias": True,
        "drop_path_rate": swin.DROP_PATH,
        "mlp_layer": 2,
        "ws_dim": goae.NUM_WS,
        "attention_dropout": goae.DROPOUT,
    }
