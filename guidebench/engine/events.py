"""What happens while trials run, as whoever started them hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from guidebench.engine.plan import Case


@dataclass(frozen=True)
class Started:
    """A case began."""

    case: Case


@dataclass(frozen=True)
class Stepped:
    """A case's method reported progress."""

    case: Case
    step: int
    scalars: dict[str, float]
    earlier: tuple[tuple[int, dict[str, float]], ...] = ()  # reports before this one of which nothing was said yet


@dataclass(frozen=True)
class Finished:
    """A case ended and is recorded: measured if ``reason`` is None."""

    case: Case
    folder: Path | None  # None: its process died before it could record anything
    seconds: float
    reason: str | None = None
    warning: str | None = None


@dataclass(frozen=True)
class Sampled:
    """Workers together computed some of the original generator's samples, before the first case."""

    done: int
    total: int


Event = Started | Stepped | Finished | Sampled
