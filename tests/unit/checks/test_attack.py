"""`guidebench check` of an attack: what ships passes, and each broken promise is one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from guidebench import registry
from guidebench.attack import Attack, Finding, Knowledge
from guidebench.checks.attack import check_attack
from guidebench.checks.plugin import check_plugin
from guidebench.commands.new import new_attack


def failed(spec):
    return {finding.name: finding.detail for finding in check_plugin(spec) if not finding.ok}


def of(kind):
    return f"{__name__}:{kind.__name__}"


@pytest.mark.parametrize("name", registry.attacks())
def test_every_attack_that_ships_passes(name):
    assert failed(name) == {}


def test_what_new_writes_passes(tmp_path):
    assert failed(new_attack("my-first_idea", tmp_path).spec) == {}


@dataclass(frozen=True)
class Honest(Attack):
    """Hands back the average code."""

    name = "honest"
    knows = Knowledge(access="queries")
    steps: int = 3

    def run(self, generator, target, context) -> Sequence[Finding]:
        return [Finding(at=self.steps, code=generator.w_avg.expand(generator.num_ws, -1))]


@dataclass(frozen=True)
class Restless(Honest):
    """Draws from a generator of its own, so that no two runs are alike."""

    name = "restless"

    def run(self, generator, target, context):
        return [Finding(at=1, code=torch.randn(generator.num_ws, generator.w_dim, generator=_OWN))]


_OWN = torch.Generator().manual_seed(3)


@dataclass(frozen=True)
class Unordered(Honest):
    """A curve that runs backwards."""

    name = "unordered"
    curve = True

    def run(self, generator, target, context):
        return [Finding(at=2), Finding(at=1)]


@dataclass(frozen=True)
class OutOfBounds(Honest):
    """A default that its own bounds forbid."""

    name = "out-of-bounds"
    bounds = {"steps": (5, 10)}


@dataclass(frozen=True)
class Empty(Honest):
    """Finds nothing."""

    name = "empty"

    def run(self, generator, target, context):
        return []


def test_an_honest_attack_passes_and_says_what_it_knows():
    found = {finding.name: finding for finding in check_attack(of(Honest))}
    assert all(finding.ok for finding in found.values())
    assert found["knows"].detail == "queries only" and "1 finding per person" in found["finds"].detail


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Restless, "repeats", ["context.noise"]),
        (Unordered, "curve", ["2, 1", "order them"]),
        (OutOfBounds, "fields", ["steps=3", "5", "10"]),
        (Empty, "finds", ["found nothing"]),
    ],
)
def test_a_broken_promise_is_one_line(kind, name, words):
    (broken,) = failed(of(kind)).items()
    assert broken[0] == name and all(word in broken[1] for word in words) and "\n" not in broken[1]


def test_a_name_that_is_nobodys_is_one_line():
    assert set(failed("reinvrt")) == {"loads"} and "reinvert" in failed("reinvrt")["loads"]
