"""Files of named arrays: read as they are asked for, and whatever is wrong with one is one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from guidebench.evidence import Seen
from guidebench.store.arrays import UnreadableEvidence, arrays_of, faces_of, opened


def test_faces_become_two_arrays_and_come_back():
    faces = Seen(np.random.default_rng(0).normal(size=(2, 3, 4)), np.array([[True, False, True]] * 2))
    arrays = arrays_of(faces, "judge/after")
    assert set(arrays) == {"judge/after", "judge/after/found"} and arrays["judge/after"].dtype == np.float32
    back = faces_of(arrays, "judge/after")
    assert np.array_equal(back.vectors, faces.vectors.astype(np.float32)) and np.array_equal(back.found, faces.found)
    assert faces_of(arrays, "judge/before") is None


def test_embeddings_that_float16_holds_take_half_the_room_and_come_back_as_float32():
    vectors = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float16).astype(np.float32)
    arrays = arrays_of(Seen(vectors, np.ones((2, 3), bool)), "judge/after")
    assert arrays["judge/after"].dtype == np.float16
    back = faces_of(arrays, "judge/after")
    assert back.vectors.dtype == np.float32 and np.array_equal(back.vectors, vectors)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "does not exist"), (b"text", "not a zip archive"), ("folder", "cannot be read")]
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path, content, words):
    path = tmp_path / "one.npz"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableEvidence, match=rf"^one\.npz .*{words}") as refused, opened(path):
        pass
    assert "\n" not in str(refused.value)


def test_a_missing_array_is_named_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "one.npz", a=np.ones(2))
    with pytest.raises(UnreadableEvidence, match=r"^one\.npz has no array b$"), opened(tmp_path / "one.npz") as arrays:
        assert arrays["a"].sum() == 2 and arrays["b"] is None
    np.savez(tmp_path / "two.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UnreadableEvidence, match="never unpickled"), opened(tmp_path / "two.npz") as arrays:
        arrays["a"]
