"""The catalogue's digests of the detector's weights are those of the files that the reference arrays were made with."""

from __future__ import annotations

import pytest

from guidebench.assets import placing


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_the_detectors_weights_are_those_of_the_catalogue(name, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEBENCH_ASSETS", str(tmp_path))
    placed = placing.add(reference / "mtcnn" / f"{name}.npy")
    assert placed.asset.id == f"mtcnn-{name}" and "published" in placed.line
    assert "recorded" not in placed.line
