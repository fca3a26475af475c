"""Snapshots of a generator in training: when they are taken, and that they are what it was then."""

from __future__ import annotations

import pytest
import torch

from guidebench.engine.snapshots import Kept, Snapshots
from guidebench.engine.wire import tensors_from_bytes
from guidebench.errors import StorageError
from guidebench.testbeds.linear import LinearGenerator

BIAS = "backbone.coarse.bias"


@pytest.fixture
def generator():
    return LinearGenerator().requires_grad_(False)


@pytest.mark.parametrize(
    ("every", "reported", "taken"),
    [
        (1, [1, 2, 3], [1, 2, 3]),
        (5, range(1, 13), [5, 10]),
        (5, [4, 8, 12, 16], [8, 12, 16]),  # the first report after every fifth step
        (5, [3, 30, 31], [30]),
        (50, range(1, 13), []),
        (None, range(1, 13), []),
    ],
)
def test_one_is_taken_at_the_first_report_after_every_so_many_steps(generator, every, reported, taken):
    found = []
    snapshots = Snapshots(every, lambda step, weights: found.append(step))
    snapshots.begin(generator)
    for step in reported:
        snapshots.look(step)
    assert found == taken and (snapshots.seconds > 0) == bool(taken)


def test_steps_count_from_the_beginning_of_each_request(generator):
    found = []
    snapshots = Snapshots(2, lambda step, weights: found.append(step))
    snapshots.look(2)  # before there is anything to look at
    for _ in range(2):
        snapshots.begin(generator)
        assert snapshots.seconds == 0
        for step in (1, 2, 3):
            snapshots.look(step)
    assert found == [2, 2]


def test_what_is_kept_is_the_generator_of_that_step(generator, tmp_path):
    kept = Kept(tmp_path, 1)
    snapshots = Snapshots(kept.every, kept.take)
    snapshots.begin(generator)
    before = generator.get_parameter(BIAS).clone()
    for step in (1, 2, 10):
        generator.get_parameter(BIAS).copy_(before + step)
        snapshots.look(step)
    assert kept.steps == [1, 2, 10]
    for step in kept.steps:
        state = tensors_from_bytes(kept.weights(step))
        assert state.keys() == generator.state_dict().keys() and torch.equal(state[BIAS], before + step)
    assert snapshots.are_of(generator) and not snapshots.are_of(LinearGenerator())


def test_a_disk_that_takes_nothing_is_named(tmp_path):
    with pytest.raises(StorageError, match="absent"):
        Kept(tmp_path / "absent", 1).take(1, b"")
