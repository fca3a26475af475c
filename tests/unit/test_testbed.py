"""What every testbed has without defining it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guidebench.evidence import Seen
from guidebench.noise import Noise
from guidebench.testbed import FeatureSource, Recognizer
from guidebench.testbeds.linear import LinearGenerator, LinearTestbed


class Sum(torch.nn.Module):
    """Remembers what it is given; its feature is the sum of the pixels."""

    def forward(self, images):
        self.given = images
        return (images.flatten(1).float().sum(dim=1, keepdim=True),)


def test_features_are_float64_of_what_a_png_would_hold():
    """⌊clamp(127.5 x + 128, 0, 255)⌋ of -1, 0, 1 and 7 is 0, 128, 255 and 255."""
    extractor = Sum()
    found = FeatureSource("sum", extractor, 1, "").features(
        torch.tensor([-1.0, 0.0, 1.0, 7.0]).view(4, 1, 1, 1).expand(4, 3, 1, 1)
    )
    assert extractor.given.dtype == torch.uint8 and found.dtype == np.float64
    assert found.tolist() == [[0.0], [3 * 128.0], [3 * 255.0], [3 * 255.0]]


def test_features_take_no_gradients():
    images = torch.zeros(1, 3, 2, 2, requires_grad=True)
    assert isinstance(FeatureSource("sum", Sum(), 1, "").features(images), np.ndarray)


def test_rendering_is_synthesis_and_decoding_with_one_noise():
    generator, rng = LinearGenerator(), torch.Generator()
    ws = generator.map(torch.randn(2, generator.z_dim, generator=rng.manual_seed(1)))
    camera = generator.rig.look_at(torch.zeros(2), -0.2)
    noise = Noise.random(2)
    expected = generator.decode(generator.synthesize(ws, noise=noise), ws, camera, noise=noise)
    assert torch.equal(generator.render(ws, camera, noise=Noise.random(2)), expected)


class Judge(Recognizer):
    def embed(self, images):
        return Seen(images.flatten(1), torch.ones(len(images), dtype=torch.bool))


def test_a_judge_gives_no_gradients_unless_it_says_how():
    with pytest.raises(TypeError, match="Judge is a judge"):
        Judge()(torch.zeros(1, 3, 2, 2))


def test_a_testbed_remembers_where_and_how_it_measures(tmp_path):
    testbed = LinearTestbed(device="cpu", cache=tmp_path, conventions="published")
    assert (testbed.device, testbed.cache, testbed.conventions) == (torch.device("cpu"), tmp_path, "published")
    assert LinearTestbed().conventions == "corrected"


def test_by_default_nothing_is_missing_and_nothing_comes_with_it():
    assert list(LinearTestbed().missing(["celebahq"])) == [] and LinearTestbed().shipped() == ""


def test_both_conventions_are_put_in_words():
    corrected, published = (LinearTestbed.switches(name) for name in ("corrected", "published"))
    assert "constant" in corrected and "fresh" in published
    with pytest.raises(KeyError):
        LinearTestbed.switches("others")
