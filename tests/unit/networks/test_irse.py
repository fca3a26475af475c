"""The recognisers: recorded embeddings with drawn weights, their parts by hand, and what each is shown of an image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from guidebench.errors import BadInput
from guidebench.images import quantise
from guidebench.networks import irse
from guidebench.networks.alignment import TEMPLATE
from guidebench.networks.irse import IR101, IRSE50, AlignedRecognizer, FixedCropRecognizer
from guidebench.networks.mtcnn import Detections

# Other instruction sets (SSE4.1, AVX2) and thread counts move float32 embeddings by up to 8e-7 and gradients, in which
# PReLUs change sides, by 5e-4 of their norm. The reference arrays ask for 1e-5 of embeddings and losses.
TOLERANCE = 2e-6
GRADIENT_TOLERANCE = 2e-3
STAGES = ("input_layer", "body.0", "body.3", "body.7", "body.21", "body.23")


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "irse.npz") as arrays:
        return dict(arrays)


def filled(network: nn.Module, salt: str, recipe: ModuleType) -> Any:
    """The network with recipe weights: each is a function of its key, so a wrong name gives a wrong number."""
    slopes = {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, nn.PReLU)}
    with torch.no_grad():
        for key, value in network.state_dict().items():
            value.copy_(torch.from_numpy(recipe.recipe_tensor(key, value.shape, salt, prelu=slopes)))
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def ir_se50(recipe: ModuleType) -> Iterator[IRSE50]:
    yield filled(IRSE50(), "dev-ir-se50", recipe)


def image(recipe: ModuleType, name: str, *shape: int) -> Tensor:
    return torch.from_numpy(recipe.recipe_image(name, shape, "dev-images"))


@torch.no_grad()
def test_ir_se50_gives_the_recorded_embeddings(ir_se50: IRSE50, golden: dict[str, np.ndarray], recipe) -> None:
    embeddings = ir_se50(image(recipe, "face112", 3, 3, 112, 112)).numpy()
    np.testing.assert_allclose(embeddings, golden["ir_se50"], atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_ir_101_gives_the_recorded_embeddings(golden: dict[str, np.ndarray], recipe: ModuleType) -> None:
    network = filled(IR101(), "dev-ir-101", recipe)
    embeddings = network(image(recipe, "face112", 3, 3, 112, 112)).numpy()
    np.testing.assert_allclose(embeddings, golden["ir_101"], atol=TOLERANCE, rtol=0)


@torch.no_grad()
def test_each_stage_of_ir_se50_has_the_recorded_digest(ir_se50: IRSE50, golden: dict[str, np.ndarray], recipe) -> None:
    """Mean, spread, largest magnitude and sum of the first eight numbers, which are of order 1."""
    digests = {}
    hooks = [
        ir_se50.get_submodule(stage).register_forward_hook(
            lambda _module, _inputs, output, stage=stage: digests.update({stage: recipe.digest(output.numpy())})
        )
        for stage in STAGES
    ]
    ir_se50(image(recipe, "face112", 3, 3, 112, 112)[:1])
    for hook in hooks:
        hook.remove()
    np.testing.assert_allclose([digests[stage] for stage in STAGES], golden["stage_digests"], atol=1e-5, rtol=1e-6)


def test_the_identity_loss_and_its_gradient_are_the_recorded_ones(
    ir_se50: IRSE50, golden: dict[str, np.ndarray], recipe: ModuleType
) -> None:
    recognizer = FixedCropRecognizer(ir_se50)
    first, second = (image(recipe, f"idloss_{name}_128", 2, 3, 128, 128) for name in "ab")
    np.testing.assert_allclose(irse.fixed_crop(first[:1])[..., ::8, ::8], golden["pooled_128"], atol=TOLERANCE, rtol=0)
    cosines = (recognizer.embed(first).vectors * recognizer.embed(second).vectors).sum(dim=1)
    assert (1 - cosines).mean().item() == pytest.approx(golden["loss_128"].item(), abs=TOLERANCE)

    first, second = (image(recipe, f"idloss_{name}_256", 2, 3, 256, 256)[:1] for name in "ab")
    first.requires_grad_()
    loss = 1 - (recognizer(first) * recognizer.embed(second).vectors).sum()
    loss.backward()
    assert first.grad is not None
    gradient, expected = first.grad[..., ::16, ::16].numpy(), golden["gradient_256"]
    assert loss.item() == pytest.approx(golden["loss_single_256"].item(), abs=TOLERANCE)
    assert np.linalg.norm(gradient - expected) <= GRADIENT_TOLERANCE * np.linalg.norm(expected)
    assert first.grad.abs().mean().item() == pytest.approx(golden["gradient_256_mean"].item(), rel=1e-4)


@torch.no_grad()
def test_embeddings_are_unit_rows_that_do_not_depend_on_the_batch(ir_se50: IRSE50, recipe: ModuleType) -> None:
    faces = image(recipe, "face112", 3, 3, 112, 112)
    together = ir_se50(faces)
    torch.testing.assert_close(torch.linalg.vector_norm(together, dim=1), torch.ones(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.cat([ir_se50(face[None]) for face in faces]), together, atol=1e-6, rtol=0)


@torch.no_grad()
def test_training_mode_changes_nothing(ir_se50: IRSE50, recipe: ModuleType) -> None:
    """A recogniser inside a module that is switched to training keeps its statistics and drops nothing out."""
    faces = image(recipe, "face112", 3, 3, 112, 112)
    before, statistics = ir_se50(faces), ir_se50.input_layer[1].running_mean.clone()
    nn.Sequential(ir_se50).train()
    torch.testing.assert_close(ir_se50(faces), before, atol=0, rtol=0)
    assert torch.equal(ir_se50.input_layer[1].running_mean, statistics)


@torch.no_grad()
def test_the_gate_scales_each_channel_by_a_sigmoid_of_the_channel_means() -> None:
    """fc1 sums 16 channels, means 1/16: ReLU(1) = 1. fc2 gives that to channel 0 and -1 times it to all others."""
    gate = irse.SqueezeExcitation(16)
    gate.fc1.weight.fill_(1.0)
    gate.fc2.weight.fill_(-1.0)
    gate.fc2.weight[0] = 1.0
    maps = torch.zeros(1, 16, 2, 2)
    maps[:, :, 0, 0] = 4 / 16
    gates = torch.full((16,), 1 / (1 + np.e))
    gates[0] = 1 / (1 + 1 / np.e)
    torch.testing.assert_close(gate(maps), maps * gates[None, :, None, None])


@torch.no_grad()
def test_a_unit_without_residual_passes_every_second_pixel_on() -> None:
    unit = irse.ResidualUnit(4, 4, stride=2, gated=False).eval()
    unit.res_layer[4].weight.zero_()
    maps = torch.arange(4 * 36.0).reshape(1, 4, 6, 6)
    torch.testing.assert_close(unit(maps), maps[:, :, ::2, ::2])


def test_the_fixed_crop_of_a_ramp_is_averages_of_two_or_three_rows_and_columns() -> None:
    """At 256 px nothing is resized. 188 rows go into 112 bins [⌊188 i/112⌋, ⌈188 (i+1)/112⌉): the first holds rows 35
    and 36, the second rows 36 to 38, the last 221 and 222; columns start three lower."""
    rows = torch.arange(256.0)[:, None].expand(256, 256)
    crop = irse.fixed_crop(torch.stack([rows, rows.T, torch.zeros(256, 256)])[None])
    assert crop.shape == (1, 3, 112, 112)
    assert crop[0, 0, [0, 1, 111], 5].tolist() == [35.5, 37.0, 221.5]
    assert crop[0, 1, 5, [0, 1, 111]].tolist() == [32.5, 34.0, 218.5]


def test_the_fixed_crop_of_another_size_is_resized_first_without_antialiasing() -> None:
    """From 512 to 256, row r is the mean of rows 2r and 2r + 1; the first bin is the mean of rows 35 and 36. One bright
    row, 70, thus counts a quarter there (antialiasing would mix four rows and make it 3/16 + 1/16)."""
    bright = torch.zeros(1, 1, 512, 512)
    bright[:, :, 69:71] = torch.tensor([8.0, 1.0])[:, None]
    assert irse.fixed_crop(bright)[0, 0, 0, 0].item() == pytest.approx(0.25)


def test_pixels_outside_the_fixed_crop_have_no_gradient_and_those_inside_have() -> None:
    pixels = torch.zeros(1, 3, 256, 256, requires_grad=True)
    irse.fixed_crop(pixels).sum().backward()
    assert pixels.grad is not None
    touched = pixels.grad[0, 0] > 0
    assert touched[35:223, 32:220].all()
    assert touched.sum() == 188 * 188


class FirstPixels(nn.Module):
    """Stands for an embedding network: the first 512 numbers of the crop as they are. Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, faces: Tensor) -> Tensor:
        self.calls += 1
        return faces.flatten(1)[:, :512]


class Finder:
    """Stands for a detector: a face on the template if the first pixel is bright, equal points if it is grey."""

    def detect(self, picture: np.ndarray) -> Detections:
        value = int(picture[0, 0, 0])
        if value < 100:
            return Detections(np.zeros((0, 5)), np.zeros((0, 10), dtype=np.float32))
        points = TEMPLATE if value > 200 else np.full((5, 2), 3.0)
        return Detections(np.array([[0, 0, 111, 111, 0.9]]), points.T.reshape(1, 10).astype(np.float32))


def aligned_recognizer() -> AlignedRecognizer:
    return AlignedRecognizer(Finder(), FirstPixels())  # type: ignore[arg-type]


def test_every_image_counts_as_a_face_under_the_fixed_crop() -> None:
    seen = FixedCropRecognizer(FirstPixels()).embed(torch.rand(2, 3, 64, 64))
    assert seen.found.tolist() == [True, True]
    assert seen.vectors.shape == (2, 512)


def test_a_judge_embeds_the_aligned_face_of_the_image_as_a_png_holds_it() -> None:
    """Landmarks on the template make the crop the image itself, in [-1, 1] with 127.5 as zero."""
    images = torch.rand(1, 3, 112, 112)
    images[0, 0, 0, 0] = 0.9
    expected = FirstPixels()(quantise(images))
    torch.testing.assert_close(aligned_recognizer().embed(images).vectors, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(FirstPixels()(images), expected, atol=1e-6)


def test_images_without_a_face_are_marked_and_leave_the_others_alone() -> None:
    images = torch.rand(4, 3, 112, 112)
    images[:, 0, 0, 0] = torch.tensor([-0.9, 0.9, 0.3, 0.9])  # no face, a face, a face with useless landmarks, a face
    judge = aligned_recognizer()
    seen = judge.embed(images)
    assert seen.found.tolist() == [False, True, False, True]
    torch.testing.assert_close(seen.vectors[3], judge.embed(images[3:]).vectors[0])
    assert not seen.vectors[[0, 2]].any()


def test_the_network_of_a_judge_sees_all_faces_at_once_and_is_not_called_without_any() -> None:
    images = torch.rand(3, 3, 112, 112)
    images[:, 0, 0, 0] = 0.9
    judge = aligned_recognizer()
    judge.embed(images)
    assert judge.network.calls == 1
    images[:, 0, 0, 0] = -0.9
    assert not judge.embed(images).found.any()
    assert judge.network.calls == 1


def test_a_judge_gives_no_gradients() -> None:
    with pytest.raises(TypeError, match="judge"):
        aligned_recognizer()(torch.rand(1, 3, 112, 112))


def test_weights_are_read_from_a_file_and_frozen(tmp_path: Path, ir_se50: IRSE50) -> None:
    torch.save(ir_se50.state_dict(), tmp_path / "model_ir_se50.pth")
    loaded = irse.load_ir_se50(tmp_path / "model_ir_se50.pth")
    assert all(torch.equal(value, ir_se50.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not any(part.training for part in loaded.modules())


@pytest.mark.parametrize("load", [irse.load_ir_se50, irse.load_ir_101])
def test_the_file_of_another_network_is_one_line_with_the_keys_it_lacks(load: Any, tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pth")
    with pytest.raises(BadInput, match=r"resnet\.pth .* lacks .*input_layer\.0\.weight, .* unknown .*fc\.weight"):
        load(tmp_path / "resnet.pth")


def test_an_absent_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="absent.pth"):
        irse.load_ir_101(tmp_path / "absent.pth")
