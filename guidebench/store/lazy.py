"""Parts of records that an index keeps as numbers or bytes, and turns into objects only where somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import msgspec
import numpy as np

from guidebench.metric import Score


@dataclass(frozen=True, eq=False)
class ScoreColumns:
    """The scores of several trials: what many share once, and per score who it is about and its value."""

    kinds: Sequence[Score]  # scores without identity and value
    identities: Sequence[str]
    kind: np.ndarray  # (n,) int32, places in `kinds`
    identity: np.ndarray  # (n,) int32, places in `identities`
    value: np.ndarray  # (n,) float64; NaN: none

    @classmethod
    def of(cls, scores: Sequence[Score]) -> ScoreColumns:
        """The columns of scores, in their order."""
        kinds: dict[tuple[Any, ...], int] = {}
        identities: dict[str, int] = {}
        blank: list[Score] = []
        numbers = np.empty((2, len(scores)), dtype=np.int32)
        values = np.empty(len(scores), dtype=np.float64)
        for place, score in enumerate(scores):
            facts = {**score.__dict__, "identity": "", "value": None}
            kind = kinds.setdefault(tuple(facts.values()), len(kinds))
            if kind == len(blank):
                blank.append(_score(facts))
            numbers[:, place] = kind, identities.setdefault(score.identity, len(identities))
            values[place] = np.nan if score.value is None else score.value
        return cls(blank, list(identities), numbers[0], numbers[1], values)

    def take(self, places: np.ndarray | slice) -> ScoreColumns:
        """Those at these places, or where a mask of (n,) says so."""
        return ScoreColumns(self.kinds, self.identities, self.kind[places], self.identity[places], self.value[places])

    def at(self, place: int) -> Score:
        """One score."""
        value = float(self.value[place])
        facts = {
            **self.kinds[self.kind[place]].__dict__,
            "identity": self.identities[self.identity[place]],
            "value": None if value != value else value,
        }
        return _score(facts)


def _score(facts: Mapping[str, Any]) -> Score:
    """A score whose facts were checked when it was made."""
    score = Score.__new__(Score)
    score.__dict__.update(facts)
    return score


class Scores(Sequence[Score]):
    """The scores of one trial among those of others; equal to the tuple of the same scores."""

    __slots__ = ("columns", "start", "stop")

    def __init__(self, columns: ScoreColumns, start: int, stop: int) -> None:
        """start, stop: places in the columns."""
        self.columns, self.start, self.stop = columns, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    @overload
    def __getitem__(self, place: int) -> Score: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Score, ...]: ...
    def __getitem__(self, place: int | slice) -> Score | tuple[Score, ...]:
        found = range(self.start, self.stop)[place]
        return self.columns.at(found) if isinstance(found, int) else tuple(map(self.columns.at, found))

    def __iter__(self) -> Iterator[Score]:
        return map(self.columns.at, range(self.start, self.stop))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, tuple | Scores) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class Digests(Mapping[str, str]):
    """`Record.files` as MessagePack."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        """packed: a map of texts."""
        self._packed = packed

    def _all(self) -> dict[str, str]:
        return msgspec.msgpack.decode(self._packed, type=dict[str, str])

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


def plain(part: Any) -> Any:
    """What msgspec writes for a part of a record that it does not know: its `enc_hook`."""
    if isinstance(part, Scores):
        return tuple(part)
    if isinstance(part, Digests):
        return dict(part)
    raise NotImplementedError
