"""A method in this process: what it reports, which numbers it draws, and what is said of its answer."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.unlearning import Progress, make_context
from guidebench.errors import MethodError
from guidebench.testbeds.linear import LinearTestbed

SMOKE = protocols.load("smoke").resolve("linear")
GROUPS = dataclasses.replace(SMOKE, identities=4, forget=2, requests=2, retain=2, retain_named=1, probe_photos=1)


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


def test_tensors_are_read_now_and_then_and_as_they_were():
    """A method may go on writing to a tensor that it reported; nothing is lost at the end."""
    rows, heard, loss = [], [], torch.zeros((), requires_grad=True)
    progress = Progress(2, rows, lambda step, scalars: heard.append(step), every=3)
    for step in range(1, 6):
        with torch.no_grad():
            loss.add_(1)
        progress(step, loss=loss * 2, lr=0.5)
        assert len(rows) == len(heard) == (0 if step < 3 else 3)
    progress.read()
    assert rows == [{"request": 2, "step": step, "loss": 2.0 * step, "lr": 0.5} for step in range(1, 6)]
    assert heard == [1, 2, 3, 4, 5]


def test_a_scalar_of_several_numbers_is_refused_at_once():
    with pytest.raises(MethodError, match=r"\(2,\).*one number"):
        Progress(1, [], lambda step, scalars: None, every=10)(1, loss=torch.zeros(2))


def test_a_loss_that_is_not_finite_is_seen_at_the_next_look():
    rows = []
    progress = Progress(1, rows, lambda step, scalars: None, every=2)
    progress(1, loss=torch.tensor(float("nan")))
    with pytest.raises(MethodError, match=r"diverged: loss = nan at step 1"):
        progress(2, loss=torch.tensor(1.0))
    assert [row["step"] for row in rows] == [1]


def test_methods_of_a_group_see_streams_of_its_people(bench):
    first, second = bench.cast(GROUPS, 0).requests
    single = bench.cast(SMOKE, 0).requests[0]
    prefixes = [
        make_context(bench.players, bench.testbed.device, SMOKE, request, 3, lambda step: None).streams.prefix
        for request in (first, second, single)
    ]
    assert prefixes[0] == (SMOKE.name, SMOKE.version, "celebahq-0000", "celebahq-0001", 3)
    assert prefixes[2] == (SMOKE.name, SMOKE.version, "celebahq-0000", 3) and len(set(prefixes)) == 3
