"""A testbed unlike those that ship: one view, one judge, no real images, weights of its own."""

from __future__ import annotations

import dataclasses

from guidebench import digest
from guidebench.testbed import Judges, Players
from guidebench.testbeds.linear import LinearTestbed


class Flat(LinearTestbed):
    """The analytic testbed with a 2-D generator."""

    name = "flat"
    summary = "one view only"
    caption = ""

    def players(self) -> Players:
        players = super().players()
        players.generator.rig = None
        return dataclasses.replace(players, digests={name: digest.of_data(["flat", name]) for name in players.digests})

    def judges(self) -> Judges:
        judges = super().judges()
        (name, judge), *_ = judges.recognizers.items()
        return dataclasses.replace(judges, recognizers={name: judge}, real=None, different_people={})
