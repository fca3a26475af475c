"""An attack in a process of its own: the same findings, no judge, and an end to whatever does not end by itself."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine import nursery
from guidebench.engine.apart import Apart
from guidebench.engine.attacking import Attacker
from guidebench.engine.bench import Bench
from guidebench.engine.hosted import Hosted
from guidebench.engine.nurseries import Nurseries
from guidebench.engine.plan import cases, describe
from guidebench.testbeds.linear import LinearTestbed

BAD = Path(__file__).parents[2] / "contract" / "bad_attacks.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=20, identities=2)

pytestmark = pytest.mark.skipif(not nursery.available(), reason="attacks have processes of their own on Linux only")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed())


@pytest.fixture(scope="module")
def nurseries(bench):
    opened = Nurseries(lambda: bench.players, bench.testbed.device, prepared=True, attacks=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def unlearn(bench, nurseries):
    """What a method leaves of the first person, as a trial gets it, and the definition of the method."""
    runners = []

    def run(name):
        entrant = chosen.choose(name, "linear")
        spec = cases([SMOKE], [entrant], describe(bench, [SMOKE]))[0].spec
        runner = Apart(nurseries, spec, bench.players.generator, bench.testbed.device, lambda *heard: None, [], 60.0)
        runners.append(runner)
        return runner.unlearn(bench.cast(SMOKE, 0).requests[0], 1).generator, spec.method

    yield run
    for runner in runners:
        runner.close()


@pytest.fixture(scope="module")
def nothing(unlearn):
    return unlearn("nothing")


@pytest.fixture
def attack(bench, nurseries, nothing):
    def run(spec, unlearned=None, *, apart=True, timeout=60.0, **settings):
        generator, method = unlearned or nothing
        attacker = Attacker(bench, nurseries if apart else None, timeout)
        asked = chosen.choose_attack(spec, settings)
        return attacker.attack(asked, SMOKE, bench.scene(SMOKE, 0), generator, method, 0)

    return run


def same(first, second):
    """Whether two attacks have the same evidence, bit by bit."""
    arrays = [
        [
            one.found.at,
            one.found.distance,
            *(
                array
                for kind in (one.found.found, one.found.original, one.found.other)
                for shown in kind.values()
                for faces in (shown.after, shown.before)
                for array in (faces.vectors, faces.found)
            ),
        ]
        for one in (first, second)
    ]
    return len(arrays[0]) == len(arrays[1]) and all(map(np.array_equal, *arrays))


@pytest.mark.parametrize("name", ["reinvert-z", "relearn", "wide-views", f"{BAD}:Wraps"])
def test_the_evidence_is_that_of_this_process(bench, attack, name):
    assert same(attack(name), attack(name, apart=False))


def test_a_methods_wrapper_is_attacked_in_the_attacks_process(bench, unlearn, attack):
    hidden = unlearn("redirect")
    assert isinstance(hidden[0], Hosted)
    found = attack("neighbourhood", hidden).found.found["plain"]
    assert float((found.after.vectors[0] * found.before.vectors[0]).sum(axis=-1).mean(axis=-1).max()) > 0.9
    relearnt = attack("relearn", hidden)
    assert relearnt.reason is None, "each of its findings is a wrapper again"
    assert hidden[0].map(torch.zeros(1, hidden[0].z_dim)).shape[0] == 1, "and the trial's own is still there"


def test_a_generator_of_the_attacks_own_class_renders_elsewhere(attack):
    outcome = attack(f"{BAD}:Wraps")
    assert outcome.reason is None and outcome.found.at.tolist() == [[1.0, 2.0]]
    shown = outcome.found.found["plain"]
    assert np.array_equal(shown.after.vectors[0, 0], shown.after.vectors[0, 1])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Raises", ["raised", "RuntimeError: no idea", "bad_attacks.py"]),
        ("Exits", ["raised", "SystemExit: 3"]),
        ("Dies", ["process ended", "signal 9"]),
        ("Quits", ["the attack called os._exit(7)"]),
        ("GivesNone", ["list of Findings"]),
        ("BlackImages", ["not finite"]),
    ],
)
def test_what_an_attack_does_to_itself_is_one_line(attack, name, words):
    outcome = attack(f"{BAD}:{name}")
    assert outcome.found is None and all(word in outcome.reason for word in words) and "\n" not in outcome.reason
    assert attack(f"{BAD}:Plain").reason is None, "the next one is not concerned"


def test_an_attack_that_does_not_come_back_is_ended(attack):
    outcome = attack(f"{BAD}:Sleeps", timeout=0.3)
    assert "took longer than the 0.3 s that --timeout allows" in outcome.reason and outcome.seconds < 60


def test_its_process_is_another_one_each_time(attack):
    pids = {attack(f"{BAD}:LooksAround").reason.rpartition(" in ")[2].split()[0] for _ in range(2)}
    assert len(pids) == 2 and str(os.getpid()) not in pids


def test_code_that_changes_between_plan_and_attack_is_not_run(bench, nurseries, nothing, tmp_path):
    file = tmp_path / "changing.py"
    file.write_text(BAD.read_text())
    asked = chosen.choose_attack(f"{file}:Plain")
    file.write_text(BAD.read_text() + "\n# another version\n")
    outcome = Attacker(bench, nurseries, 60.0).attack(asked, SMOKE, bench.scene(SMOKE, 0), *nothing, 0)
    assert outcome.found is None and "code has changed" in outcome.reason


def test_without_a_method_the_class_of_a_finding_is_found_all_the_same(bench, nurseries, nothing):
    """As on the original generator, which no method made."""
    asked = chosen.choose_attack(f"{BAD}:WrapsBoth")
    outcome = Attacker(bench, nurseries, 60.0).attack(asked, SMOKE, bench.scene(SMOKE, 0), *nothing, 0)
    assert outcome.reason is None and outcome.found.original
