"""LPIPS on VGG16: recorded distances and gradients with drawn weights, its properties, and the files that it reads."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.errors import BadInput
from guidebench.networks import lpips
from guidebench.networks.lpips import LPIPS

TOLERANCE = 1e-6  # measured on three instruction sets: 6e-8 of a distance
# Where a ReLU or a pooling near a tie changes sides, what lies below it changes by up to a fifth of a typical number of
# the gradient: up to 5e-3 of the norm, in the recording and here, each compared with float64. Fewer than four tenths
# of the numbers lie below one of either; the others are within 2e-5, the length of the whole gradient within 5e-5.
UNTOUCHED, UNTOUCHED_TOLERANCE = 0.6, 1e-4
GRADIENT_TOLERANCE = 2e-2
NORM_TOLERANCE = 1e-3
SIZES = ("64x64", "96x160")


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "lpips.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def vgg(recipe: ModuleType) -> dict[str, Tensor]:
    """Tensors by torchvision's names, with a (shrunken) classifier; each is a function of its name."""
    shapes = {key: value.shape for key, value in LPIPS().state_dict().items() if key.startswith("features.")}
    tensors = {key: recipe.recipe_tensor(key, shape, "dev-lpips", gain=2**0.5) for key, shape in shapes.items()}
    return {key: torch.from_numpy(value) for key, value in tensors.items()} | {"classifier.0.weight": torch.ones(2, 2)}


@pytest.fixture(scope="module")
def lin(recipe: ModuleType) -> dict[str, Tensor]:
    """The linear weights by the names of the lpips package's own file."""
    shapes = {f"lin{level}.model.1.weight": (1, widths[-1], 1, 1) for level, widths in enumerate(lpips.WIDTHS)}
    return {
        key: torch.from_numpy(recipe.recipe_tensor(key, shape, "dev-lpips", "lpips_lin"))
        for key, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, vgg: dict[str, Tensor], lin: dict[str, Tensor]) -> LPIPS:
    """As a user gets it: from torchvision's file and the package's."""
    folder = tmp_path_factory.mktemp("lpips")
    torch.save(vgg, folder / "vgg16.pth")
    torch.save(lin, folder / "vgg.pth")
    return lpips.load(folder / "vgg16.pth", folder / "vgg.pth")


def pair(recipe: ModuleType, size: str) -> tuple[Tensor, Tensor]:
    height, width = map(int, size.split("x"))
    a, b = (recipe.recipe_image(f"lpips_{side}_{size}", (2, 3, height, width), "dev-images") for side in "ab")
    return torch.from_numpy(a), torch.from_numpy(b)


@pytest.mark.parametrize("size", SIZES)
def test_each_stage_gives_its_recorded_term(network: LPIPS, golden: dict[str, np.ndarray], recipe, size: str) -> None:
    terms = network.terms(*pair(recipe, size)).numpy()
    np.testing.assert_allclose(terms, golden[f"terms_{size}"], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_images_that_look_alike_are_as_close_as_recorded(network: LPIPS, golden, recipe, size: str) -> None:
    """The distances are around 6e-4, so that the tolerance is relative: float32 carries about six digits of it."""
    a, b = pair(recipe, size)
    near = network(a, (a + 0.02 * b).clamp(-1, 1)).numpy()
    np.testing.assert_allclose(near, golden[f"near_{size}"], rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_is_the_recorded_one(network: LPIPS, golden, recipe: ModuleType, size: str) -> None:
    a, b = (images[:1] for images in pair(recipe, size))
    (gradient,) = torch.autograd.grad(network(a.requires_grad_(), b).sum(), a)
    norm = float(golden[f"gradient_norm_{size}"])
    assert gradient.double().norm().item() == pytest.approx(norm, rel=NORM_TOLERANCE)
    recorded = golden[f"gradient_{size}"]
    error = (gradient[:, :, ::8, ::8].numpy() - recorded) / np.sqrt(np.square(recorded).mean())
    assert np.quantile(np.abs(error), UNTOUCHED) < UNTOUCHED_TOLERANCE
    assert np.sqrt(np.square(error).mean()) < GRADIENT_TOLERANCE


def test_the_gradient_is_the_slope_of_the_distance(network: LPIPS, recipe: ModuleType) -> None:
    """Central differences in float64: a step of 1e-8 rounds the slope by 1e-6 of it, and few ReLUs change sides."""
    exact = copy.deepcopy(network).double()
    a, b = (images[:1].double() for images in pair(recipe, "64x64"))
    direction = torch.from_numpy(recipe.base_draw("slope", "direction", a.shape))
    (gradient,) = torch.autograd.grad(exact(a.requires_grad_(), b).sum(), a)
    step = 1e-8
    with torch.no_grad():
        slope = (exact(a + step * direction, b) - exact(a - step * direction, b)).item() / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4)


def test_an_image_is_at_distance_zero_from_itself(network: LPIPS, recipe: ModuleType) -> None:
    a, b = pair(recipe, "64x64")
    assert torch.equal(network(a, a), torch.zeros(2))
    assert (network(a, b) > 0.1).all()


def test_the_distance_is_symmetric(network: LPIPS, recipe: ModuleType) -> None:
    a, b = pair(recipe, "64x64")
    assert torch.equal(network(a, b), network(b, a))


def test_a_batch_is_its_pairs(network: LPIPS, recipe: ModuleType) -> None:
    a, b = pair(recipe, "64x64")
    singles = torch.cat([network(a[:1], b[:1]), network(a[1:], b[1:])])
    torch.testing.assert_close(network(a, b), singles, atol=TOLERANCE, rtol=0)


def test_both_images_get_a_gradient(network: LPIPS, recipe: ModuleType) -> None:
    """The distance is symmetric, so the second image's gradient is the first's with the images exchanged."""
    a, b = (images[:1].requires_grad_() for images in pair(recipe, "64x64"))
    to_a, to_b = torch.autograd.grad(network(a, b).sum(), (a, b))
    exchanged, _ = torch.autograd.grad(network(b, a).sum(), (b, a))
    assert to_a.norm() > 0
    assert (to_b - exchanged).norm() < 1e-6 * to_a.norm()


def test_an_image_without_gradient_costs_no_graph(network: LPIPS, recipe: ModuleType) -> None:
    """The wanted image of a loss is only looked at: what is kept for the backward pass is half of what both need."""

    def kept(a: Tensor, b: Tensor) -> int:
        sizes: list[int] = []

        def note(saved: Tensor) -> None:
            if saved.ndim == 4 and len(saved) == 1:  # maps of the one image; weights are kept anyway
                sizes.append(saved.numel())

        with torch.autograd.graph.saved_tensors_hooks(note, lambda _: None):
            network(a, b)
        return sum(sizes)

    a, b = (images[:1] for images in pair(recipe, "64x64"))
    assert kept(a, b) == 0
    alone = kept(a.clone().requires_grad_(), b)
    both = kept(a.clone().requires_grad_(), b.clone().requires_grad_())
    assert 0 < alone < 0.6 * both  # the differences of the maps are kept either way


def test_features_of_zero_length_have_a_finite_gradient() -> None:
    network = LPIPS()
    for parameter in network.parameters():
        parameter.zero_()
    a = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(a, torch.ones(1, 3, 32, 32)).sum(), a)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_an_assembled_file_gives_the_same_network(tmp_path: Path, network: LPIPS, vgg, lin, recipe) -> None:
    stage = {0: 1, 2: 1, 5: 2, 7: 2, 10: 3, 12: 3, 14: 3, 17: 4, 19: 4, 21: 4, 24: 5, 26: 5, 28: 5}
    assembled = {f"scaling_layer.{name}": torch.zeros(1, 3, 1, 1) for name in ("shift", "scale")}
    for key, value in vgg.items():
        if key.startswith("features."):
            place = int(key.split(".")[1])
            assembled[key.replace("features.", f"net.slice{stage[place]}.")] = value
    for level in range(5):
        assembled[f"lin{level}.model.1.weight"] = assembled[f"lins.{level}.model.1.weight"] = lin[
            f"lin{level}.model.1.weight"
        ]
    torch.save(assembled, tmp_path / "lpips.pth")
    a, b = pair(recipe, "64x64")
    assert torch.equal(lpips.load(tmp_path / "lpips.pth")(a, b), network(a, b))


def test_vgg_without_linear_weights_says_which_file_is_missing(tmp_path: Path, vgg: dict[str, Tensor]) -> None:
    torch.save(vgg, tmp_path / "vgg16.pth")
    with pytest.raises(BadInput, match=r"vgg16\.pth .*LPIPS.*v0\.1/vgg\.pth") as raised:
        lpips.load(tmp_path / "vgg16.pth")
    assert "\n" not in str(raised.value)


def test_linear_weights_of_another_network_are_refused_in_one_line(tmp_path: Path, vgg, lin) -> None:
    """The package's file for AlexNet has the same names and other widths."""
    torch.save(vgg, tmp_path / "vgg16.pth")
    torch.save(lin | {"lin0.model.1.weight": torch.ones(1, 192, 1, 1)}, tmp_path / "alex.pth")
    with pytest.raises(BadInput, match=r"alex\.pth .* lin0 \(192,\) .*\(64,\)") as raised:
        lpips.load(tmp_path / "vgg16.pth", tmp_path / "alex.pth")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shapes", [((1, 3, 32, 32), (1, 3, 32, 16)), ((1, 1, 32, 32),) * 2, ((1, 3, 8, 64),) * 2])
def test_images_that_cannot_be_compared_are_refused(network: LPIPS, shapes) -> None:
    with pytest.raises(ValueError, match=r"\b16 pixels"):
        network(*(torch.zeros(shape) for shape in shapes))
