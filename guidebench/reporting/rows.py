"""The rows of the table of scores as numbers: which trial, which kind of score, about whom, with which value.

A table of 100,000 trials has millions of rows that repeat few different facts. Each fact is therefore computed once per
trial, or once per kind of score, and then spread over the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from guidebench.metric import Score
from guidebench.store.lazy import ScoreColumns, Scores

if TYPE_CHECKING:
    from guidebench.store.record import Instrument

NOTHING = -1  # the kind of the row of a trial without scores
_Fact = TypeVar("_Fact")


@dataclass(frozen=True, eq=False)
class Rows:
    """One row per score, trial by trial; a trial without scores is one row without a kind."""

    trial: np.ndarray  # (n,) int64, places among the trials
    scores: ScoreColumns  # n scores, with `NOTHING` for what a trial without scores has

    def spread(self, facts: Sequence[Any], kind: str | None, categories: bool) -> Any:
        """A fact of every trial as a column of pandas: of a type, or None for what pandas finds."""
        return _column(facts, kind, categories).take(self.trial)

    def spread_scores(
        self,
        of: Callable[[Instrument, Score], Any],
        instruments: Sequence[Instrument],
        otherwise: Sequence[Any],
        kind: str | None,
        categories: bool,
    ) -> Any:
        """A fact of every score but whom it is about and its value.

        instruments: by trial. otherwise: by trial, for those without scores.
        """
        numbers, different = _numbered(instruments)
        pairs = np.where(
            self.scores.kind == NOTHING,
            len(different) * len(self.scores.kinds) + self.trial,
            numbers[self.trial] * len(self.scores.kinds) + self.scores.kind,
        )
        there, places = np.unique(pairs, return_inverse=True)
        facts = [
            of(different[pair // len(self.scores.kinds)], self.scores.kinds[pair % len(self.scores.kinds)])
            if pair < len(different) * len(self.scores.kinds)
            else otherwise[pair - len(different) * len(self.scores.kinds)]
            for pair in there.tolist()
        ]
        return _column(facts, kind, categories).take(places)

    def identities(self, otherwise: Sequence[str], categories: bool) -> Any:
        """Whom every score is about. otherwise: by trial, for those without scores."""
        places = np.where(self.scores.kind == NOTHING, len(self.scores.identities) + self.trial, self.scores.identity)
        there, places = np.unique(places, return_inverse=True)
        facts = [*self.scores.identities, *otherwise]
        return _column([facts[place] for place in there.tolist()], None, categories).take(places)

    def values(self) -> Any:
        """The value of every score; missing where there is none."""
        return pd.arrays.FloatingArray(np.nan_to_num(self.scores.value), np.isnan(self.scores.value))


def _numbered(facts: Sequence[_Fact]) -> tuple[np.ndarray, list[_Fact]]:
    """Numbers of facts, equal for equal ones, and the different facts by number."""
    numbers: dict[_Fact, int] = {}
    by_object: dict[int, int] = {}
    found = np.empty(len(facts), dtype=np.int64)
    for place, fact in enumerate(facts):
        number = by_object.get(id(fact))
        if number is None:
            number = by_object[id(fact)] = numbers.setdefault(fact, len(numbers))
        found[place] = number
    return found, list(numbers)


def _column(facts: Sequence[Any], kind: str | None, categories: bool) -> Any:
    if kind is None:
        column = pd.Series(facts, dtype=None if any(fact is not None for fact in facts) else object).array
        return pd.Categorical(column) if categories else column
    return pd.Series(pd.Series(facts, dtype=object), dtype=object).astype(kind).array


def gather(trials: Sequence[Sequence[Score]], across: Sequence[Sequence[Score]], only: Collection[str] | None) -> Rows:
    """The rows of trials, each with its own scores and then those over several trials. only: these metrics."""
    empty = [place for place, own in enumerate(trials) if not len(own) and not across[place]]
    parts = [*_own(trials), _listed([(place, score) for place, scores in enumerate(across) for score in scores])]
    kinds: dict[Score, int] = {}
    identities: dict[str, int] = {}
    columns: list[tuple[np.ndarray, ...]] = []
    for trial, part in parts:
        kind = np.array([kinds.setdefault(one, len(kinds)) for one in part.kinds], dtype=np.int32)
        identity = np.array([identities.setdefault(one, len(identities)) for one in part.identities], dtype=np.int32)
        kept = np.array([only is None or one.metric in only for one in part.kinds], dtype=bool)[part.kind]
        columns.append((trial[kept], kind[part.kind[kept]], identity[part.identity[kept]], part.value[kept]))
    columns.append((np.array(empty), *np.full((2, len(empty)), NOTHING), np.full(len(empty), np.nan)))
    trial, kind, identity, value = (np.concatenate(own) for own in zip(*columns, strict=True))
    order = np.argsort(trial, kind="stable")
    scores = ScoreColumns(
        list(kinds), list(identities), kind[order].astype(np.int32), identity[order].astype(np.int32), value[order]
    )
    return Rows(trial[order].astype(np.int64), scores)


def _own(trials: Sequence[Sequence[Score]]) -> Iterator[tuple[np.ndarray, ScoreColumns]]:
    """The trials' own scores in parts, with the trial of each score."""
    listed: list[tuple[int, Score]] = []
    together: dict[int, tuple[ScoreColumns, list[tuple[int, int, int]]]] = {}
    for place, own in enumerate(trials):
        if isinstance(own, Scores):
            together.setdefault(id(own.columns), (own.columns, []))[1].append((place, own.start, own.stop))
        else:
            listed += [(place, score) for score in own]
    for columns, spans in together.values():
        places, starts, stops = np.array(spans, dtype=np.int64).T
        lengths = stops - starts
        rows = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        yield (
            np.repeat(places, lengths),
            ScoreColumns(
                columns.kinds, columns.identities, columns.kind[rows], columns.identity[rows], columns.value[rows]
            ),
        )
    yield _listed(listed)


def _listed(scores: Sequence[tuple[int, Score]]) -> tuple[np.ndarray, ScoreColumns]:
    return np.array([place for place, _ in scores], dtype=np.int64), ScoreColumns.of([score for _, score in scores])
