"""Manifests of photo sets, and CelebA's lists of which they are made."""

from __future__ import annotations

import json

import pytest
from damage import EDITS, VALUES, answers, cases, damaged, places_of, replaced
from hypothesis import given
from hypothesis import strategies as some

from guidebench import places
from guidebench.photos import manifests
from guidebench.photos.faces import ManifestFaces
from guidebench.photos.manifests import Listed, Manifest, Photo

PEOPLE = tuple(
    Listed(f"celeba-{number}", tuple(Photo(f"{number}{place}.png", "0" * 64, 512) for place in range(5)))
    for number in range(3)
)
DATA = Manifest("celebahq", "/nowhere", PEOPLE).as_data()
TEXT = json.dumps(DATA, indent=1).encode()
IDENTITIES = b"000001.jpg 2880\n000002.jpg 2937\n000003.jpg 8692\n"
MAPPING = b"idx orig_idx orig_file\n0 1 000001.jpg\n1 2 000002.jpg\n2 3 000003.jpg\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEBENCH_HOME", str(tmp_path_factory.mktemp("fuzz")))
        places.manifests_folder().mkdir(parents=True)
        yield places.manifests_folder()


def read(folder, content: bytes) -> None:
    (folder / "celebahq.json").write_bytes(content)
    with answers():
        manifest = manifests.read("celebahq")
        assert all(isinstance(line, str) for line in (*manifest.lines, manifest.hint))
        ManifestFaces(8, "eg3d").people("celebahq", [0], photos=2)


@cases(400)
@given(edits=EDITS)
def test_damaged_manifests(folder, edits):
    read(folder, damaged(TEXT, edits))


@cases(400)
@given(place=some.sampled_from(places_of(DATA)), value=VALUES, sealed=some.booleans())
def test_values_of_any_kind(folder, place, value, sealed):
    data = replaced(DATA, place, value)
    if sealed:  # with the digest that fits
        try:
            people = tuple(
                Listed(one["identity"], tuple(Photo(**it) for it in one["photos"])) for one in data["people"]
            )
            data = {**data, "digest": Manifest(data["source"], data["root"], people).digest}
        except (TypeError, KeyError, AttributeError, ValueError):
            pass
    read(folder, json.dumps(data).encode())


@cases(200)
@given(identities=EDITS, mapping=EDITS)
def test_damaged_lists_of_celeba(folder, identities, mapping):
    (folder / "identities.txt").write_bytes(damaged(IDENTITIES, identities))
    (folder / "mapping.txt").write_bytes(damaged(MAPPING, mapping))
    with answers():
        manifests.celebahq_people(folder / "identities.txt", folder / "mapping.txt")
