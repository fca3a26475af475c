"""FID's Inception against features recorded from pytorch-fid, with drawn weights.

The reference asks for 1e-5; measured are 0 on the instruction set of the recording and 1.4e-6 on others.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from guidebench.networks import inception
from guidebench.networks.inception import FidInception
from guidebench.networks.loading import load_strictly

pytestmark = pytest.mark.reference
TOLERANCE = 5e-6
SIZES = ("512x512", "299x299", "128x128")


@pytest.fixture(scope="module")
def recorded(reference: Path) -> dict[str, np.ndarray]:
    with np.load(reference / "fid_inception_io.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def table(reference: Path) -> dict[str, Any]:
    return json.loads((reference / "fid_inception.json").read_text())


@pytest.fixture(scope="module")
def network(table: dict[str, Any], recipe: ModuleType) -> FidInception:
    """With drawn weights by the recorded names and shapes, loaded strictly: the network's own keys are those."""
    drawn = {
        key: recipe.recipe_tensor(key, shape, table["salt"], table["family"], table["gain"], centre=table["centre"])
        for key, shape in table["keys"].items()
    }
    return load_strictly(FidInception(), {key: torch.from_numpy(value) for key, value in drawn.items()}, "drawn")


def pictures(table: dict[str, Any], recipe: ModuleType, size: str) -> Tensor:
    name, shape = table["images"][size]
    images = recipe.recipe_image(name, shape, table["images_salt"]).astype(np.float64)
    return torch.from_numpy(np.round((images + 1) * 127.5).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_features_are_reproduced(network: FidInception, recorded, table, recipe: ModuleType, size: str) -> None:
    images = pictures(table, recipe, size)
    np.testing.assert_array_equal(images.long().sum(dim=(2, 3)).numpy(), recorded[f"uint8_sum_{size}"])
    features = network(inception.prepare(images)).numpy()
    np.testing.assert_allclose(features, recorded[f"features_{size}"], atol=TOLERANCE, rtol=0)


def test_every_stage_is_reproduced(network: FidInception, table, recipe: ModuleType) -> None:
    stages = network.stages(inception.prepare(pictures(table, recipe, "512x512")))
    for place, stage in enumerate(stages):
        expected = table["block_digests_first_two_512"][f"block{place}"]
        np.testing.assert_allclose(recipe.digest(stage.numpy()), expected, rtol=1e-5)


def test_a_wrong_resize_is_ten_thousand_tolerances_away(network: FidInception, table, recipe: ModuleType) -> None:
    """The recorded five and six per cent, beside the eleven between two images."""
    images = pictures(table, recipe, "512x512")
    features = network(inception.prepare(images))

    def change(**options: bool) -> float:
        resized = functional.interpolate(images.float() / 255, size=(299, 299), mode="bilinear", **options)
        return ((network(2 * resized - 1) - features).norm() / features.norm()).item()

    recorded = table["relative_feature_change_if"]
    assert change(align_corners=False) == 0
    assert change(align_corners=True) == pytest.approx(recorded["align_corners_true"], rel=1e-4)
    assert change(align_corners=False, antialias=True) == pytest.approx(recorded["antialias"], rel=1e-4)
    between = ((features[1] - features[0]).norm() / features[0].norm()).item()
    assert between == pytest.approx(recorded["between_images"], rel=1e-4)
