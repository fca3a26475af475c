"""Digests: equal for equal content however it is laid out, different for any difference that counts."""

import hashlib

import numpy as np
import pytest
import torch

from guidebench import digest


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 10**6)
    expected = hashlib.sha256(b"abc" * 10**6).hexdigest()
    assert digest.of_file(tmp_path / "file") == digest.of_bytes(b"abc" * 10**6) == expected


def test_the_order_of_keys_does_not_count_and_that_of_lists_does():
    assert digest.of_data({"a": 1, "b": [1, 2]}) == digest.of_data({"b": [1, 2], "a": 1})
    assert digest.of_data({"b": [1, 2]}) != digest.of_data({"b": [2, 1]})


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, "1"), (None, ""), (True, 1), ({}, []), ("é", "e\u0301")])
def test_values_that_look_alike_differ(one, other):
    assert digest.of_data([one]) != digest.of_data([other])


def test_what_is_no_data_is_refused():
    with pytest.raises(TypeError):
        digest.of_data({"a": object()})
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError):
            digest.of_data([value])


def both(kind):
    """The digest of named tensors, or of named arrays."""
    return digest.of_tensors if kind is torch else digest.of_arrays


@pytest.mark.parametrize("library", [torch, np], ids=["tensors", "arrays"])
def test_names_types_shapes_and_contents_count_and_order_does_not(library):
    of, ones = both(library), library.ones((2, 3), dtype=library.float32)
    usual = of({"a": ones, "b": ones * 2})
    assert usual == of({"b": ones * 2, "a": ones})
    changed = ones * 1
    changed[1, 2] = 1.0000001
    others = [
        {"a": ones, "c": ones * 2},
        {"a": ones.reshape(3, 2), "b": ones * 2},
        {"a": library.asarray(ones, dtype=library.float64), "b": ones * 2},
        {"a": changed, "b": ones * 2},
        {"a": ones * 2, "b": ones},
        {"a": ones},
    ]
    assert len({usual, *map(of, others)}) == 1 + len(others)


@pytest.mark.parametrize("library", [torch, np], ids=["tensors", "arrays"])
def test_the_layout_in_memory_does_not_count(library):
    rows = library.arange(6).reshape(2, 3)
    other = library.asarray(rows.T.reshape(-1)).reshape(3, 2).T  # the same numbers, another order in memory
    assert both(library)({"a": rows}) == both(library)({"a": other})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.int64, torch.complex64], ids=str)
def test_tensors_of_every_type_and_shape_have_a_digest(dtype):
    """numpy has no bfloat16, and a number has no axis."""
    values = [torch.tensor(value).to(dtype) for value in (0, 1)]
    stacked = [torch.stack(values), torch.empty(0, dtype=dtype)]
    assert len({digest.of_tensors({"a": value}) for value in (*values, *stacked)}) == 4


def test_a_type_that_numpy_has_keeps_the_digest_that_records_hold():
    """Pinned: sha256 of 'a|torch.float32|(2,)|' and the eight bytes of 1 and 2, little-endian."""
    text = b"a|torch.float32|(2,)|" + np.array([1, 2], "<f4").tobytes()
    assert digest.of_tensors({"a": torch.tensor([1.0, 2.0])}) == hashlib.sha256(text).hexdigest()


def test_a_module_is_its_parameters_and_buffers():
    module = torch.nn.BatchNorm1d(2)
    before = digest.of_module(module)
    assert digest.of_module(module.eval()) == before
    module(torch.zeros(3, 2))
    assert digest.of_module(module) == before
    module.train()(torch.randn(3, 2))  # moves the running mean
    assert digest.of_module(module) != before
