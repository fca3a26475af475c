"""The curve of a trial as a file: curve.json in its folder, what its method's generator scored every so many steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from guidebench.errors import in_one_line
from guidebench.files import read_bytes
from guidebench.metric import Score
from guidebench.store.contents import CURVE


@dataclass(frozen=True, kw_only=True)
class Point:
    """A generator in the middle of unlearning, or the one that came back."""

    step: int  # as the method counts them
    scores: tuple[Score, ...]
    reason: str | None = None  # why there are none


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores over the steps of unlearning."""

    every: int  # steps
    seconds: float  # of rendering and judging, which the trial's cost leaves out
    samples: int  # latent codes of FID_pre: the first of the protocol's
    points: tuple[Point, ...] = ()  # by step; the last one is the generator that came back
    reason: str | None = None  # why there are none


def save_curve(curve: Curve, folder: Path) -> None:
    """Writes a curve into a record's folder."""
    (folder / CURVE).write_bytes(msgspec.json.format(msgspec.json.encode(curve), indent=1) + b"\n")


def load_curve(folder: Path) -> Curve | None:
    """What `save_curve` wrote; None: there is nothing. Raises ValueError, in one line, for all that cannot be read."""
    try:
        return msgspec.json.decode(read_bytes(folder / CURVE), type=Curve)
    except FileNotFoundError:
        return None
    except (OSError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"{CURVE} is not a curve: {in_one_line(error)}") from None
