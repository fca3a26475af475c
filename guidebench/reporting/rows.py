"""The rows of the table of scores as numbers: which trial, which kind of score, about whom, with which value.

A table of 100,000 trials has millions of rows that repeat few different facts. Each fact is therefore computed once per
trial, or once per kind of score, and then spread over the rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from guidebench.metric import Score
from guidebench.store.lazy import ScoreColumns, Scores

if TYPE_CHECKING:
    from guidebench.store.record import Instrument

Part: TypeAlias = tuple[np.ndarray, ScoreColumns]  # n scores, and the place of the trial of each: (n,)
NOTHING = -1  # the kind of the row of a trial without scores
_Fact = TypeVar("_Fact")


class Rows:
    """One row per score, trial by trial; a trial without scores is one row without a kind."""

    def __init__(self, trial: np.ndarray, scores: ScoreColumns, instruments: Sequence[Instrument]) -> None:
        """trial: (n,) places among the trials. scores: n, with `NOTHING` for what a trial without scores has.

        instruments: by trial.
        """
        self._trial, self._kinds, self._value = trial, scores.kinds, scores.value
        numbers, self._instruments = _numbered(instruments)
        kinds, without = len(scores.kinds), scores.kind == NOTHING
        self._pairs = len(self._instruments) * kinds  # of an instrument and a kind; then trials without scores
        pairs = np.where(without, self._pairs + trial, numbers[trial] * kinds + scores.kind)
        self._facts, self._fact = _compact(pairs, self._pairs + len(instruments))
        self._known = scores.identities  # then trials without scores
        people = np.where(without, len(self._known) + trial, scores.identity)
        self._people, self._person = _compact(people, len(self._known) + len(instruments))
        self.without = trial[without].tolist()  # trials without scores

    def spread(self, facts: Any) -> Any:
        """A fact of every trial, from `column` or `Packed`, as a column of the table."""
        return (facts.unpacked() if isinstance(facts, Packed) else facts).take(self._trial)

    def spread_scores(
        self,
        of: Callable[[Instrument, Score], Any],
        otherwise: Mapping[int, Any],
        kind: str | None,
        categories: bool,
    ) -> Any:
        """A fact of every score but whom it is about and its value. otherwise: of trials without scores."""
        kinds = len(self._kinds)
        facts = [
            of(self._instruments[pair // kinds], self._kinds[pair % kinds])
            if pair < self._pairs
            else otherwise[pair - self._pairs]
            for pair in self._facts
        ]
        return column(facts, kind, categories).take(self._fact)

    def identities(self, otherwise: Mapping[int, str], categories: bool) -> Any:
        """Whom every score is about. otherwise: of trials without scores."""
        known = len(self._known)
        facts = [self._known[place] if place < known else otherwise[place - known] for place in self._people]
        return column(facts, None, categories).take(self._person)

    def values(self) -> Any:
        """The value of every score, once; missing where there is none."""
        missing = np.isnan(self._value)
        self._value[missing] = 0.0
        return pd.arrays.FloatingArray(self._value, missing)


def _compact(numbers: np.ndarray, count: int) -> tuple[list[int], np.ndarray]:
    """The different numbers below ``count`` in their order, and for each number its place among them."""
    there = np.zeros(count, dtype=bool)
    there[numbers] = True
    places = np.cumsum(there, dtype=np.int32) - 1
    return np.flatnonzero(there).tolist(), places[numbers]


def by_object(parts: Sequence[_Fact]) -> tuple[np.ndarray, list[_Fact]]:
    """Numbers of parts of trials, the same for the same object, and the different ones by number."""
    numbers: dict[int, int] = {}
    different: list[_Fact] = []
    found = np.empty(len(parts), dtype=np.int32)
    for place, part in enumerate(parts):
        number = numbers.setdefault(id(part), len(different))
        if number == len(different):
            different.append(part)
        found[place] = number
    return found, different


def _numbered(facts: Sequence[_Fact]) -> tuple[np.ndarray, list[_Fact]]:
    """Numbers of facts, equal for equal ones, and the different facts by number."""
    objects, different = by_object(facts)
    numbers: dict[_Fact, int] = {}
    of_object = np.array([numbers.setdefault(fact, len(numbers)) for fact in different], dtype=np.int32)
    return of_object[objects], list(numbers)


def column(facts: Sequence[Any], kind: str | None, categories: bool) -> Any:
    """Facts as a column of pandas: of a type, or None for what pandas finds."""
    if kind is None:
        found = pd.Series(facts, dtype=None if any(fact is not None for fact in facts) else object).array
        return pd.Categorical(found) if categories else found
    return pd.Series(facts, dtype=object).astype(kind).array


@dataclass(frozen=True)
class Packed:
    """Categories in one block of memory: texts of their own would lie among records and keep what these leave."""

    codes: np.ndarray
    texts: str  # between zeros, which no text of a record has

    @classmethod
    def of(cls, facts: Any) -> Any:
        """A column of categories as such a block; any other column as it is."""
        is_text = isinstance(facts, pd.Categorical) and len(facts.categories)
        return cls(facts.codes, "\0".join(facts.categories)) if is_text else facts

    def unpacked(self) -> pd.Categorical:
        """The column."""
        return pd.Categorical.from_codes(self.codes, self.texts.split("\0"))


def gather(
    trials: Sequence[Sequence[Score]],
    across: Sequence[Part],
    instruments: Sequence[Instrument],
    only: Collection[str] | None,
) -> Rows:
    """The rows of trials, each with its own scores and then those over several trials. only: these metrics."""
    is_empty = np.ones(len(trials), dtype=bool)
    kinds, identities = _Together[Score](), _Together[str]()
    columns: list[list[np.ndarray]] = [[], [], [], []]
    for trial, part in itertools.chain(_own(trials), across):
        is_empty[trial] = False
        wanted = np.array([only is None or one.metric in only for one in part.kinds], dtype=bool)
        if not wanted.all():
            kept = wanted[part.kind]
            trial, part = trial[kept], part.take(kept)
        numbers = kinds.numbers(part.kinds)[part.kind], identities.numbers(part.identities)[part.identity]
        for column, own in zip(columns, (trial, *numbers, part.value), strict=True):
            column.append(own)
    empty = np.flatnonzero(is_empty).astype(np.int32)
    nothing = np.full(len(empty), NOTHING, dtype=np.int32)
    for column, own in zip(columns, (empty, nothing, nothing, np.full(len(empty), np.nan)), strict=True):
        column.append(own)
    trial = _joined(columns[0])
    order = np.argsort(trial, kind="stable")
    kind, identity, value = (_joined(column)[order] for column in columns[1:])
    scores = ScoreColumns(kinds.different, identities.different, kind, identity, value)
    return Rows(trial[order], scores, instruments)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts as one, which takes their place: there are many of them."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole


class _Together(Generic[_Fact]):
    """The different facts of several lists."""

    def __init__(self) -> None:
        self._numbers: dict[_Fact, int] = {}
        self._seen: dict[int, tuple[Sequence[_Fact], np.ndarray]] = {}

    @property
    def different(self) -> list[_Fact]:
        """By number."""
        return list(self._numbers)

    def numbers(self, facts: Sequence[_Fact]) -> np.ndarray:
        """The number of each fact of a list."""
        seen = self._seen.get(id(facts))
        if seen is None:
            found = [self._numbers.setdefault(fact, len(self._numbers)) for fact in facts]
            seen = self._seen[id(facts)] = (facts, np.array(found, dtype=np.int32))
        return seen[1]


def _own(trials: Sequence[Sequence[Score]]) -> Iterator[Part]:
    """The trials' own scores."""
    listed: list[tuple[int, Score]] = []
    together: dict[int, tuple[ScoreColumns, list[tuple[int, int, int]]]] = {}
    for place, own in enumerate(trials):
        if isinstance(own, Scores):
            together.setdefault(id(own.columns), (own.columns, []))[1].append((place, own.start, own.stop))
        else:
            listed += [(place, score) for score in own]
    for columns, spans in together.values():
        places, starts, stops = np.array(spans, dtype=np.int32).T
        lengths = stops - starts
        rows = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        yield np.repeat(places, lengths), columns.take(rows)
    yield np.array([place for place, _ in listed], dtype=np.int32), ScoreColumns.of([score for _, score in listed])
