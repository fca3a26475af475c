"""The floor of every table: a method that does nothing."""

from __future__ import annotations

from dataclasses import dataclass

from guidebench.testbed import Generator
from guidebench.unlearner import Context, ForgetRequest, Unlearner


@dataclass(frozen=True)
class Nothing(Unlearner):
    """Returns the generator as it is, so its row measures the noise of the measurement itself."""

    name = "nothing"
    summary = "floor: the generator as it is"
    supports = frozenset({"single", "simultaneous", "sequential"})

    def unlearn(self, generator: Generator, request: ForgetRequest, context: Context) -> Generator:
        """Returns ``generator`` untouched."""
        return generator
