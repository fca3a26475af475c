"""Photographs: seeds, cache and what is refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from guidebench.errors import BadInput
from guidebench.testbeds.mini.faces import MiniFaces
from guidebench.testbeds.mini.renderer import RESOLUTION


@pytest.fixture
def faces(tmp_path) -> MiniFaces:
    return MiniFaces(tmp_path)


def test_there_are_enough_people_and_photographs(faces):
    assert faces.sources()["ffhq"] >= 50 and faces.sources()["celebahq"] >= 50
    (person,) = faces.people("celebahq", [7], photos=5)
    assert person.identity == "celebahq-0007" and person.photos.shape == (5, 3, RESOLUTION, RESOLUTION)
    assert person.photos.min() >= -1 and person.photos.max() <= 1
    assert all((person.photos[0] - photo).abs().mean() > 0.01 for photo in person.photos[1:])


def test_the_cache_gives_back_what_was_rendered(faces):
    (fresh,) = faces.people("ffhq", [0], photos=2)
    assert len(list(faces.cache.iterdir())) == 1
    (cached,) = MiniFaces(faces.cache.parent).people("ffhq", [0], photos=2)
    assert torch.equal(fresh.photos, cached.photos)


@pytest.mark.parametrize("damage", ["changed", "cut", "empty"])
def test_a_damaged_file_is_rendered_again(faces, damage):
    (fresh,) = faces.people("ffhq", [1], photos=1)
    (path,) = faces.cache.iterdir()
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes({"changed": bytes(content), "cut": bytes(content[:5000]), "empty": b""}[damage])
    (again,) = faces.people("ffhq", [1], photos=1)
    assert torch.equal(again.photos, fresh.photos)
    assert path.read_bytes() != bytes(content)


def test_a_cache_that_cannot_be_written_is_not_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert MiniFaces(tmp_path / "file").people("ffhq", [0], photos=1)[0].photos.shape == (1, 3, RESOLUTION, RESOLUTION)


def test_what_there_is_not_is_refused_with_the_limit(faces, says):
    with pytest.raises(BadInput, match="'ffhq'"):
        faces.people("ffhqq", [0], photos=1)
    with pytest.raises(BadInput, match=says("'ffhq'", "0 to 499", "500")):
        faces.people("ffhq", [500], photos=1)
    with pytest.raises(BadInput, match="5 photographs"):
        faces.people("ffhq", [0], photos=6)


def test_manifests_distinguish_sources(faces):
    assert len({faces.manifest(source) for source in faces.sources()}) == len(faces.sources())


def test_naming_the_testbed_imports_no_torch():
    code = "import sys, guidebench.testbeds.mini; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
