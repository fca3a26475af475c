"""Weight files and files of real photographs: damaged ones of every format, and pickles of any content."""

from __future__ import annotations

import argparse
import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from damage import EDITS, VALUES, answers, cases, damaged
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import save

from guidebench.networks import checkpoints
from guidebench.networks.loading import load_strictly
from guidebench.photos import real_images

STATE = OrderedDict(weight=torch.ones(2, 3), bias=torch.zeros(2))
OPCODES = some.sampled_from([bytes([code]) for code in range(256)])


def by_torch(content, **options) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def by_numpy(save_arrays, *arrays, **named) -> bytes:
    stream = io.BytesIO()
    save_arrays(stream, *arrays, **named)
    return stream.getvalue()


FILES = [
    by_torch(STATE),
    by_torch(STATE, _use_new_zipfile_serialization=False),
    by_torch({"state_dict": STATE, "opts": argparse.Namespace(lr=0.1)}),
    save(dict(STATE)),
    by_numpy(np.save, np.ones((2, 3), np.float32)),
    by_numpy(np.save, np.array({"weight": np.ones((2, 3))}, dtype=object)),
    pickle.dumps({"weight": np.ones((2, 3)), "more": [1, "two", {3.0}]}, protocol=2),
    pickle.dumps({"weight": np.ones((2, 3)), "more": [1, "two", {3.0}]}, protocol=5),
]
REAL = [
    by_numpy(np.save, np.eye(4, dtype=np.float32)),
    by_numpy(np.savez, features=np.eye(4), description=np.array("four")),
    by_numpy(np.savez_compressed, mean=np.zeros(4), covariance=np.eye(4), count=np.array(9)),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "weights.pt"


def load(path, content: bytes) -> None:
    path.write_bytes(content)
    with answers():
        tensors = checkpoints.state_dict(path)
        load_strictly(torch.nn.Linear(3, 2), tensors, path)


@cases(500)
@given(data=some.sampled_from(FILES), edits=EDITS)
def test_damaged_weights(path, data, edits):
    load(path, damaged(data, edits))


@cases(150)
@given(content=VALUES, protocol=some.integers(2, 5))
def test_pickles_of_any_content(path, content, protocol):
    try:
        data = pickle.dumps(content, protocol=protocol)
    except UnicodeEncodeError:  # half a character
        return
    load(path, data)


@cases(150)
@given(program=some.lists(OPCODES | some.binary(max_size=6), max_size=40).map(b"".join))
def test_pickles_of_any_instructions(path, program):
    load(path, b"\x80\x02" + program + b".")


@cases(200)
@given(data=some.sampled_from(REAL), edits=EDITS)
def test_damaged_statistics_of_photographs(path, data, edits):
    path.write_bytes(damaged(data, edits))
    with answers():
        real_images.read(path, dim=4)
