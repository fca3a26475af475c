"""Metrics: pure functions of evidence, with name, unit and direction said once."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from guidebench.evidence import Afterwards, Evidence, Role

Direction = Literal["lower", "higher", "none"]
_ROUNDING = 1e-9  # difference, relative or absolute, that float64 sums of the same numbers may have


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number, or the reason why there is none."""

    metric: str
    judge: str | None  # None for metrics without a recogniser
    identity: str  # whom it is about: a forgotten person, or all people of the trial (`guidebench.evidence.group_name`)
    role: Literal[Role, "samples"]  # whose images were looked at
    after_request: int  # place in the scenario, counted from 1
    value: float | None
    reason: str | None = None  # why the value is None
    n: int = 0  # pairs or samples that the value was computed from
    lost_before: int = 0  # pairs in which no face was found before unlearning
    lost_after: int = 0  # pairs in which a face was found before, none after

    def __post_init__(self) -> None:
        """Turns numpy's numbers into Python's. Raises ValueError if the value is not finite.

        What could not be measured is None with a reason.
        """
        for name in ("n", "lost_before", "lost_after", "after_request"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        if self.value is None:
            return
        object.__setattr__(self, "value", float(self.value))
        if not math.isfinite(self.value):
            raise ValueError(f"{self.metric} of {self.identity} is {self.value}; give None and a reason instead")

    @property
    def place(self) -> tuple[str, str | None, str, str, int]:
        """What is scored: no two scores of a trial have the same."""
        return self.metric, self.judge, self.identity, self.role, self.after_request

    def is_close(self, other: Score, tolerance: float = _ROUNDING) -> bool:
        """Whether the other is the same score, but for a value that differs by rounding alone.

        tolerance: relative or absolute, of the values.
        """
        if self.value is None or other.value is None:
            return self == other
        same = dataclasses.replace(self, value=other.value) == other
        return same and math.isclose(self.value, other.value, rel_tol=tolerance, abs_tol=tolerance)


def check_scores(scores: Iterable[Score], *, requests: int) -> None:
    """Raises ValueError, in one line, on what cannot be among the scores of one trial, whatever the metrics measure.

    That is a negative count, a request that the trial did not make, and two scores of the same thing.
    """
    places: Counter[tuple[str, str | None, str, str, int]] = Counter()
    for score in scores:
        places[score.place] += 1
        what = f"{score.metric} of {score.identity}"
        if places[score.place] > 1:
            raise ValueError(f"{what}{f' by {score.judge}' if score.judge else ''} was scored twice")
        if not 1 <= score.after_request <= requests:
            raise ValueError(f"{what} was scored after request {score.after_request} of {requests}")
        for name in ("n", "lost_before", "lost_after"):
            if getattr(score, name) < 0:
                raise ValueError(f"{what} has {name} = {getattr(score, name)}")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named column of a table."""

    name: str  # as in records and on the command line
    title: str  # as in tables
    latex: str
    direction: Direction  # which way is better
    unit: str
    summary: str  # one line: what it means
    judged: bool = True  # one column per judge
    counted: bool = False  # values are shares of `Score.n`: tables say how many of how many, too
    independent: ClassVar[bool] = True  # whether the values of different identities are: intervals and tests need it

    @property
    def ties(self) -> bool:
        """Whether values at or below the judge's mean of different people tie: forgotten is forgotten."""
        return self.judged and self.direction == "lower" and self.unit == "cosine"


@dataclass(frozen=True, kw_only=True)
class TrialMetric(Metric):
    """A metric of one trial: its scores are in the record."""

    compute: Callable[[Evidence], Sequence[Score]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class CrossMetric(Metric):
    """A metric of all identities that one method forgot under one seed: computed when records are read.

    Each trial enters the values of several identities, so these are not independent.
    """

    independent: ClassVar[bool] = False
    compute: Callable[[Sequence[Afterwards]], Sequence[Score]] = field(repr=False)
