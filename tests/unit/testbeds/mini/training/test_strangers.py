"""Thresholds: the cosine that few pairs of different people exceed."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from guidebench.testbeds.mini.training.strangers import Lineup, accepted, different_people


def lineup(people: int, renders: int, photographs: int) -> Lineup:
    each = torch.arange(people)
    person = torch.cat([each.repeat_interleave(renders), each.repeat_interleave(photographs)])
    photograph = torch.arange(len(person)) >= people * renders
    return Lineup(torch.zeros(len(person), 3, 1, 1, dtype=torch.uint8), person, photograph)


def test_all_pairs_of_different_people_with_a_render_count_once():
    """3 people with 2 renders and 1 photograph: 12 pairs of renders, 12 of a render and a photograph."""
    faces = lineup(3, 2, 1)
    vectors = torch.eye(3)[faces.person]
    found = different_people(vectors, faces, torch.Generator().manual_seed(0))
    assert found["pairs"] == 24 and found["mean"] == found["std"] == 0 == found["threshold"]
    assert found["threshold_interval"] == [0, 0]


def test_one_pair_of_a_thousand_exceeds_the_threshold():
    faces = lineup(100, 1, 1)
    vectors = functional.normalize(torch.randn(200, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    found = different_people(vectors, faces, torch.Generator().manual_seed(0))
    chosen = (~(faces.photograph[:, None] & faces.photograph[None])).triu(1)
    chosen &= faces.person[:, None] != faces.person[None]
    cosines = (vectors @ vectors.T)[chosen]
    assert found["pairs"] == len(cosines) == 100 * 99 // 2 + 100 * 99
    assert (cosines > found["threshold"]).double().mean() == pytest.approx(1e-3, abs=2e-4)
    low, high = found["threshold_interval"]
    assert low < found["threshold"] < high
    assert found["mean"] == pytest.approx(float(cosines.mean()), abs=1e-4)


def test_accepted_are_renders_like_another_photograph_of_the_person():
    faces = lineup(2, 1, 1)
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert accepted(vectors, faces, 0.5) == 0.5
