"""GOAE's encoder: recorded codes with drawn weights, its parts by hand, its train mode, and the files that it reads."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.errors import BadInput
from guidebench.images import from_uint8, to_uint8
from guidebench.networks import goae, swin
from guidebench.networks.goae import GOAEEncoder, GoaeInverter
from guidebench.networks.swin import Pyramid

# Relative norms. Measured: 2e-7, on other instruction sets 8e-7; the reference arrays ask for 1e-4.
TOLERANCE = 1e-5
STRUCTURAL = ("relative_coords_table", "relative_position_index", "attn_mask")


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "goae.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def encoder(recipe: ModuleType) -> GOAEEncoder:
    """With drawn weights: each is a function of its key, so a wrong name gives a wrong number."""
    network = GOAEEncoder()
    for key, value in network.state_dict().items():
        if not key.endswith(STRUCTURAL):
            value.copy_(torch.from_numpy(recipe.recipe_tensor(key, value.shape, "dev-goae", "swin")))
    return network


@pytest.fixture(scope="module")
def photos(recipe: ModuleType) -> Tensor:
    return torch.from_numpy(recipe.recipe_image("goae_256", (2, 3, 256, 256), "dev-images"))


class Outputs(NamedTuple):
    """What the encoder makes of both images."""

    offsets: Tensor
    base: Tensor
    seen: Pyramid  # by the backbone, on the way


@pytest.fixture(scope="module")
def outputs(encoder: GOAEEncoder, photos: Tensor) -> Outputs:
    seen: list[Pyramid] = []
    hook = encoder.swin_model.register_forward_hook(lambda module, images, pyramid: seen.append(pyramid))
    offsets, base = encoder(photos)
    hook.remove()
    return Outputs(offsets, base, seen[0])


@pytest.fixture(scope="module")
def w_avg() -> Tensor:
    return torch.linspace(-1, 1, 512)


@pytest.fixture(scope="module")
def inverter(encoder: GOAEEncoder, w_avg: Tensor) -> GoaeInverter:
    return GoaeInverter(encoder, w_avg)


@pytest.fixture(scope="module")
def codes(inverter: GoaeInverter, photos: Tensor) -> Tensor:
    """Of the first image, alone."""
    return inverter.invert(photos[:1])


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relative(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


def test_offsets_are_the_recorded_ones(outputs: Outputs, golden: dict[str, np.ndarray]) -> None:
    assert outputs.offsets.shape == (2, 14, 512)
    for row in range(14):
        assert relative(outputs.offsets[:, row, ::8], torch.from_numpy(golden["w"][:, row])) < TOLERANCE
    assert relative(outputs.base[:, 0, ::8], torch.from_numpy(golden["w_base"])) < TOLERANCE


def test_the_first_row_is_the_base_code(outputs: Outputs) -> None:
    assert torch.equal(outputs.offsets[:, :1], outputs.base)


def test_the_backbone_has_the_recorded_digests(outputs: Outputs, golden: dict[str, np.ndarray], recipe) -> None:
    """The two deepest outputs were recorded channels first."""
    seen = outputs.seen
    recorded_as = {"fine": seen.fine, "mid": seen.mid, "coarse": seen.coarse}
    recorded_as |= {"query": seen.deep.transpose(1, 2), "base": seen.last.transpose(1, 2)}
    for name, values in recorded_as.items():
        np.testing.assert_allclose(recipe.digest(values.numpy()), golden[f"{name}_digest"], atol=2e-5, rtol=0)


def test_tables_indices_and_masks_are_those_of_the_published_file(encoder: GOAEEncoder, golden, recipe) -> None:
    """One of each; the others of a stage are equal. Logarithms differ between libraries in the last bit."""
    buffers = encoder.swin_model.state_dict()
    names = [name for name in golden if name.endswith(STRUCTURAL)]
    assert len(names) == 6
    for name in names:
        np.testing.assert_allclose(recipe.digest(buffers[name].numpy()), golden[name], rtol=1e-6, atol=1e-7)


def test_the_encoder_has_545_tensors_and_111_million_parameters(encoder: GOAEEncoder) -> None:
    assert len(encoder.state_dict()) == 545
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 111_218_822


def test_offsets_between_tokens_are_log_spaced() -> None:
    """Eq. 4 by hand: an offset of the pre-training's largest, 11 tokens of 12, is log2(1 + 8) / log2(8)."""
    table = swin.offset_table(16, 12)
    assert table.shape == (1, 31, 31, 2)
    torch.testing.assert_close(table[0, 15 + 11, 15], torch.tensor([math.log2(9) / 3, 0.0]))
    torch.testing.assert_close(table[0, 15, 15 - 11], torch.tensor([0.0, -math.log2(9) / 3]))


def test_windows_of_a_map_go_back_where_they_came_from() -> None:
    maps = torch.arange(2 * 8 * 8 * 3).view(2, 8, 8, 3)
    windows = swin.to_windows(maps, 4)
    assert torch.equal(windows[1].view(4, 4, 3), maps[0, :4, 4:])
    assert torch.equal(swin.from_windows(windows, 4, 8), maps)


def test_a_shifted_window_at_the_edge_splits_into_four() -> None:
    """Eight tokens in windows of four, shifted by two: the first window is whole, the last has four parts of four."""
    mask = swin.shift_mask(8, 4, 2)
    assert mask.shape == (4, 16, 16)
    assert (mask[0] == 0).all()
    assert ((mask[3] == 0).sum(dim=1) == 4).all()
    assert set(mask.flatten().tolist()) == {0.0, -100.0}


def test_a_merge_stacks_two_by_two_tokens_column_by_column() -> None:
    merge = swin.Merge(1, 2)
    merge.reduction.weight.data = torch.tensor([[1.0, 10, 100, 1000], [0, 0, 0, 0]])
    merge.norm = torch.nn.Identity()
    tokens = torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1)  # upper left, upper right, lower left, lower right
    assert merge(tokens)[0, 0, 0] == 1 + 30 + 200 + 4000


def test_codes_of_an_image_alone_are_its_offsets_in_a_batch_plus_the_average_code(codes, outputs, w_avg) -> None:
    assert relative(codes, outputs.offsets[:1] + w_avg) < TOLERANCE
    assert not codes.requires_grad


def test_photographs_of_another_size_are_prepared_first(recipe: ModuleType) -> None:
    """Seen by an encoder that gives every row the left upper corner of what it is shown."""

    class Corner(torch.nn.Module):
        def forward(self, images: Tensor, *, rng: torch.Generator | None = None) -> tuple[Tensor, None]:
            assert images.shape[1:] == (3, 256, 256)
            return images[:, 0, :2].reshape(-1, 1, 512).expand(-1, 14, -1), None

    inverter = GoaeInverter(Corner(), torch.zeros(512))
    photos = to_uint8(torch.from_numpy(recipe.recipe_image("goae_512", (2, 3, 512, 384), "dev-images")))
    prepared = torch.cat([goae.prepare(photo) for photo in photos.permute(0, 2, 3, 1).numpy()])
    assert torch.equal(inverter.invert(from_uint8(photos)), inverter.invert(prepared))


def test_training_or_evaluation_mode_makes_no_difference(inverter: GoaeInverter, photos: Tensor, codes) -> None:
    assert torch.equal(inverter.train().invert(photos[:1]), codes)
    inverter.eval()


def test_train_mode_is_a_function_of_its_stream(inverter: GoaeInverter, photos: Tensor, codes: Tensor) -> None:
    untouched = torch.get_rng_state()
    rng = stream(0)
    first, after = inverter.invert(photos[:1], rng=rng), inverter.invert(photos[:1], rng=rng)
    assert torch.equal(inverter.invert(photos[:1], rng=stream(0)), first)
    assert relative(after, first) > 0.05  # the stream went on; recorded runs differ by half of their norm
    assert relative(first, codes) > 0.05
    assert torch.equal(torch.get_rng_state(), untouched)


def test_train_mode_drops_within_the_backbone_and_within_cross_attention(encoder, photos, outputs) -> None:
    """The base code sees the backbone alone; a cross attention drops on its own, too."""
    _, base = encoder(photos[:1], rng=stream(3))
    assert relative(base, outputs.base[:1]) > 0.01
    queries, tokens = outputs.offsets[:, 1:4], outputs.offsets
    attention = encoder.cross_att_coarse
    assert relative(attention(queries, tokens, rng=stream(3)), attention(queries, tokens, rng=None)) > 0.01


def test_drop_path_drops_whole_branches_and_keeps_the_mean() -> None:
    """1 in 5 of 4000 images loses its branch: 800 with deviation 25; the others are scaled by 1.25."""
    branches = swin.drop_path(torch.ones(4000, 2, 2), 0.2, stream(1))
    assert set(branches.unique().tolist()) == {0.0, 1.25}
    assert (branches == branches[:, :1, :1]).all()
    assert abs((branches[:, 0, 0] == 0).sum().item() - 800) < 100


def test_dropout_zeroes_a_tenth_and_keeps_the_mean() -> None:
    """40,000 values: 4000 zeros with deviation 60."""
    values = goae.dropout(torch.ones(40_000), stream(1))
    assert abs((values == 0).sum().item() - 4000) < 240
    assert values.max() == pytest.approx(1 / 0.9)


def test_nothing_is_drawn_without_a_stream_or_at_rate_zero() -> None:
    values, rng = torch.ones(4, 2, 2), stream(5)
    assert swin.drop_path(values, 0.0, rng) is values
    assert swin.drop_path(values, 0.2, None) is values
    assert goae.dropout(values, None) is values
    assert torch.equal(rng.get_state(), stream(5).get_state())


@pytest.mark.parametrize("shape", [(512,), (1, 512), (14, 512), (1, 14, 512)])
def test_the_average_code_comes_in_the_shapes_that_are_around(encoder: GOAEEncoder, shape: tuple[int, ...]) -> None:
    assert torch.equal(GoaeInverter(encoder, torch.full(shape, 0.25)).w_avg, torch.full((14, 512), 0.25))


def test_an_average_code_of_another_shape_is_refused(encoder: GOAEEncoder) -> None:
    with pytest.raises(ValueError, match="average code"):
        GoaeInverter(encoder, torch.zeros(18, 512))


def test_images_of_another_size_are_refused(encoder: GOAEEncoder) -> None:
    with pytest.raises(ValueError, match="256, 256"):
        encoder(torch.zeros(1, 3, 512, 512))


def test_a_photograph_is_averaged_where_it_shrinks() -> None:
    """A checkerboard of single pixels becomes grey; a filter without averaging would keep black or white."""
    board = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    prepared = goae.prepare(np.stack([board] * 3, axis=2))
    assert prepared.shape == (1, 3, 256, 256)
    assert prepared.abs().max() < 0.02


def test_a_photograph_keeps_colours_and_places() -> None:
    photo = np.zeros((256, 256, 3), np.uint8)
    photo[:128, :, 0] = 255  # the upper half is red
    prepared = goae.prepare(photo)
    assert prepared[0, 0, :128].eq(1).all() and prepared[0, 0, 128:].eq(-1).all()
    assert prepared[0, 1:].eq(-1).all()


@pytest.mark.parametrize("photo", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)])
def test_what_is_not_a_photograph_is_refused(photo: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        goae.prepare(photo)


def test_a_file_in_the_published_layout_is_read(tmp_path: Path, encoder: GOAEEncoder, w_avg: Tensor) -> None:
    """Command-line options beside the weights, which are bytes here: a quarter of the size, converted on loading."""
    tensors = {f"encoder.{key}": (10 * value).to(torch.uint8) for key, value in encoder.state_dict().items()}
    path = tmp_path / "encoder.pt"
    torch.save({"state_dict": tensors, "opts": argparse.Namespace(stage="fine", device=torch.device("cpu"))}, path)
    inverter = goae.load(path, w_avg)
    path.unlink()
    loaded = inverter.encoder.state_dict()
    assert all(torch.equal(loaded[key].to(torch.uint8), tensors[f"encoder.{key}"]) for key in loaded)
    assert torch.equal(inverter.w_avg[3], w_avg)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("prefix", ["", "encoder."])
def test_weights_may_be_alone_and_under_their_own_names(nested: bool, prefix: str) -> None:
    tensors = {prefix + "fc.bias": torch.ones(2)} | ({"decoder.bias": torch.zeros(3)} if prefix else {})
    content = {"state_dict": tensors, "opts": {"stage": "fine"}} if nested else tensors
    assert list(goae.encoder_tensors(content, "encoder.pt")) == ["fc.bias"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {"fc.weight": torch.zeros(2, 2)}}, "weights of GOAEEncoder"),
        ({"opts": argparse.Namespace(stage="fine")}, "GOAE's encoder"),
        ({0: torch.zeros(2)}, "GOAE's encoder"),
        ([torch.zeros(2)], "GOAE's encoder"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, w_avg: Tensor, content, message: str) -> None:
    torch.save(content, tmp_path / "wrong.pt")
    with pytest.raises(BadInput, match=rf"wrong\.pt .*{message}") as raised:
        goae.load(tmp_path / "wrong.pt", w_avg)
    assert "\n" not in str(raised.value)


def test_a_file_with_another_digest_is_refused(tmp_path: Path, w_avg: Tensor) -> None:
    torch.save({}, tmp_path / "encoder.pt")
    with pytest.raises(BadInput, match="SHA-256"):
        goae.load(tmp_path / "encoder.pt", w_avg, digest="0" * 64)
