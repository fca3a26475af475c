"""FID's Inception: recorded features with drawn weights, what the resize is worth, and torch-fidelity by name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from guidebench.errors import BadInput
from guidebench.networks import inception
from guidebench.networks.inception import FidInception
from guidebench.torchvision_fix import import_torch_fidelity

# Measured: 0 on the machine of the recording, 1.4e-6 on other instruction sets.
TOLERANCE = 5e-6
SIZES = ("512x512", "299x299", "128x128")


class Pictures(Dataset):
    """uint8 (3, h, w) tensors, as torch-fidelity wants them."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Tensor:
        return self.images[place]


@pytest.fixture(scope="module")
def golden(root: Path) -> dict[str, np.ndarray]:
    with np.load(root / "tests" / "goldens" / "networks" / "inception.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, recipe: ModuleType) -> Path:
    """A weight file of drawn tensors, each a function of its published name."""
    shapes = {key: value.shape for key, value in FidInception().state_dict().items()}
    tensors = {
        key: recipe.recipe_tensor(key, shape, "dev-fid-inception", gain=1.6, centre=True)
        for key, shape in shapes.items()
    }
    path = tmp_path_factory.mktemp("inception") / "inception.pth"
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def network(weights: Path) -> FidInception:
    return inception.load(weights)


def pictures(recipe: ModuleType, size: str, count: int = 2) -> Tensor:
    height, width = map(int, size.split("x"))
    images = recipe.recipe_image(f"fid_{size}", (count, 3, height, width), "dev-images")
    return torch.from_numpy(np.round((images.astype(np.float64) + 1) * 127.5).astype(np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_features_are_the_recorded_ones(network: FidInception, golden: dict[str, np.ndarray], recipe, size) -> None:
    images = pictures(recipe, size)
    np.testing.assert_array_equal(images.long().sum(dim=(2, 3)).numpy(), golden[f"uint8_sum_{size}"])
    features = network(inception.prepare(images))
    assert features.shape == (2, 2048)
    np.testing.assert_allclose(features[:, ::8].numpy(), golden[f"features_{size}"], atol=TOLERANCE, rtol=0)


def test_each_stage_has_its_recorded_digest(network: FidInception, golden: dict[str, np.ndarray], recipe) -> None:
    stages = network.stages(inception.prepare(pictures(recipe, "512x512")))
    digests = np.array([recipe.digest(stage.numpy()) for stage in stages])
    np.testing.assert_allclose(digests, golden["stage_digests_512x512"], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("align_corners_true", {"align_corners": True}),
        ("antialias", {"align_corners": False, "antialias": True}),
    ],
)
def test_another_resize_moves_the_features_as_far_as_recorded(network, golden, recipe, name, options) -> None:
    """Five and six per cent: ten thousand times the tolerance, so that agreement says which resize this is."""
    images = pictures(recipe, "512x512")
    features = network(inception.prepare(images))
    resized = functional.interpolate(images.float() / 255, size=(299, 299), mode="bilinear", **options)
    change = ((network(2 * resized - 1) - features).norm() / features.norm()).item()
    assert change == pytest.approx(float(golden[f"change_if_{name}"]), rel=1e-4)


def test_the_published_file_has_566_tensors_of_these_names() -> None:
    keys = FidInception().state_dict()
    assert len(keys) == 566
    assert keys["fc.weight"].shape == (1008, 2048)  # unused, but in the file


def test_a_batch_is_its_images(network: FidInception, recipe: ModuleType) -> None:
    images = inception.prepare(pictures(recipe, "128x128"))
    singles = torch.cat([network(images[:1]), network(images[1:])])
    torch.testing.assert_close(network(images), singles, atol=TOLERANCE, rtol=0)


def test_a_feature_source_sees_what_a_png_would_hold(weights: Path, network: FidInception) -> None:
    """0.5 is 191.75 on the scale of a PNG, which drops the fraction."""
    source = inception.feature_source(weights)
    features = source.features(torch.full((1, 3, 64, 64), 0.5))
    assert (source.name, source.dim, features.shape, features.dtype) == (inception.NAME, 2048, (1, 2048), np.float64)
    as_png = torch.full((1, 3, 64, 64), 191, dtype=torch.uint8)
    np.testing.assert_array_equal(features[0], network(inception.prepare(as_png))[0].double().numpy())


def test_torch_fidelity_finds_the_extractor_by_name(weights: Path, network: FidInception, recipe: ModuleType) -> None:
    """Its kernel distance over whole sets against the formula (arXiv 1801.01401, eq. 4) on the network's features.

    torch-fidelity sums in float32, kernels are of order 1: 1e-6, where the distance is 8e-5.
    """
    inception.register()
    first, second = (pictures(recipe, "64x64", 4), pictures(recipe, "96x80", 4))
    measured = import_torch_fidelity().calculate_metrics(
        input1=Pictures(first),
        input2=Pictures(second),
        feature_extractor=inception.NAME,
        feature_extractor_weights_path=str(weights),
        kid=True,
        kid_subsets=1,
        kid_subset_size=4,
        batch_size=2,
        cuda=False,
        save_cpu_ram=True,
        cache=False,
        verbose=False,
    )["kernel_inception_distance_mean"]
    x, y = (network(inception.prepare(images)).double() for images in (first, second))
    within = [(gram.sum() - gram.trace()) / 12 for gram in (kernel(x, x), kernel(y, y))]
    assert measured == pytest.approx((sum(within) - 2 * kernel(x, y).mean()).item(), abs=1e-6)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def test_registering_twice_gives_one_class() -> None:
    assert inception.register() is inception.register()


def test_the_extractor_without_weights_says_which_file_to_name() -> None:
    with pytest.raises(BadInput, match=r"pt_inception-2015-12-05-6726825d\.pth"):
        inception.register()()


def test_another_layer_is_refused() -> None:
    with pytest.raises(Exception, match="features"):
        inception.register()(features_list=("768",), network=FidInception())


def test_a_file_of_other_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "resnet.pth")
    with pytest.raises(BadInput, match=r"resnet\.pth .* weights of FidInception") as raised:
        inception.load(tmp_path / "resnet.pth")
    assert "\n" not in str(raised.value)


def test_a_file_with_another_digest_is_refused(weights: Path) -> None:
    with pytest.raises(BadInput, match="SHA-256"):
        inception.load(weights, digest="0" * 64)
