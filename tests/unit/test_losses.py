"""The three distances that methods share, each by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from guidebench import losses
from guidebench.evidence import Seen
from guidebench.networks.eg3d import TriPlaneGenerator
from guidebench.networks.irse import IRSE50, FixedCropRecognizer
from guidebench.networks.lpips import LPIPS
from guidebench.noise import Noise
from guidebench.testbed import PerceptualDistance, Recognizer


class FirstPixels(Recognizer):
    """Embeds an image as its first two numbers, at unit length."""

    def embed(self, images: Tensor) -> Seen[Tensor]:
        return Seen(self(images), torch.ones(len(images), dtype=torch.bool))

    def forward(self, images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.flatten(1)[:, :2], dim=1)


class MeanDifference(PerceptualDistance):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(dim=1)


def image(first: float, second: float) -> Tensor:
    return torch.tensor([first, second, 0.0]).view(1, 3, 1, 1).requires_grad_()


def test_feature_distance_is_the_mean_over_all_numbers_of_each_row() -> None:
    """Row 0: one of four numbers off by 2 gives 4/4 = 1. Row 1: all four off by 3 give 9."""
    features = torch.zeros(2, 1, 2, 2)
    target = torch.zeros(2, 1, 2, 2)
    target[0, 0, 0, 0] = 2
    target[1] = 3
    assert losses.feature_distance(features, target).tolist() == [1.0, 9.0]


def test_the_gradient_of_feature_distance_is_exact_and_keeps_the_layout_of_the_features() -> None:
    features, target = (torch.randn(2, 6, 4, 4, dtype=torch.float64) for _ in range(2))
    features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = torch.tensor([1.0, -3.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((losses.feature_distance(features, target) * weights).sum(), features)
    expected = 2 / 96 * (features - target).detach() * weights[:, None, None, None]
    assert torch.allclose(gradient, expected, rtol=1e-14)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_feature_distance_refuses_tensors_that_would_broadcast() -> None:
    with pytest.raises(ValueError, match="shape"):
        losses.feature_distance(torch.zeros(2, 4), torch.zeros(1, 4))


def test_identity_is_one_minus_the_cosine() -> None:
    """Equal directions 0, right angle 1, opposite 2; 60 degrees 1/2."""
    recognizer, right = FirstPixels(), image(1, 0)
    for other, expected in [((5, 0), 0.0), ((0, 2), 1.0), ((-1, 0), 2.0), ((1, 3**0.5), 0.5)]:
        found = losses.identity(recognizer, image(*other), right)
        assert found.shape == (1,)
        assert found.item() == pytest.approx(expected, abs=1e-6)


def test_only_the_first_side_of_each_distance_gets_a_gradient() -> None:
    """The second side is the source generator, which is never trained."""
    for distance in (
        losses.feature_distance,
        lambda a, b: losses.perceptual(MeanDifference(), a, b),
        lambda a, b: losses.identity(FirstPixels(), a, b),
    ):
        trained, source = image(1, 2), image(-2, 1)
        distance(trained, source).sum().backward()
        assert trained.grad is not None and float(trained.grad.abs().sum()) > 0
        assert source.grad is None


def test_perceptual_is_the_distance_of_each_row() -> None:
    a, b = torch.zeros(2, 3, 1, 1), torch.stack([torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), -2.0)])
    assert losses.perceptual(MeanDifference(), a, b).tolist() == [0.5, 2.0]


def test_the_networks_of_the_paper_give_gradients_on_other_devices_than_a_cpu() -> None:
    """On the meta device, which has shapes and no numbers: nothing there may take the ways that only a CPU has."""
    rendering = {
        "depth_resolution": 6,
        "depth_resolution_importance": 6,
        "ray_start": 2.25,
        "ray_end": 3.3,
        "box_warp": 1,
        "superresolution_module": "training.superresolution.SuperresolutionHybrid2X",
    }
    with torch.device("meta"):
        generator = TriPlaneGenerator(8, 25, 8, 128, channel_max=8, rendering_kwargs=rendering).requires_grad_(False)
        distance, recognizer = LPIPS(), FixedCropRecognizer(IRSE50().requires_grad_(False))
        codes = torch.empty(2, generator.num_ws, 8)
    backbone = generator.parts()["backbone"].requires_grad_(True)
    features = generator.synthesize(codes, noise=Noise.constant())
    images = generator.decode(features, codes, noise=Noise.constant())
    found = [
        losses.feature_distance(features, features),
        losses.perceptual(distance, images, images),
        losses.identity(recognizer, images, images),
    ]
    assert [loss.shape for loss in found] == [(2,)] * 3
    torch.stack(found).sum().backward()
    assert all(weight.grad is not None for weight in backbone.parameters())
