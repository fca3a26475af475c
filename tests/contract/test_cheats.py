"""Cheats and careless methods end marked, failed or harmless, and move nobody else's score by a bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import guidebench
from guidebench import chosen
from guidebench.engine import nursery
from guidebench.engine.asked import Options, resolve_protocol
from guidebench.engine.run import measure
from guidebench.store import folders

CHEATS = Path(__file__).parent / "cheats.py"
HONEST = "mean-latent"
SAMPLES = 60

pytestmark = pytest.mark.skipif(not nursery.available(), reason="methods have processes of their own on Linux only")


def cheat(name, label=None, **settings):
    return chosen.choose(f"{CHEATS}:{name}", "linear", settings, name=label)


CASES = {
    "judge-patch": cheat("JudgePatch"),
    "careless": cheat("Careless"),
    "memoriser": cheat("Memoriser"),
    "counter": cheat("Counter"),
    "block-list": cheat("BlockList"),
    "patches-while-rendering": cheat("PatchesWhileRendering"),
    "rescales": cheat("Rescales"),
    "loads-data": cheat("LoadsData"),
    "leaves-threads": cheat("LeavesThreads"),
    **{how: cheat("EndsBadly", how, how=how) for how in ("exit", "signal", "interrupt")},
    **{kind: cheat("OddImages", kind, kind=kind) for kind in ("numpy", "fewer", "bytes", "sparse", "meta", "large")},
}


def scored(record):
    return {(score.metric, score.judge): (score.value, score.n) for score in record.outcome.scores}


def played(out, entrants, **options):
    """Records by label and person, of trials that were measured; and the reasons of those that failed."""
    chosen_options = Options(testbed="linear", out=out, **options)
    protocol = resolve_protocol("smoke", chosen_options, identities=2, samples=SAMPLES)
    result = measure((protocol,), entrants, chosen_options)
    stored, _ = folders.scan(out)
    measured = {
        (item.record.spec.method.label, item.record.spec.group): item.record
        for item in stored
        if item.record.is_measured
    }
    return measured, {event.case.spec.method.label: event.reason for event in result.failed}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return played(tmp_path_factory.mktemp("alone"), [chosen.choose(HONEST, "linear")])[0]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Every cheat on each person, then the honest method, in one run."""
    entrants = [*CASES.values(), chosen.choose(HONEST, "linear"), chosen.choose("nothing", "linear")]
    return played(tmp_path_factory.mktemp("together"), entrants)


@pytest.fixture
def measured(together):
    return together[0]


@pytest.fixture
def failed(together):
    return together[1]


def test_nobody_elses_score_moves_by_a_bit(alone, measured):
    for (label, person), record in alone.items():
        assert scored(measured[label, person]) == scored(record)
        assert measured[label, person].outcome.marks == ()


def test_threads_that_a_method_leaves_end_with_its_process(measured):
    for person in ("celebahq-0000", "celebahq-0001"):
        assert scored(measured["leaves-threads", person]) == scored(measured["nothing", person])


def test_a_wrapper_that_patches_while_it_renders_reaches_no_judge(measured):
    record = measured["patches-while-rendering", "celebahq-0000"]
    assert record.outcome.marks == ("wrapper",)
    assert scored(record) == scored(measured["nothing", "celebahq-0000"])


def test_memorised_codes_are_found_out(measured):
    """It keeps the public codes and people alone: on secret ones it is as bad as it is, and its row is marked."""
    record = measured["memoriser", "celebahq-0000"]
    assert record.outcome.marks == ("wrapper", "memorised")
    values = scored(record)
    assert values["id_retain", "plain"][0] < 0.7 and values["fid_pre", None][0] > 1


def test_a_block_list_is_marked_as_a_wrapper(measured):
    assert measured["block-list", "celebahq-0000"].outcome.marks == ("wrapper",)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("judge-patch", ["LinearFeatures.forward"]),
        ("careless", ["torch.nn.functional.normalize", "mkldnn"]),
        ("counter", ["second time"]),
        ("rescales", ["more than its weights"]),
        ("exit", ["exit code 0"]),
        ("signal", ["SIGUSR1"]),
        ("interrupt", ["KeyboardInterrupt"]),
        ("numpy", ["ndarray"]),
        ("fewer", ["(", "16, 16)"]),
        ("bytes", ["uint8"]),
        ("sparse", ["sparse"]),
        ("meta", ["meta"]),
        ("large", ["[-1, 1]"]),
    ],
)
def test_what_cannot_be_measured_fails_its_own_trial_in_one_line(measured, failed, name, words, says):
    assert (name, "celebahq-0000") not in measured
    assert "\n" not in failed[name]
    with pytest.raises(ValueError, match=says(*words)):
        raise ValueError(failed[name])


def test_a_method_may_have_processes_of_its_own(measured):
    assert ("loads-data", "celebahq-0000") in measured


@pytest.mark.parametrize(
    "entrant",
    [cheat("EndsBadly", how="sleep"), cheat("OddImages", kind="sleeps")],
    ids=["method", "generator"],
)
def test_a_trial_that_does_not_end_is_given_up_after_the_time_that_was_allowed(tmp_path, entrant):
    measured, failed = played(tmp_path, [entrant], timeout=1.5)
    assert not measured and "--timeout" in next(iter(failed.values()))


def test_a_file_that_patches_as_it_is_imported_is_refused(tmp_path, says):
    file = tmp_path / "early.py"
    file.write_text("import math\nmath.sqrt = lambda value: 0.0\nclass Early:\n    pass\n")
    with pytest.raises(guidebench.errors.BadInput, match=says("early.py", "math.sqrt")):
        chosen.choose(f"{file}:Early", "linear")
    assert subprocess.run([sys.executable, "-c", "import math; assert math.sqrt(4) == 2"], check=False).returncode == 0
