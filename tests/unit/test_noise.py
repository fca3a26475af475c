"""Where a generator's random numbers come from: nothing moves them but their stream."""

import pytest
import torch

from guidebench import seeds
from guidebench.noise import Noise, PerCodeNoise, SlicedNoise


def test_parts_of_a_batch_get_the_noise_of_the_whole():
    """Two draws with rows of their own (three a code, then one), and between them one that the batch shares."""

    def draws(noise, count):
        return [noise.uniform((3 * count, 2)), noise.normal((1, 4)), noise.normal((count, 2))]

    whole = draws(Noise.random(seeds.stream("whole")), 5)
    sliced = SlicedNoise(Noise.random(seeds.stream("whole")), 5)
    parts = [draws(sliced.rows(start, count), count) for start, count in ((0, 2), (2, 2), (4, 1))]
    rows, shared, more = zip(*parts, strict=True)
    assert torch.equal(torch.cat(rows), whole[0]) and torch.equal(torch.cat(more), whole[2])
    assert all(torch.equal(each, whole[1]) for each in shared)
    assert SlicedNoise(Noise.constant(), 5).rows(2, 2).is_constant


def test_constant_noise_is_mid_bin_and_has_no_normal_draws():
    constant = Noise.constant()
    assert constant.is_constant and torch.equal(constant.uniform((2, 3)), torch.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="stored"):
        constant.normal((1,))


def test_random_noise_is_its_stream_which_advances():
    noise = Noise.random(seeds.stream("noise"))
    rng = seeds.stream("noise")
    assert not noise.is_constant
    assert torch.equal(noise.normal((2, 3)), torch.randn(2, 3, generator=rng))
    assert torch.equal(noise.uniform((4,)), torch.rand(4, generator=rng))


def test_streams_in_equal_states_give_two_generators_the_same_noise():
    first, second = (Noise.random(seeds.stream("shared")) for _ in range(2))
    assert torch.equal(first.normal((5,)), second.normal((5,)))


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_a_codes_noise_does_not_depend_on_its_neighbours_in_the_batch(draw):
    """Three rows a code (rays, say): each code takes them from its own stream, in whatever company."""
    batch = PerCodeNoise([seeds.stream("code", index) for index in range(4)])
    alone = PerCodeNoise([seeds.stream("code", 2)])
    together = getattr(batch, draw)((12, 5))
    assert torch.equal(together[6:9], getattr(alone, draw)((3, 5)))
    assert not torch.equal(together[6:9], together[3:6])


@pytest.mark.parametrize("draw", ["normal", "uniform"])
def test_what_a_batch_shares_comes_from_the_first_codes_stream(draw):
    """A draw of one row cannot be divided among four codes."""
    batch = PerCodeNoise([seeds.stream("code", index) for index in range(4)])
    assert torch.equal(getattr(batch, draw)((1, 5)), getattr(Noise.random(seeds.stream("code", 0)), draw)((1, 5)))


def test_parts_of_a_batch_of_codes_with_streams_of_their_own_get_the_noise_of_the_whole():
    def streams():
        return PerCodeNoise([seeds.stream("code", index) for index in range(4)])

    whole = streams().normal((8, 3))
    sliced = SlicedNoise(streams(), 4)
    parts = [sliced.rows(start, 2).normal((4, 3)) for start in (0, 2)]
    assert torch.equal(torch.cat(parts), whole)
