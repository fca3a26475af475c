"""A method in a process of its own: what it is told, and that its answer is what it would be in this process."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path

import pytest
import torch

from guidebench import chosen
from guidebench import protocol as protocols
from guidebench.engine import nursery
from guidebench.engine.apart import Apart
from guidebench.engine.bench import Bench
from guidebench.engine.hosted import Hosted
from guidebench.engine.nurseries import Nurseries
from guidebench.engine.plan import cases, describe
from guidebench.engine.trial import measure, run_trial
from guidebench.errors import MethodError
from guidebench.metrics import score_all
from guidebench.testbeds.linear import LinearTestbed

METHODS = Path(__file__).parent / "apart_methods.py"
CITIZENS = Path(__file__).parents[2] / "contract" / "good_citizens.py"
SMOKE = protocols.load("smoke").resolve("linear", samples=120, identities=2)
SEQUENCE = dataclasses.replace(SMOKE, identities=2, requests=2, retain=2, retain_named=1, probe_photos=1)

pytestmark = pytest.mark.skipif(not nursery.available(), reason="methods have processes of their own on Linux only")


@pytest.fixture(scope="module")
def bench():
    return Bench(LinearTestbed(), salt=7)


@pytest.fixture(scope="module")
def nurseries(bench):
    opened = Nurseries(lambda: bench.players, bench.testbed.device, prepared=True)
    yield opened
    opened.close()


@pytest.fixture
def apart(bench, nurseries):
    """Starts a method on the first people of a protocol; returns the runner, its rows and the reports."""
    opened = []

    def start(spec, protocol=SMOKE, **settings):
        entrant = chosen.choose(str(spec), "linear", settings)
        case = cases([protocol], [entrant], describe(bench, [protocol]))[0]
        rows, heard = [], []
        source, device = bench.players.generator, bench.testbed.device
        runner = Apart(nurseries, case.spec, source, device, lambda *given: heard.append(given), rows, 60.0)
        opened.append(runner)
        return runner, rows, heard

    yield start
    for runner in opened:
        runner.close()


def same_scores(trial, other):
    first, second = (
        {(score.metric, score.judge, score.after_request): score.value for score in score_all(one.evidence)}
        for one in (trial, other)
    )
    return first == second


@pytest.mark.parametrize(
    "name", ["guide", f"{CITIZENS}:Adapter", f"{CITIZENS}:Wrapper"], ids=["guide", "adapter", "wrapper"]
)
def test_the_numbers_are_those_of_this_process(bench, apart, name):
    runner, rows, heard = apart(name)
    trial = measure(bench, SMOKE, runner, 0)
    own = []
    method, _ = chosen.with_preset(chosen.choose(name, "linear").method, "linear")
    here = run_trial(bench, SMOKE, method, 0, 0, lambda step, scalars: None, own)
    assert same_scores(trial, here) and rows == own
    assert [step for step, _ in heard] == [row["step"] for row in rows]
    for there, answer in zip(trial.stages, here.stages, strict=True):
        assert there.unlearned.change.parameters == answer.unlearned.change.parameters
        assert there.unlearned.wrapper == answer.unlearned.wrapper == isinstance(there.unlearned.generator, Hosted)


def test_every_request_goes_to_the_process_that_answered_the_one_before(bench, apart):
    runner, rows, _ = apart(f"{METHODS}:Sequential", SEQUENCE)
    trial = measure(bench, SEQUENCE, runner, 0)
    shifts = [
        stage.unlearned.generator.backbone.coarse.bias - bench.players.generator.backbone.coarse.bias
        for stage in trial.stages
    ]
    assert torch.allclose(shifts[1], 2 * shifts[0]) and float(shifts[0].abs().min()) > 0
    assert [(row["request"], row["step"]) for row in rows] == [(1, 1), (2, 1)]
    assert len({row["pid"] for row in rows}) == 1 and rows[0]["pid"] != os.getpid()


def test_the_method_is_told_no_salt_and_no_evaluated_person(bench, apart, caplog):
    with caplog.at_level(logging.INFO, logger="guidebench"):
        runner, *_ = apart(f"{METHODS}:LooksAround")
        measure(bench, SMOKE, runner, 0)
    assert [record.getMessage() for record in caplog.records if "salt" in record.getMessage()] == ["salts [0]"]


def test_a_generator_that_renders_elsewhere_is_told_no_salt_either(bench, apart):
    runner, *_ = apart(f"{METHODS}:LooksWhileRendering")
    trial = measure(bench, SMOKE, runner, 0)
    assert trial.stages[0].unlearned.wrapper
    assert torch.equal(trial.stages[0].renders.pictures, trial.scene.before.pictures)


def test_what_it_saves_and_where_it_leads_comes_from_its_process(bench, apart, tmp_path):
    runner, *_ = apart("guide")
    request = bench.cast(SMOKE, 0).requests[0]
    answer = runner.unlearn(request, 1)
    target = runner.targets(request.forget)[request.forget[0].identity]
    assert target.shape == request.forget[0].latent.shape
    runner.save(tmp_path)
    loaded = chosen.choose("guide", "linear").method.load(LinearTestbed().players().generator, tmp_path)
    assert torch.equal(loaded.backbone.coarse.bias, answer.generator.backbone.coarse.bias)


def test_a_method_whose_code_has_changed_since_it_was_planned_is_not_run(bench, nurseries, tmp_path, says):
    file = tmp_path / "changing.py"
    file.write_text(METHODS.read_text())
    entrant = chosen.choose(f"{file}:Sequential", "linear")
    spec = cases([SMOKE], [entrant], describe(bench, [SMOKE]))[0].spec
    file.write_text(METHODS.read_text() + "\n# another version\n")
    runner = Apart(nurseries, spec, bench.players.generator, bench.testbed.device, print, [])
    with pytest.raises(MethodError, match=says("code", "changed")):
        runner.unlearn(bench.cast(SMOKE, 0).requests[0], 1)
    runner.close()


def test_a_generator_whose_class_another_process_cannot_find_fails_in_one_line(bench, apart, says):
    runner, *_ = apart(f"{METHODS}:Local")
    with pytest.raises(MethodError, match=says("top level of a file")) as failed:
        measure(bench, SMOKE, runner, 0)
    assert "\n" not in str(failed.value)
