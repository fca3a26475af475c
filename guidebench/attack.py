"""The attack interface: whoever is not shown any more may be forgotten, or merely hidden. An attack tries to find out.

An attack is a frozen dataclass with one function. It gets the unlearned generator and what its threat model allows, and
hands back findings: codes, generators or views that are rendered and judged like everybody's. It meets no judge.

    @dataclass(frozen=True)
    class Mine(Attack):
        name = "mine"
        knows = Knowledge(access="queries", photos=1)
        steps: int = 100

        def run(self, generator, target, context):
            ...
            return [Finding(at=self.steps, code=code)]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from guidebench.noise import Noise
from guidebench.seeds import Streams
from guidebench.settings import Settable
from guidebench.testbed import Generator, Inverter, PerceptualDistance, Recognizer

MOST_FINDINGS = 8  # that one attack may hand back per person: the best one counts, so that more would be better luck

Control = Literal["original", "other"]


@dataclass(frozen=True)
class Knowledge:
    """What an attacker has: the threat model."""

    access: Literal["queries", "weights"] = "weights"  # renders alone, or everything that the generator consists of
    photos: int = 0  # photographs of the person at most, the forgotten one first; 0: none
    code: bool = False  # the latent code by which the person was forgotten
    others: int = 0  # photographs of other people at most, one of each
    original: bool = False  # the generator before unlearning

    def in_words(self) -> str:
        """For tables and lists."""
        parts = ["weights" if self.access == "weights" else "queries only"]
        if self.photos:
            parts.append("a photograph" if self.photos == 1 else f"{self.photos} photographs")
        if self.code:
            parts.append("the forgotten code")
        if self.others:
            parts.append(f"{self.others} photographs of others")
        if self.original:
            parts.append("the original generator")
        return ", ".join(parts)


@dataclass(frozen=True)
class Target:
    """Whom an attack is after, as far as its `Knowledge` goes."""

    identity: str
    photos: Tensor | None  # (k, 3, r, r) in [-1, 1]: 1 to `Knowledge.photos` of them
    code: Tensor | None  # (num_ws, w_dim)
    others: Tensor | None  # (k, 3, r, r): other people, one photograph each


@dataclass(frozen=True)
class AttackContext:
    """What every attack may use: players, never a judge."""

    inverter: Inverter
    recognizer: Recognizer  # the training recogniser; differentiable
    perceptual: PerceptualDistance
    camera: Tensor | None  # (1, 25): the frontal view of the protocol; None for a 2-D generator
    pitch: float  # of the protocol's views, radians
    original: Generator | None  # if the attack knows it
    streams: Streams  # of this person, seed and attack
    device: torch.device

    def noise(self, purpose: str, *index: int) -> Noise:
        """Fresh random numbers for a purpose and an index, such as a step."""
        return Noise.random(self.streams.key(purpose, *index))

    def cameras(self, count: int) -> Tensor | None:
        """(count, 25) times the frontal view; None for a 2-D generator."""
        return None if self.camera is None else self.camera.expand(count, -1)


@dataclass(frozen=True, eq=False)
class Finding:
    """Something that may show the person. What is left out is as in the trial."""

    at: float  # what it took, such as steps, or how strong it is: `Attack.unit`
    code: Tensor | None = None  # (num_ws, w_dim); None: the forgotten code
    generator: Generator | None = None  # None: the attacked one
    views: tuple[tuple[float, float], ...] = ()  # yaw and pitch in radians, as in protocols; (): the protocol's


class Attack(Settable, ABC):
    """An attack. Subclasses are frozen dataclasses; every field is a recorded setting."""

    plugin_kind = "attack"
    knows: ClassVar[Knowledge] = Knowledge()
    unit: ClassVar[str] = "steps"  # of `Finding.at`
    # On what it is run for comparison, too: the same person on the original generator; another person, who was not
    # forgotten, on the unlearned one.
    controls: ClassVar[frozenset[Control]] = frozenset({"original", "other"})
    # True: it can show people whom the generator never knew. Then only the gap to its controls says something, and it
    # does not enter the worst case.
    shows_anybody: ClassVar[bool] = False
    needs_cameras: ClassVar[bool] = False  # True: it looks from other sides, which a 2-D generator does not have
    curve: ClassVar[bool] = False  # True: findings are of growing `Finding.at`, one generator on its way

    @abstractmethod
    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """One to `MOST_FINDINGS` findings, as many for every person and generator.

        generator: a private copy in eval mode, with gradients off for all parameters. With access to queries alone it
        only renders, without gradients.
        """
