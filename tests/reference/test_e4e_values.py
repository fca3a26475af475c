"""e4e's and pSp's encoders against codes recorded from the released code: real widths with drawn weights, a small file.

The reference asks for 1e-4; the nearest wrong reading moves codes by a tenth of their norm.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.networks import e4e, stylegan2_files
from guidebench.networks.e4e import StyleEncoder, StyleInverter
from guidebench.noise import Noise

pytestmark = pytest.mark.reference
TOLERANCE = 2e-5  # of numbers of order 1; measured are 1e-5


@pytest.fixture(scope="module")
def recorded(reference: Path) -> dict[str, Tensor]:
    with np.load(reference / "e4e_io.npz") as arrays:
        return {name: torch.from_numpy(value) for name, value in arrays.items()}


@pytest.fixture(scope="module")
def encoder(reference: Path, recipe: ModuleType) -> StyleEncoder:
    """14 heads of real width, each tensor as it was drawn for the recording."""
    listed = json.loads((reference / "e4e_keys.json").read_text())
    gains = json.loads((reference / "e4e.json").read_text())["encoder"]["gains"]
    network = StyleEncoder(14, relative=True)
    state = network.state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {
        key: told["shape"] for key, told in listed["encoder"].items()
    }
    for key, told in listed["encoder"].items():
        gain = next(gain for pattern, gain in gains if re.search(pattern, key))
        drawn = recipe.recipe_tensor(key, told["shape"], "dev-e4e", gain=gain, prelu=listed["prelu"])
        assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == told["sha16"], key
        state[key].copy_(torch.from_numpy(drawn))
    return network


def test_codes_and_what_the_heads_see_are_the_recorded_ones(encoder, recorded, recipe: ModuleType):
    def close(actual: Tensor, name: str) -> None:
        np.testing.assert_allclose(actual, recorded[name], atol=TOLERANCE, rtol=0, err_msg=name)

    photos = torch.from_numpy(recipe.recipe_image("e4e_256", (2, 3, 256, 256), "dev-images"))
    pyramid = encoder.pyramid(photos)
    close(pyramid.coarse[:, :, 1::4, 2::4], "c3_sub")
    close(pyramid.middle[:, ::2, 1::4, 2::4], "p2_sub")
    close(pyramid.fine[:, ::2, 3::8, 5::8], "p1_sub")
    close(pyramid.middle[:, 7], "p2_channel7")
    close(pyramid.fine[:, 7], "p1_channel7")
    heads = encoder.heads(pyramid)
    close(heads, "heads")
    absolute = heads + recorded["latent_avg"]
    close(absolute, "w_psp")
    close(torch.cat([absolute[:, :1], absolute[:, 1:] + heads[:, :1]], dim=1), "w_e4e")
    encoder.relative = False
    assert torch.equal(encoder.heads(pyramid), heads)


def test_photographs_are_prepared_as_by_the_released_code(reference: Path, recorded, recipe: ModuleType):
    told = json.loads((reference / "e4e.json").read_text())["prep"]
    drawn = recipe.recipe_image("e4e_prep", (1, 3, 600, 480), "dev-images").astype(np.float64)
    picture = np.round((drawn + 1) * 127.5).astype(np.uint8)
    assert int(picture.astype(np.int64).sum()) == told["uint8_sum"]
    prepared = e4e.prepare(picture[0].transpose(1, 2, 0))
    np.testing.assert_allclose(prepared[0, :, 3::16, 5::16], recorded["prep_sub"].squeeze(), atol=1e-6, rtol=0)


def test_a_small_checkpoint_gives_the_recorded_codes_and_pictures(reference: Path, recipe: ModuleType):
    """Written on a GPU, with a training state beside the weights; narrow, 8 rows for a generator of 32 px."""
    told: dict[str, Any] = json.loads((reference / "e4e_checkpoint_tiny.json").read_text())
    with np.load(reference / "e4e_checkpoint_tiny_io.npz") as arrays:
        recorded = {name: torch.from_numpy(value) for name, value in arrays.items()}
    checkpoint = e4e.load(reference / "e4e_checkpoint_tiny.pt")
    assert checkpoint.kind == told["encoder_type"] and checkpoint.average is not None
    photos = torch.from_numpy(recipe.recipe_image("e4e_tiny", (2, 3, 256, 256), "dev-images"))
    codes = checkpoint.encoder(photos)
    np.testing.assert_allclose(codes, recorded["codes"], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(codes + checkpoint.average, recorded["w"], atol=TOLERANCE, rtol=0)
    inverted = StyleInverter(checkpoint.encoder, checkpoint.average).invert(photos)
    assert 0 < (inverted - recorded["w"]).abs().max() < 0.1  # photographs are shown as 8-bit pictures
    generator = stylegan2_files.from_rosinality(checkpoint.decoder, checkpoint.average, "the decoder")
    picture = generator.synthesize(recorded["w"], noise=Noise.constant())
    np.testing.assert_allclose(picture, recorded["image"], atol=TOLERANCE, rtol=0)
