"""The Fréchet distance against values recorded from the released evaluation, and against exact ones."""

import json

import numpy as np
import pytest

from guidebench.metrics.frechet import fit, frechet_distance

pytestmark = pytest.mark.reference


@pytest.mark.parametrize(("name", "tolerance"), [("300x64", 1e-10), ("50x64", 1e-8)])
def test_recorded_distances_are_reproduced(reference, name, tolerance):
    """50 vectors of 64 numbers: eigenvalues of 0 come out as 1e-16, their roots as 1e-8, whatever the routine."""
    expected = json.loads((reference / "fid_values.json").read_text())[name]
    arrays = np.load(reference / "fid_values.npz")
    distance = frechet_distance(fit([arrays[f"a_{name}"]]), fit([arrays[f"b_{name}"]]))
    assert distance == pytest.approx(expected["exact_symmetric_eig"], rel=tolerance)
    assert distance == pytest.approx(expected["reference"], rel=tolerance)


@pytest.mark.parametrize("name", ["300x64", "50x64"])
def test_a_set_is_at_no_distance_from_itself_and_single_precision_changes_little(reference, name):
    """The recorded routine is off by 7e-14 and 3e-7, and takes means in float32, which moves it by up to 4e-7."""
    expected = json.loads((reference / "fid_values.json").read_text())[name]
    arrays = np.load(reference / "fid_values.npz")
    one, other = (arrays[f"{side}_{name}"] for side in "ab")
    assert frechet_distance(fit([one]), fit([one])) == pytest.approx(expected["self_fid"], abs=1e-6)
    single = frechet_distance(*(fit([features.astype(np.float32)]) for features in (one, other)))
    assert single == pytest.approx(expected["reference_float32_features"], abs=1e-6 if name == "300x64" else 1e-5)


def test_the_distance_of_2048_features_is_reproduced(reference):
    """Inception's dimension; 2500 and 2600 vectors are drawn by the recorded rule, with eight shared directions."""
    expected = json.loads((reference / "fid_values.json").read_text())["2500x2048"]
    arrays = np.load(reference / "fid_values.npz")

    def drawn(seed, count, shift, scale):
        rng = np.random.RandomState(seed)
        own, shared, mixing = (rng.randn(*shape) for shape in ((count, 2048), (count, 8), (8, 2048)))
        return abs(scale * (own + shared @ mixing / np.sqrt(8)) + shift)

    rules = zip(expected["seeds"], expected["n"], expected["shift_scale"], strict=True)
    sets = [drawn(seed, count, *moved) for seed, count, moved in rules]
    for head, features in zip(("a_head_2500x2048", "b_head_2500x2048"), sets, strict=True):
        np.testing.assert_allclose(features[:3, :8], arrays[head], rtol=1e-12)
    distance = frechet_distance(*(fit([features]) for features in sets))
    assert distance == pytest.approx(expected["exact_symmetric_eig"], rel=1e-10)
    assert distance == pytest.approx(expected["reference"], rel=1e-10)
