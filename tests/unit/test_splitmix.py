"""Numbers of a key and a place: known answers, and that nothing depends on how they are asked for."""

import math

import pytest
import torch

from guidebench import splitmix

# The first words of two keys, as the reference implementation in C prints them (Vigna, prng.di.unimi.it/splitmix64.c).
KNOWN = {
    1234567: [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ],
    0: [16294208416658607535, 7960286522194355700, 487617019471545679],
}


def as_python(key: int, place: int) -> int:
    """The same word in Python's whole numbers."""
    bits = (key + (place + 1) * 0x9E3779B97F4A7C15) % 2**64
    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EB % 2**64
    return bits ^ bits >> 31


@pytest.mark.parametrize("key", KNOWN)
def test_words_are_the_known_ones(key):
    found = splitmix.words(torch.tensor([key]), 0, len(KNOWN[key]))[0].tolist()
    assert [word % 2**64 for word in found] == KNOWN[key] == [as_python(key, i) for i in range(len(KNOWN[key]))]


def test_words_of_many_keys_and_places_are_those_of_whole_numbers():
    keys = [3, -5, 2**62 + 1, -(2**63)]
    found = splitmix.words(torch.tensor(keys), 10**9, 300)
    for row, key in zip(found.tolist(), keys, strict=True):
        assert [word % 2**64 for word in row] == [as_python(key, 10**9 + i) for i in range(300)]


def test_uniforms_are_the_upper_bits_of_both_halves_of_a_word():
    found = splitmix.uniforms(torch.tensor([1234567]), 2, 2)[0].tolist()
    words = KNOWN[1234567][2:4]
    assert found == [bits / 2**24 for word in words for bits in (word >> 40, word % 2**32 >> 8)]


def test_normals_are_box_and_mullers_of_both_halves_of_a_word():
    found = splitmix.normals(torch.tensor([1234567]), 2, 2)[0].tolist()
    expected = []
    for word in KNOWN[1234567][2:4]:
        radius = math.sqrt(-2 * math.log(((word >> 32) + 1) / 2**32))
        angle = 2 * math.pi * (word % 2**32 >> 8) / 2**24
        expected += [radius * math.cos(angle), radius * math.sin(angle)]
    assert found == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("numbers", [splitmix.uniforms, splitmix.normals])
def test_numbers_depend_on_key_and_place_alone(numbers):
    """Also where there are so many that they are made in parts."""
    keys = torch.arange(5) * 977
    whole = numbers(keys, 0, 70_000)
    assert whole.shape == (5, 140_000)
    assert torch.equal(numbers(keys[3:4], 0, 70_000), whole[3:4])
    assert torch.equal(numbers(keys, 40_000, 100), whole[:, 80_000:80_200])
    assert torch.equal(numbers(keys, 0, 3), whole[:, :6])


def test_numbers_have_the_distributions_of_their_names():
    """Means, spreads and tails of a million, within five standard errors; neither repeats nor leaves its range."""
    keys, count = torch.arange(4), 1_000_000
    uniforms, normals = splitmix.uniforms(keys, 0, count // 8).double(), splitmix.normals(keys, 0, count // 8).double()
    assert uniforms.min() >= 0 and uniforms.max() < 1 and bool(normals.isfinite().all())
    assert float(uniforms.mean()) == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / count))
    assert float(uniforms.var()) == pytest.approx(1 / 12, abs=5 * math.sqrt(1 / 180 / count))
    assert float(normals.mean()) == pytest.approx(0, abs=5 / math.sqrt(count))
    assert float(normals.var()) == pytest.approx(1, abs=5 * math.sqrt(2 / count))
    assert float((normals.abs() > 3).double().mean()) == pytest.approx(0.0027, abs=5 * math.sqrt(0.0027 / count))
    for rows in (uniforms, normals):
        pairs = (rows[:, ::2] - rows.mean()) * (rows[:, 1::2] - rows.mean()) / rows.var()
        assert float(pairs.mean()) == pytest.approx(0, abs=5 / math.sqrt(count / 2)), "halves of a word are unrelated"
