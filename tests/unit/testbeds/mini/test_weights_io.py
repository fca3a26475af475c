"""The folder of weights says which version it holds, and no other version is loaded."""

from __future__ import annotations

import json

import pytest

from guidebench.errors import MissingAsset
from guidebench.testbeds.mini import WEIGHTS_VERSION, MiniTestbed
from guidebench.testbeds.mini.weights_io import MANIFEST, SHIPPED, WeightsFolder, write_manifest


def test_the_shipped_weights_are_of_the_version_that_this_code_reads():
    assert json.loads((SHIPPED / MANIFEST).read_text()).get("version", 1) == WEIGHTS_VERSION


@pytest.mark.parametrize("version", [WEIGHTS_VERSION - 1, WEIGHTS_VERSION + 1, "2", None])
def test_weights_of_another_version_are_refused_in_one_line(tmp_path, version):
    (tmp_path / MANIFEST).write_text(json.dumps({"version": version, "files": {}}))
    with pytest.raises(MissingAsset, match=rf"version {version}\b.*version {WEIGHTS_VERSION}\b") as caught:
        MiniTestbed(weights=tmp_path).players()
    assert "\n" not in str(caught.value)


def test_a_manifest_that_names_no_version_is_of_the_first(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"files": {}}))
    assert WeightsFolder(tmp_path, version=1).manifest == {"files": {}}
    with pytest.raises(MissingAsset, match=r"version 1\b.*version 2\b"):
        _ = WeightsFolder(tmp_path, version=2).manifest


def test_a_written_manifest_names_the_version_first(tmp_path):
    (tmp_path / "fid.safetensors").write_bytes(b"weights")
    write_manifest(tmp_path, {"different_people": {}})
    assert list(json.loads((tmp_path / MANIFEST).read_text())) == ["version", "files", "different_people"]
    assert WeightsFolder(tmp_path).checked("fid.safetensors").is_file()
