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
