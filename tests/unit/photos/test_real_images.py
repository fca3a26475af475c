"""Files of real-image features and statistics: both kinds agree, and anything else gets one line."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.errors import BadInput
from guidebench.evidence import FrechetStatistics
from guidebench.photos import real_images


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


def test_features_and_statistics_say_the_same(tmp_path, features):
    """Both in float64, so that nothing is lost on the way."""
    statistics = FrechetStatistics.of(features)
    np.save(tmp_path / "authors.npy", features)
    np.savez(tmp_path / "named.npz", features=features, description=np.array("FFHQ, 512 px"))
    real_images.write(tmp_path / "statistics.npz", statistics, "FFHQ, 512 px")
    for name in ("authors.npy", "named.npz", "statistics.npz"):
        found, description = real_images.read(tmp_path / name, dim=4)
        assert (found.mean == statistics.mean).all() and (found.covariance == statistics.covariance).all()
        assert found.count == 9 and description.startswith("9 photographs (")
        assert ("FFHQ, 512 px" in description) == (name != "authors.npy")


def test_the_kind_is_told_from_the_content(tmp_path, features):
    """The assets folder calls the file ffhq-real.npz, also if it is one array as the authors' is."""
    with open(tmp_path / "ffhq-real.npz", "wb") as stream:
        np.save(stream, features)
    assert real_images.read(tmp_path / "ffhq-real.npz", dim=4)[0].count == 9


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"features": np.ones((9, 5))}, ["features", "float64", "(9, 5)", "(N, 4)"]),
        ({"features": np.ones((1, 4))}, ["features", "(1, 4)", "(N, 4)"]),
        ({"features": np.ones((9, 4), dtype=int)}, ["features", "int64"]),
        ({"features": np.full((9, 4), np.nan)}, ["finite"]),
        ({"mu": np.ones(4), "sigma": np.eye(4)}, ["mu, sigma", "(N, d)", "mean, covariance"]),
        ({"mean": np.ones(4), "covariance": np.eye(3), "count": np.array(9)}, ["covariance (3, 3)", "(4, 4)"]),
        ({"mean": np.ones(4), "covariance": np.eye(4), "count": np.array(9.5)}, ["count", "float64", "integer"]),
        ({"mean": np.ones(4), "covariance": np.full((4, 4), np.inf), "count": np.array(9)}, ["finite"]),
        ({"features": np.array([{}])}, ["read", "numpy"]),
    ],
    ids=lambda value: "" if isinstance(value, dict) else " ".join(value),
)
def test_anything_else_gets_one_line(tmp_path, arrays, words, says):
    np.savez(tmp_path / "real.npz", **arrays)
    with pytest.raises(BadInput, match=says(*words)) as caught:
        real_images.read(tmp_path / "real.npz", dim=4)
    assert "real.npz" in str(caught.value) and "\n" not in str(caught.value)
