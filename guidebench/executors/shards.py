"""A part of a run's trials, for schedulers that guidebench does not know: the same command with 1/n, 2/n, … n/n."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guidebench.errors import BadInput

if TYPE_CHECKING:
    from guidebench.engine.plan import Case


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``of``, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        """As it was given."""
        return f"{self.number}/{self.of}"

    def take(self, planned: Sequence[Case]) -> list[Case]:
        """The part's cases, in their order.

        Cases are dealt out row by row in the order of their keys, so that every part has its share of each method. What
        is recorded already plays no role: parts of one command are disjoint and together complete, whenever they start.
        """
        dealt = sorted(planned, key=lambda case: (case.spec.protocol.name, case.spec.method.label, case.key))
        own = set(dealt[self.number - 1 :: self.of])
        return [case for case in planned if case in own]


def parse(text: object) -> Shard:
    """`Shard` of a text such as "3/8"; raises BadInput for any other.

    >>> parse("3/8")
    Shard(number=3, of=8)
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(text))
    if match is None:
        raise BadInput(f"shard = {text!r:.40}: give part/parts, such as 3/8")
    number, of = int(match[1]), int(match[2])
    if not 1 <= number <= of:
        raise BadInput(f"shard = {text}: parts are counted from 1, so give 1/{max(1, of)} to {max(1, of)}/{max(1, of)}")
    return Shard(number, of)
