"""Draws depend on names and indices, on nothing else."""

import random

import numpy as np
import torch

from guidebench import seeds


def test_the_first_rows_of_many_draws_are_the_draws_of_few():
    many, few = seeds.normals(range(40), 8, "p", 1, "fid"), seeds.normals(range(13), 8, "p", 1, "fid")
    assert torch.equal(many[:13], few)


def test_a_row_does_not_depend_on_the_batch_it_is_drawn_in():
    assert torch.equal(seeds.normals([7], 8, "p"), seeds.normals(range(10), 8, "p")[7:8])
    assert torch.equal(seeds.uniforms([7], -1, 1, "p"), seeds.uniforms(range(10), -1, 1, "p")[7:8])


def test_different_names_give_unrelated_draws():
    draws = torch.stack([seeds.normals([0], 64, *names)[0] for names in (("a",), ("b",), ("a", 1), ("a", "1"))])
    cosine = torch.nn.functional.normalize(draws, dim=1) @ torch.nn.functional.normalize(draws, dim=1).T
    assert (cosine - torch.eye(4)).abs().max() < 0.6  # 5 sigma of 64 numbers


def test_uniforms_fill_their_range_and_no_more():
    draws = seeds.uniforms(range(2000), -0.3, 0.5, "u")
    assert draws.min() >= -0.3 and draws.max() < 0.5
    assert abs(float(draws.mean()) - 0.1) < 0.03  # sigma of the mean is 0.005


def test_the_global_generators_are_seeded_within_and_restored_after():
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    inside = []
    for _ in range(2):
        with seeds.global_seed("trial", 0):
            inside.append((float(torch.rand(())), float(np.random.rand()), random.random()))
    assert inside[0] == inside[1]
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1]) and random.random() == expected[2]
