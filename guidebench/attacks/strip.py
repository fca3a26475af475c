"""Look behind the facade: weights alone, in the original's architecture, without what was built around or into it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from guidebench.attack import MOST_FINDINGS, Attack, AttackContext, Finding, Knowledge, Target
from guidebench.testbed import Generator


@dataclass(frozen=True)
class Strip(Attack):
    """Takes every complete set of the original's tensors that the generator carries and renders with it.

    Whoever ships weights ships them whole: a rule that answers some codes differently, an adapter or a second copy can
    be left out by whoever has them. Of the original generator only the architecture is used.
    """

    name = "strip"
    summary = "renders with the weights alone, without rules or added layers"
    knows = Knowledge(access="weights", code=True, original=True)
    unit = "tensors left out"
    controls = frozenset()

    def run(self, generator: Generator, target: Target, context: AttackContext) -> Sequence[Finding]:
        """A generator per set of tensors; the attacked one as it is if it has no more and no less than the original."""
        assert context.original is not None
        wanted, carried = context.original.state_dict(), generator.state_dict()
        if carried.keys() == wanted.keys():
            return [Finding(at=0)]
        found = []
        for within in _places(wanted, carried)[:MOST_FINDINGS]:
            bare = copy.deepcopy(context.original)
            bare.load_state_dict({name: carried[within + name] for name in wanted})
            found.append(Finding(at=len(carried) - len(wanted), generator=bare.eval().requires_grad_(False)))
        return found or [Finding(at=0)]


def _places(wanted: Mapping[str, Tensor], carried: Mapping[str, Tensor]) -> list[str]:
    """Prefixes under which every wanted tensor is carried, in its shape."""
    first = next(iter(wanted))
    prefixes = (name.removesuffix(first) for name in carried if name == first or name.endswith(f".{first}"))
    return [
        prefix
        for prefix in prefixes
        if all(prefix + name in carried and carried[prefix + name].shape == own.shape for name, own in wanted.items())
    ]
