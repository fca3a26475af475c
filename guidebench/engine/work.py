"""What there is to do in a run, and what a free worker is given next, so that no worker computes what another one has.

First the original generator's samples of every protocol, in blocks that are shared out; when all are there, the cases.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from guidebench.engine.plan import Case
from guidebench.protocol import Protocol

_BLOCK = 32  # samples in a block, about


@dataclass(frozen=True)
class Block:
    """Some of the original generator's samples under a protocol."""

    protocol: Protocol
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class SourceSamples:
    """All of them, in order."""

    protocol: Protocol
    features: np.ndarray  # (n, d)


def blocks_of(cases: Sequence[Case], batch: int) -> list[Block]:
    """The samples that cases need, in multiples of a testbed's batch: batches are composed alike in any block.

    Attacks on what is recorded need none.
    """
    protocols = {case.spec.protocol.digest(): case.spec.protocol for case in cases if not case.only_attacks}
    step = max(1, _BLOCK // batch) * batch
    return [
        Block(protocol, start, min(start + step, protocol.samples))
        for protocol in protocols.values()
        for start in range(0, protocol.samples, step)
    ]


class Work:
    """Blocks and cases that wait; blocks that were computed; which workers know which people."""

    def __init__(self, cases: Sequence[Case], blocks: Sequence[Block] = ()) -> None:
        """blocks: () if workers are to compute samples themselves."""
        self._blocks = deque(blocks)
        self._expected = dict.fromkeys(blocks)
        self._computed: dict[Block, np.ndarray] = {}
        self._cases: dict[Hashable, deque[Case]] = {}  # by people
        for case in cases:
            self._cases.setdefault(_people(case), deque()).append(case)
        self._known: dict[Hashable, list[Hashable]] = {}  # worker -> people, the latest last

    @property
    def waiting(self) -> bool:
        """Whether anything has not been given to a worker yet."""
        return bool(self._blocks or self._cases)

    @property
    def samples_done(self) -> tuple[int, int]:
        """How many of the original generator's samples are there, and of how many."""
        done, total = (sum(block.stop - block.start for block in some) for some in (self._computed, self._expected))
        return done, total

    def next(self, worker: Hashable) -> Block | Case | None:
        """What a worker is to do; None: nothing yet, or no more.

        Of the cases, one whose people the worker has had; else of people whom nobody has had; else the first.
        """
        if self._blocks:
            return self._blocks.popleft()
        if len(self._computed) < len(self._expected) or not self._cases:
            return None
        own = self._known.setdefault(worker, [])
        taken = {people for known in self._known.values() for people in known}
        wanted = (*reversed(own), *(people for people in self._cases if people not in taken), *self._cases)
        chosen = next(people for people in wanted if people in self._cases)
        if chosen not in own:
            own.append(chosen)
        case = self._cases[chosen].popleft()
        if not self._cases[chosen]:
            del self._cases[chosen]
        return case

    def put_back(self, block: Block) -> None:
        """A block that was given to a worker and is to be computed by another one."""
        self._blocks.appendleft(block)

    def take(self, block: Block, features: np.ndarray) -> None:
        """A block's features (stop - start, d)."""
        self._computed[block] = features

    def forget(self, worker: Hashable) -> None:
        """A worker is no more, and what it knew of people with it."""
        self._known.pop(worker, None)

    def source_samples(self, protocol: Protocol) -> SourceSamples | None:
        """The whole for a protocol; None: workers are to compute it themselves."""
        digest = protocol.digest()
        parts = [self._computed[block] for block in self._expected if block.protocol.digest() == digest]
        return SourceSamples(protocol, np.concatenate(parts)) if parts else None


def _people(case: Case) -> Hashable:
    return case.spec.protocol.digest(), case.index
