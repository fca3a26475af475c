"""The kinds of processes that somebody else's code runs in."""

from __future__ import annotations

import pytest
import torch

from guidebench.engine import nursery
from guidebench.engine.nurseries import Nurseries
from guidebench.errors import MethodError
from guidebench.testbeds.linear import LinearTestbed

pytestmark = pytest.mark.skipif(not nursery.available(), reason="nurseries need Linux")


def test_there_are_processes_for_attacks_where_there_will_be_attacks():
    players = LinearTestbed().players()
    without = Nurseries(lambda: players, torch.device("cpu"), prepared=False)
    try:
        with pytest.raises(AssertionError):
            without.attack()
    finally:
        without.close()
    opened = Nurseries(lambda: players, torch.device("cpu"), prepared=False, attacks=True)
    try:
        children = [make() for make in (opened.attack, opened.finding)]
    finally:
        opened.close()
    for one in children:
        with pytest.raises((MethodError, OSError)):
            one.receive(5)
