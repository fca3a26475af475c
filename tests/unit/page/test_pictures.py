"""Faces of a trial, and the views that are cut from its sheet."""

from __future__ import annotations

import io

import numpy as np
import pytest
from page_records import SIDE, face, save_with_pictures
from PIL import Image

from guidebench.page import pictures
from guidebench.protocol import Protocol
from guidebench.store.folders import StoredRecord, read


def faces(folder, person="a"):
    return pictures.faces_of(StoredRecord(read(folder), str(folder)), person)


def far(one, other):
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("target", [True, False])
def test_views_are_those_that_the_sheet_shows(tmp_path, make_record, target):
    record = make_record("guide", "a")
    found = faces(save_with_pictures(tmp_path, record, target=target))
    assert far(found.photo, face("a", "photo")) == 0
    for side, name in ((found.before, "before"), (found.after, record.spec.method)):
        wanted = [face("a", name, view) for view in range(3)]
        assert far(side[1], wanted[1]) == 0  # the file itself
        for view in (0, 2):
            distances = [far(side[view], one) for one in (*wanted, face("a", "target"))]
            assert np.argmin(distances) == view and distances[view] < 3


def test_of_several_people_each_has_the_own_views(tmp_path, make_record):
    protocol = Protocol(name="two", version=1, title="Two", source="ffhq", identities=2, forget=2, samples=400)
    record = make_record("guide", protocol=protocol, requests=[["a", "b"]])
    folder = save_with_pictures(tmp_path, record, probes=2)
    for person in "ab":
        assert far(faces(folder, person).before[2], face(person, "before", 2)) < 3


def test_a_sheet_of_somebody_else_is_not_cut(tmp_path, make_record):
    """The front pictures on it are not those of the files, so the page shows the front alone."""
    folder = save_with_pictures(tmp_path, make_record("guide", "a"), target=False, probes=0)
    stored = StoredRecord(read(folder), str(folder))
    (folder / "latents.npz").unlink()
    assert len(pictures.faces_of(stored, "a").before) == 3  # the first person is found without it
    image = np.array(Image.open(folder / "pictures/sheet.png"))
    Image.fromarray(np.ascontiguousarray(image[::-1])).save(folder / "pictures/sheet.png")
    unchecked = StoredRecord(stored.record, str(folder))
    found = pictures._views(unchecked, "a", True, face("a", "before", 1), face("a", stored.record.spec.method, 1))
    assert found is None


def test_pictures_that_are_not_the_records_own_are_not_shown(tmp_path, make_record):
    folder = save_with_pictures(tmp_path, make_record("guide", "a"))
    Image.fromarray(face("somebody else")).save(folder / "pictures/a/after.png")
    assert faces(folder) is None
    (folder / "pictures/a/after.png").unlink()
    assert faces(folder) is None


def test_a_picture_is_named_by_its_content():
    jpeg = pictures.as_jpeg(face("a"))
    assert np.array(Image.open(io.BytesIO(jpeg))).shape == (SIDE, SIDE, 3)
    assert pictures.name_of(jpeg) == pictures.name_of(pictures.as_jpeg(face("a"))) != pictures.name_of(b"")
