"""Where a generator's random numbers come from: nothing moves them but their key."""

import pytest
import torch

from guidebench import splitmix
from guidebench.noise import Noise

DRAWS = ["normal", "uniform"]


def test_constant_noise_is_mid_bin_and_has_no_normal_draws():
    constant = Noise.constant()
    assert constant.is_constant and torch.equal(constant.uniform((2, 3)), torch.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="stored"):
        constant.normal((1,))
    assert constant.split(5).is_constant and constant.rows(2, 2).is_constant


def test_random_noise_is_the_stream_of_its_key_which_advances():
    noise, key = Noise.random(7), torch.tensor([7])
    assert not noise.is_constant
    assert torch.equal(noise.normal((2, 3)), splitmix.normals(key, 0, 3).view(2, 3))
    assert torch.equal(noise.uniform((4,)), splitmix.uniforms(key, 3, 2)[0])
    assert torch.equal(noise.uniform((3,)), splitmix.uniforms(key, 5, 2)[0, :3]), "an odd draw leaves half a word"
    assert torch.equal(noise.uniform(()), splitmix.uniforms(key, 7, 1)[0, 0]), "and a scalar, too"


def test_noise_of_one_key_gives_two_generators_the_same_numbers():
    first, second, other = (Noise.random(key).normal((5,)) for key in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_rows_noise_does_not_depend_on_its_neighbours_in_the_batch(draw):
    """Three entries for each row (rays, say), then one: each row takes them from its own key, in whatever company."""
    batch, alone = Noise.random(10, 11, 12, 13), Noise.random(12)
    for entries in (3, 1):
        together = getattr(batch, draw)((4 * entries, 5))
        rows = slice(2 * entries, 3 * entries)
        assert torch.equal(together[rows], getattr(alone, draw)((entries, 5)))
        assert not torch.equal(together[rows], together[:entries])


@pytest.mark.parametrize("draw", DRAWS)
def test_what_a_batch_shares_comes_from_the_first_rows_key(draw):
    """A draw of one entry cannot be divided among four rows."""
    assert torch.equal(getattr(Noise.random(10, 11, 12, 13), draw)((1, 5)), getattr(Noise.random(10), draw)((1, 5)))


def test_parts_of_a_batch_get_the_noise_of_the_whole():
    """Also where the rows shared one key until now."""
    for whole in (Noise.random(10, 11, 12, 13, 14), Noise.random(10).split(5)):
        parts = [whole.rows(start, count) for start, count in ((0, 2), (2, 2), (4, 1))]
        for entries in (3, 1):
            together = whole.normal((5 * entries, 2))
            counts = (2, 2, 1)
            drawn = [part.normal((count * entries, 2)) for part, count in zip(parts, counts, strict=True)]
            assert torch.equal(torch.cat(drawn), together)


@pytest.mark.parametrize("keys", [(7,), (7, 8)])
def test_draws_that_are_made_together_are_those_of_single_calls(keys):
    """Odd sizes leave half a word each; what the batch shares is drawn by itself."""
    for shapes in ([(2, 3), (4, 1), (2, 5)], [(2, 3), (1, 3)]):
        together, single = Noise.random(*keys), Noise.random(*keys)
        for found, shape in zip(together.normals(shapes), shapes, strict=True):
            assert torch.equal(found, single.normal(shape))
        assert torch.equal(together.uniform((2,)), single.uniform((2,))), "both are at the same place"


def test_a_split_draws_new_keys_and_moves_on():
    noise = Noise.random(10)
    first, second = (noise.split(3).normal((3, 4)) for _ in range(2))
    assert not torch.equal(first, second) and len(first.unique()) == 12
