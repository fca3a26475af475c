"""The attack interface: threat models in words, what an attack is handed, and what it hands back unless it says so."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from guidebench.attack import Attack, AttackContext, Finding, Knowledge
from guidebench.seeds import Streams


@pytest.mark.parametrize(
    ("knows", "words"),
    [
        (Knowledge(), "weights"),
        (Knowledge(access="queries"), "queries only"),
        (Knowledge(photos=1, code=True), "weights, a photograph, the forgotten code"),
        (Knowledge(access="queries", photos=2, others=3), "queries only, 2 photographs, 3 photographs of others"),
        (Knowledge(original=True), "weights, the original generator"),
    ],
)
def test_a_threat_model_is_put_into_words(knows, words):
    assert knows.in_words() == words


@pytest.fixture
def context():
    players = dict.fromkeys(("inverter", "recognizer", "perceptual", "original"))
    streams, device = Streams(("somebody", 3, "attack/mine")), torch.device("cpu")
    return AttackContext(**players, camera=torch.ones(1, 25), pitch=0.1, streams=streams, device=device)


def test_noise_is_the_same_for_one_purpose_and_index_and_another_one_otherwise(context):
    def draw(*where):
        return float(context.noise(*where).normal((1,), torch.device("cpu")))

    draws = [draw("start"), draw("start", 1), draw("start", 2), draw("weights")]
    assert draw("start") == draws[0] and len(set(draws)) == 4


def test_the_frontal_view_comes_as_often_as_asked_for_and_not_for_2d(context):
    assert context.cameras(3).shape == (3, 25)
    assert dataclasses.replace(context, camera=None).cameras(3) is None


def test_what_a_finding_leaves_out_is_as_in_the_trial():
    finding = Finding(at=3)
    assert (finding.code, finding.generator, finding.views) == (None, None, ())


def test_an_attack_is_compared_with_both_controls_unless_it_says_otherwise():
    assert Attack.controls == {"original", "other"} and not Attack.curve and not Attack.shows_anybody
    with pytest.raises(TypeError, match="run"):
        Attack()
