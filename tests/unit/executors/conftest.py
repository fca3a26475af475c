"""Cases made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guidebench.chosen import ChosenMethod
from guidebench.engine.plan import Case
from guidebench.protocol import Protocol
from guidebench.store.record import TrialSpec


def case(number: int, label: str = "a", requests: int = 1) -> Case:
    """A trial of a person and a row; of as many requests."""
    return Case(
        TrialSpec(
            protocol=Protocol(name="p", version=1, title="P", source="celebahq", identities=12, requests=requests),
            method=ChosenMethod(spec="a", name=label, class_name="A", label=label, fields={}, source_digest="s"),
            testbed="linear",
            weights={},
            manifest="m",
            requests=((f"person-{number}",),) * requests,
            seed=0,
        ),
        number,
    )


@pytest.fixture
def make_case() -> Callable[..., Case]:
    return case
