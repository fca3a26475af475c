"""Who is given what next: blocks of samples first, then cases whose people a worker knows."""

import dataclasses

import numpy as np
import pytest

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.engine.plan import Case, cases, describe
from guidebench.engine.work import Block, Work, blocks_of
from guidebench.testbeds.linear import LinearTestbed

SMOKE = protocols.load("smoke").resolve("linear", identities=3, samples=100)


@pytest.fixture(scope="module")
def planned():
    """Two methods on three people each, person by person."""
    entrants = [chosen.choose(name, "linear") for name in ("guide", "mean-latent")]
    return cases([SMOKE], entrants, describe(Bench(LinearTestbed()), [SMOKE]))


@pytest.mark.parametrize(("batch", "starts"), [(16, [0, 32, 64, 96]), (12, [0, 24, 48, 72, 96]), (64, [0, 64])])
def test_blocks_are_whole_batches_and_cover_the_samples_of_each_protocol_once(planned, batch, starts):
    blocks = blocks_of(planned, batch)
    assert [block.start for block in blocks] == starts
    assert [block.stop for block in blocks] == [*starts[1:], 100]
    other = dataclasses.replace(planned[0], spec=dataclasses.replace(planned[0].spec, protocol=wider()))
    assert {block.protocol.digest() for block in blocks_of([*planned, other], batch)} == {
        SMOKE.digest(),
        wider().digest(),
    }
    assert blocks_of([], batch) == []


def test_attacks_on_what_is_recorded_need_no_samples(planned):
    attacks = [dataclasses.replace(case, only_attacks=True) for case in planned]
    assert blocks_of(attacks, 32) == [] and blocks_of([*attacks, planned[0]], 32) == blocks_of(planned, 32)


def wider():
    return dataclasses.replace(SMOKE, views=5)


def test_no_case_begins_before_all_samples_are_there(planned):
    """A block that is put back, because its worker died, goes first."""
    blocks = [Block(SMOKE, start, start + 50) for start in (0, 50)]
    work = Work(planned, blocks)
    first, second = work.next("a"), work.next("b")
    assert [first, second] == blocks and work.next("c") is None and work.waiting
    work.take(second, np.ones((50, 2)))
    assert work.samples_done == (50, 100) and work.next("b") is None
    work.put_back(first)
    assert work.next("b") is first
    work.take(first, np.zeros((50, 2)))
    assert isinstance(work.next("b"), Case)
    features = work.source_samples(SMOKE).features
    assert features.shape == (100, 2) and not features[:50].any() and features[50:].all()


def test_without_blocks_workers_compute_samples_themselves(planned):
    work = Work(planned)
    assert work.next("a") is planned[0] and work.source_samples(SMOKE) is None


def test_a_worker_goes_on_with_people_it_knows_then_with_people_nobody_knows_then_with_any(planned):
    work = Work(planned)

    def given(worker):
        case = work.next(worker)
        return None if case is None else (case.spec.method.label, case.index)

    assert given("a") == ("guide", 0)
    assert given("b") == ("guide", 1)
    assert given("a") == ("mean-latent", 0)
    assert given("a") == ("guide", 2)
    assert given("c") == ("mean-latent", 1), "nobody is idle because somebody else knows the people"
    assert given("b") == ("mean-latent", 2)
    assert given("a") is None and not work.waiting


def test_people_whom_a_dead_worker_knew_are_nobodys(planned):
    work = Work(planned)
    work.next("a"), work.next("b")
    work.forget("a")
    assert work.next("c").index == 0
