"""e4e and pSp: how a code is put together, what the heads look at, and the files that they are read from."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.errors import BadInput
from guidebench.networks import e4e
from guidebench.networks.e4e import StyleEncoder, StyleInverter
from guidebench.networks.stylegan2 import StyleGAN2Generator

WIDTHS = (16, 16, 16, 16)
GENERATOR = {"mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"channel_base": 64, "channel_max": 4}}


@pytest.fixture(scope="module")
def encoder(recipe: ModuleType) -> StyleEncoder:
    """Eight heads: for a generator of 32 px."""
    slopes = {f"body.{unit}.res_layer.2.weight" for unit in range(24)} | {"input_layer.2.weight"}
    return recipe.fill(StyleEncoder(8, relative=True, widths=WIDTHS), "e4e unit", gain=1.4, prelu=slopes)


@pytest.fixture(scope="module")
def generator(recipe: ModuleType) -> StyleGAN2Generator:
    return recipe.fill(StyleGAN2Generator(16, 0, 16, 32, **GENERATOR), "e4e unit", "stylegan")


@pytest.fixture(scope="module")
def photos(recipe: ModuleType) -> Tensor:
    return torch.from_numpy(recipe.recipe_image("e4e unit", (1, 3, 256, 256), "tests"))


def test_rows_of_e4e_are_differences_from_the_first_and_rows_of_psp_are_not(encoder, photos):
    relative, heads = encoder(photos), encoder.heads(encoder.pyramid(photos))
    encoder.relative = False
    rows = encoder(photos)
    encoder.relative = True
    assert torch.equal(rows, heads) and torch.equal(relative[:, 0], rows[:, 0])
    assert torch.equal(relative[:, 1:], rows[:, :1] + rows[:, 1:])
    assert (relative[:, 1:] - relative[:, :1]).abs().amin(dim=(0, 2)).max() > 0  # no two rows are alike


def test_heads_shrink_their_map_to_one_pixel():
    encoder = StyleEncoder(18, relative=True, widths=WIDTHS)
    assert [len(head.convs) // 2 for head in encoder.styles] == [4] * 3 + [5] * 4 + [6] * 11


def test_the_published_network_has_the_published_number_of_weights():
    with torch.device("meta"):
        encoder = StyleEncoder(18, relative=True)
    assert sum(part.numel() for part in encoder.parameters()) == 267_136_704
    assert len(encoder.state_dict()) == 621


def test_training_mode_and_other_sizes_are_refused(encoder, says):
    assert not encoder.train().body[0].training
    with pytest.raises(ValueError, match=says("256", "128")):
        encoder(torch.zeros(1, 3, 128, 128))


def test_the_inverter_adds_the_average_to_what_an_8_bit_picture_gives(encoder, photos):
    average = torch.linspace(-1, 1, 16)
    picture = ((photos[0] * 127.5 + 128).clamp(0, 255)).to(torch.uint8).permute(1, 2, 0).numpy()
    expected = encoder(e4e.prepare(picture)) + average
    inverted = StyleInverter(encoder, average).invert(photos)
    assert torch.allclose(inverted, expected, atol=1e-4) and inverted.abs().max() > 1


def test_photographs_are_averaged_where_they_shrink():
    """Every other column is white: bilinear with antialiasing makes it grey."""
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = e4e.prepare(stripes)[:, :, 4:-4, 4:-4]
    assert inside.abs().max() < 0.05


@pytest.mark.parametrize(("kind", "relative"), e4e.RELATIVE.items())
def test_the_options_decide_which_encoder_a_file_holds(
    kind, relative, encoder, generator, published_files, tmp_path: Path
):
    path = tmp_path / "encoder.pt"
    published_files.write_style_encoder(encoder, generator, path, kind)
    loaded = e4e.load(path)
    assert loaded.kind == kind and loaded.encoder.relative is relative
    assert torch.equal(loaded.average, generator.w_avg.expand(8, -1))
    assert set(loaded.decoder) == set(published_files.rosinality_names(generator))
    own = encoder.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in loaded.encoder.state_dict().items())


def test_older_files_of_psp_are_read(encoder, generator, published_files, tmp_path: Path):
    """Options as a namespace, the size under its other name, one row of the average; or none, if none is added."""
    path = tmp_path / "psp.pt"
    options = argparse.Namespace(encoder_type="GradualStyleEncoder", output_size=32)
    published_files.write_style_encoder(
        encoder, generator, path, "", opts=options, latent_avg=generator.w_avg[None].clone()
    )
    assert torch.equal(e4e.load(path).average, generator.w_avg.expand(8, -1))
    options.start_from_latent_avg = False
    published_files.write_style_encoder(encoder, generator, path, "", opts=options, latent_avg=None)
    assert e4e.load(path).average is None


@pytest.mark.parametrize(
    ("kind", "entries", "told"),
    [
        ("BackboneEncoderUsingLastLayerIntoW", {}, ("BackboneEncoderUsingLastLayerIntoW", "Encoder4Editing")),
        ("Encoder4Editing", {"opts": None}, ("opts", "state_dict")),
        ("Encoder4Editing", {"latent_avg": torch.zeros(3, 16)}, ("latent_avg", "(3, 16)", "(8, 16)")),
        ("", {"opts": {"encoder_type": "Encoder4Editing", "stylegan_size": 64}}, ("styles.8", "lacks")),
        ("", {"opts": {"encoder_type": "Encoder4Editing", "stylegan_size": 100}}, ("100 px",)),
    ],
)
def test_files_that_hold_something_else_are_refused(
    kind, entries, told, encoder, generator, published_files, tmp_path: Path, says
):
    path = tmp_path / "encoder.pt"
    published_files.write_style_encoder(encoder, generator, path, kind, **entries)
    with pytest.raises(BadInput, match=says(str(path), *told)) as caught:
        e4e.load(path)
    assert "\n" not in str(caught.value)
