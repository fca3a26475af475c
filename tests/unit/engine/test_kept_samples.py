"""The original generator is sampled once per directory of results, and never believed unseen."""

import logging

import numpy as np
import pytest

from guidebench import protocol as protocols
from guidebench.engine.bench import Bench
from guidebench.store.originals import Originals
from guidebench.testbeds.linear import LinearTestbed

SMOKE = protocols.load("smoke").resolve("linear")


@pytest.fixture
def bench_of(tmp_path, monkeypatch):
    """A bench that keeps samples in one folder and counts those that it renders."""

    def build(**facts):
        bench = Bench(LinearTestbed())
        bench.originals, bench.rendered = Originals(tmp_path / "shared", facts), []
        render = bench._of_original

        def counted(protocol, indices, *, public):
            bench.rendered += indices
            return render(protocol, indices, public=public)

        monkeypatch.setattr(bench, "_of_original", counted)
        return bench

    return build


def test_the_next_one_renders_a_batch_to_see_that_they_are_the_same(bench_of):
    first, second, other = bench_of(), bench_of(), bench_of(device="another")
    whole = [bench.source_samples(SMOKE).features for bench in (first, second, other)]
    assert np.array_equal(whole[0], whole[1]) and np.array_equal(whole[0], whole[2])
    assert first.rendered == other.rendered == list(range(SMOKE.samples))
    assert 0 < len(second.rendered) <= second.testbed.batch < SMOKE.samples


def test_workers_take_their_blocks_from_what_is_kept(bench_of):
    whole = bench_of().source_samples(SMOKE).features
    worker = bench_of()
    blocks = [worker.source_features(SMOKE, range(start, start + worker.testbed.batch)) for start in (0, 2)]
    assert np.array_equal(blocks[0], whole[: worker.testbed.batch]) and np.array_equal(blocks[1][0], whole[2])
    assert len(worker.rendered) <= worker.testbed.batch, "one check for all"


def test_samples_that_the_generator_does_not_render_are_not_believed(bench_of, caplog):
    planted = bench_of()
    whole = planted.source_features(SMOKE, range(SMOKE.samples))
    planted.share_source_samples(SMOKE, whole + 0.01 * np.abs(whole).max())
    bench = bench_of()
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(bench.source_samples(SMOKE).features, whole)
    assert "rendering them again" in caplog.text
    assert np.array_equal(bench.originals.get(SMOKE), whole), "the next one finds the right ones"
