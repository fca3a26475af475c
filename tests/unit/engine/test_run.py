"""`guidebench.run` in this process: what it takes, what it skips, who hears of it, and what it leaves as it was."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import guidebench
from guidebench import BadInput, protocol
from guidebench.baselines.nothing import Nothing
from guidebench.commands.progress import Progress
from guidebench.engine import run as engine
from guidebench.engine.asked import Options, choose_methods, resolve_protocol
from guidebench.engine.events import Finished, Started, Stepped
from guidebench.engine.watching import Watcher
from guidebench.errors import MissingAsset
from guidebench.metric import Score, TrialMetric
from guidebench.store import folders
from guidebench.testbeds.linear import LinearTestbed
from guidebench.unlearner import Unlearner


@dataclass(frozen=True)
class Shift(Unlearner):
    """Moves the backbone's bias; the quickest method that changes something."""

    name = "shift"
    presets = {"linear": {"size": 0.25}}
    size: float = 0.5
    fails: bool = False

    def unlearn(self, generator, request, context):
        if self.fails:
            raise RuntimeError("out of luck")
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(self.size)
        context.progress(1, loss=self.size)
        return generator


class Listener(Watcher):
    def __init__(self, interrupt_at=None):
        self.heard, self.interrupt_at = [], interrupt_at

    def begin(self, todo, workers):
        self.heard.append(("begin", len(todo), workers))

    def hear(self, event):
        self.heard.append(event)
        if len(self.heard) == self.interrupt_at:
            raise KeyboardInterrupt

    def close(self):
        self.heard.append("closed")


@pytest.fixture
def run(tmp_path):
    """`guidebench.run` on linear, small, in this process and without floors unless they are asked for."""

    def run(methods, protocol="smoke", testbed="linear", **options):
        options = {"floors": "none", "samples": 20, "out": tmp_path, "workers": 0, **options}
        return guidebench.run(protocol, methods, testbed, **options)

    return run


def recorded(out):
    return [stored.record for stored in folders.scan(out)[0]]


def labels(out):
    return sorted({record.spec.method.label for record in recorded(out)})


def test_a_result_counts_what_was_measured_skipped_and_failed(run, tmp_path):
    result = run([Nothing, Shift(fails=True)], identities=2)
    assert (result.measured, result.skipped, len(result.failed)) == (2, 0, 2)
    assert result.testbed == "linear" and result.out == tmp_path and result.seconds > 0
    assert len(result.keys) == 4 and [item.name for item in result.protocols] == ["smoke"]
    assert all("out of luck" in event.reason and event.folder.is_dir() for event in result.failed)


def test_what_is_recorded_is_skipped_and_what_failed_is_tried_again(run):
    first = run([Nothing, Shift(fails=True)])
    again = run([Nothing, Shift(fails=True)])
    assert again.keys == first.keys
    assert (again.measured, again.skipped, len(again.failed)) == (0, 1, 1)


def test_fresh_measures_again_what_is_recorded(run, tmp_path, monkeypatch):
    calls = tmp_path / "calls"

    def unlearn(self, generator, request, context):
        with open(calls, "a") as stream:
            stream.write("1")
        return generator

    monkeypatch.setattr(Nothing, "unlearn", unlearn)
    run(Nothing)
    (before,) = recorded(tmp_path)
    result = run(Nothing, fresh=True)
    (after,) = recorded(tmp_path)
    assert calls.read_text() == "11" and (result.measured, result.skipped) == (1, 0)
    assert before.key == after.key and before.outcome.scores == after.outcome.scores


def test_a_larger_run_measures_what_is_missing(run):
    assert run(Nothing, identities=1).measured == 1
    more = run(Nothing, identities=2, seeds=[0, 1])
    assert (more.measured, more.skipped) == (3, 1)


@pytest.mark.parametrize("given", ["nothing", ["nothing"], Nothing, [Nothing], Nothing(), ["nothing", "nothing"]])
def test_methods_are_names_classes_objects_or_several_of_them(run, tmp_path, given):
    assert run(given).measured == 1 and labels(tmp_path) == ["nothing"]


def test_a_file_names_a_method_a_protocol_and_a_testbed(run, tmp_path):
    (tmp_path / "own_method.py").write_text(
        "from guidebench.baselines.nothing import Nothing\nclass Own(Nothing):\n    name = 'own'\n"
    )
    (tmp_path / "own_testbed.py").write_text(
        "from guidebench.testbeds.linear import LinearTestbed\nclass Own(LinearTestbed):\n    name = 'flatland'\n"
    )
    (tmp_path / "own.toml").write_text("source = 'dev'\nidentities = 1\nretain = 1\n[on.flatland]\nviews = 3\n")
    result = run(
        f"{tmp_path}/own_method.py:Own", tmp_path / "own.toml", f"{tmp_path}/own_testbed.py:Own", out=tmp_path / "out"
    )
    (record,) = recorded(tmp_path / "out")
    assert result.testbed == record.spec.testbed == "flatland" and record.spec.method.name == "own"
    assert (record.spec.protocol.name, record.spec.protocol.views) == ("own", 3)


def test_a_testbed_may_be_a_class(run):
    assert run(Nothing, testbed=LinearTestbed).testbed == "linear"


def test_a_protocol_object_runs_as_it_stands_but_for_overrides(run):
    own = protocol.Protocol(name="own", version=1, title="Own", source="dev", identities=2, retain=1, views=1)
    (resolved,) = run(Nothing, own, samples=30, identities=1).protocols
    assert resolved == dataclasses.replace(own, samples=30, identities=1)


def test_a_class_takes_its_preset_and_an_object_runs_as_it_stands_under_what_differs(run, tmp_path):
    run([Shift, Shift(), Shift(size=2.0)])
    found = {record.spec.method.label: record.spec.method for record in recorded(tmp_path)}
    assert {label: method.fields["size"] for label, method in found.items()} == {
        "shift": 0.25,
        "shift(size=0.5)": 0.5,
        "shift(size=2.0)": 2.0,
    }
    assert [label for label, method in found.items() if method.preset] == ["shift"]
    moved = {record.spec.method.label: record.outcome.scores for record in recorded(tmp_path)}
    assert moved["shift"] != moved["shift(size=2.0)"], "the object's own value was used"


def test_an_object_that_is_given_twice_is_not_repeated(run, tmp_path):
    assert run([Shift(), Shift(), Shift(size=1.0)]).measured == 2
    assert labels(tmp_path) == ["shift(size=0.5)", "shift(size=1.0)"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"step": 3}}, ["'step'", "'steps'", "guidebench show guide"]),
        ({"fresk": True}, ["option", "'fresk'", "'fresh'", "help(guidebench.run)"]),
        ({"floors": "some"}, ["'some'", "few, all or none"]),
        ({"samples": 1}, ["samples = 1"]),
        ({"metrics": ["nope"]}, ["metric", "'nope'"]),
        ({"device": "gpu"}, ["'gpu'", "cuda:N"]),
        ({"identities": 41}, ["41", "40"]),
        ({"identities": True}, ["identities = True", "integer"]),
        ({"settings": ["steps=3"]}, ["settings", "['steps=3']", "dictionary"]),
        ({"settings": {"alpha_max": [1]}}, ["method guide: alpha_max=[1]", "number"]),
        ({"metrics": 3}, ["3 is not a metric"]),
        ({"metrics": [[3]]}, ["[3] is not a metric"]),
        ({"watch": "x"}, ["watch", "'x'", "Watcher"]),
        ({"photos": 3}, ["photos", "3"]),
        ({"out": None}, ["out", "None"]),
        ({"out": "a\0b"}, ["out", r"'a\x00b'"]),
        ({"seeds": 1.5}, ["seeds", "1.5"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_exist_is_refused_with_what_does(run, tmp_path, options, words, says):
    with pytest.raises(BadInput, match=says(*words)):
        run("guide", **options)
    assert not (tmp_path / "records").exists()


def test_no_method_and_no_floor_is_nothing_to_run(run, says):
    with pytest.raises(BadInput, match=says("nothing to run", "'none'")):
        run([])
    assert run([], floors="few").measured == 2


def test_one_seed_and_a_device_of_torch_are_taken_as_they_are(run, tmp_path):
    assert run(Nothing, seeds=np.int64(4), device=torch.device("cpu")).measured == 1
    assert [record.spec.seed for record in recorded(tmp_path)] == [4]


def test_names_that_are_not_there_get_the_close_one(run, says):
    for given, words in (
        (("gide",), ["method", "'guide'"]),
        (("guide", "smok"), ["protocol", "'smoke'"]),
        (("guide", "smoke", "linar"), ["testbed", "'linear'"]),
    ):
        with pytest.raises(BadInput, match=says(*words)):
            run(*given)


@pytest.mark.long
def test_floors_are_few_all_or_none_and_never_twice(run, tmp_path):
    counts = {}
    for floors in ("none", "few", "all"):
        out = tmp_path / floors
        run([Shift, Nothing], identities=3, floors=floors, out=out)
        names = [record.spec.method.name for record in recorded(out)]
        counts[floors] = [names.count(name) for name in ("shift", "nothing", "scramble")]
    assert counts == {"none": [3, 3, 0], "few": [3, 3, 2], "all": [3, 3, 3]}


def test_a_watcher_hears_every_trial_begin_step_and_end(run):
    watch = Listener()
    run([Shift, Shift(fails=True)], watch=watch)
    assert watch.heard[0] == ("begin", 2, 1) and watch.heard[-1] == "closed"
    events = watch.heard[1:-1]
    assert [type(event) for event in events] == [Started, Stepped, Finished, Started, Finished]
    assert (events[1].step, events[1].scalars) == (1, {"loss": 0.25})
    assert [bool(event.reason) for event in events if isinstance(event, Finished)] == [False, True]


def test_a_watcher_is_closed_when_the_run_is_interrupted_and_what_is_measured_stays(run, tmp_path):
    """It interrupts as the second trial starts: begin, Started, Finished, Started."""
    watch = Listener(interrupt_at=4)
    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        run(Nothing, identities=3, watch=watch)
    assert watch.heard[-1] == "closed" and len(recorded(tmp_path)) == 1
    assert torch.get_num_threads() == threads
    assert run(Nothing, identities=3).skipped == 1


def test_a_watcher_of_a_run_with_nothing_to_do_is_opened_and_closed(run):
    run(Nothing)
    watch = Listener()
    run(Nothing, watch=watch)
    assert watch.heard == [("begin", 0, 1), "closed"]


@pytest.fixture
def threads():
    """Another count than a worker's, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def test_torch_has_its_threads_back(run, threads):
    run([Nothing, Shift(fails=True)])
    assert torch.get_num_threads() == threads


def test_torch_has_its_threads_back_when_the_testbed_cannot_be_loaded(run, threads, tmp_path):
    (tmp_path / "flat.py").write_text(
        "from guidebench.errors import MissingAsset\n"
        "from guidebench.testbeds.linear import LinearTestbed\n"
        "class Flat(LinearTestbed):\n"
        "    name = 'flat'\n"
        "    def players(self): raise MissingAsset('no generator')\n"
    )
    with pytest.raises(MissingAsset, match="no generator"):
        run(Nothing, testbed=f"{tmp_path}/flat.py:Flat")
    assert torch.get_num_threads() == threads


def test_nothing_is_printed_and_every_trial_is_a_line_of_the_log(run, capfd, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("guidebench"), "handlers", [])  # of commands that other tests ran
    with caplog.at_level(logging.INFO, logger="guidebench"):
        run([Shift, Shift(fails=True)])
    assert capfd.readouterr() == ("", "")
    assert all(record.name.startswith("guidebench.") and record.levelno == logging.INFO for record in caplog.records)
    plan, first, second = (record.getMessage() for record in caplog.records)
    assert "smoke" in plan and "linear" in plan and "2 of 2" in plan
    assert "[1/2] shift on celebahq-0000, seed 0" in first and " s" in first
    assert "[2/2] shift(fails=True,size=0.5)" in second and "out of luck" in second


@pytest.fixture
def typed(monkeypatch):
    """A method as it is in a notebook: of the module __main__."""

    @dataclass(frozen=True)
    class Typed(Shift):
        name = "typed"

    Typed.__module__, Typed.__qualname__ = "__main__", "Typed"
    monkeypatch.setattr(sys.modules["__main__"], "Typed", Typed, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)  # where its text is found
    return Typed


@pytest.mark.parametrize("workers", [None, 0])
def test_a_method_of_a_notebook_runs_in_this_process(run, typed, monkeypatch, workers):
    monkeypatch.setattr(LinearTestbed, "instant", False)  # others would run in workers, unless they were asked not to
    monkeypatch.setattr("guidebench.engine.workers.Pool", None)
    assert run([typed, "nothing"], workers=workers).measured == 2


def test_a_method_of_a_notebook_is_refused_with_workers(run, typed, says):
    with pytest.raises(BadInput, match=says("Typed", "workers=0")):
        run(typed, workers=2)


def test_a_method_that_does_not_fit_is_refused_before_the_testbed_is_loaded(run, monkeypatch, says):
    monkeypatch.setattr(LinearTestbed, "players", None)
    pairs = dataclasses.replace(protocol.load("smoke").resolve("linear"), name="pairs", identities=2, forget=2)
    with pytest.raises(BadInput, match=says("shift", "pairs", "simultaneous")):
        run(Shift, pairs, identities=2)


def test_a_testbed_that_lacks_files_is_refused_with_all_of_them(run, monkeypatch, says):
    monkeypatch.setattr(LinearTestbed, "missing", lambda self, sources: [f"photos of {sorted(sources)}", "weights"])
    with pytest.raises(MissingAsset, match=says("linear", "2 of its files", "['celebahq']", "weights")):
        run(Nothing)


def test_checkpoints_of_which_none_exists_are_refused_before_anything_runs(tmp_path, says):
    with pytest.raises(MissingAsset, match=says("none of the 2", "celebahq-0000")):
        guidebench.evaluate(
            f"{tmp_path}/ckpt/{{identity}}.pt", "smoke", "linear", identities=2, out=tmp_path / "out", floors="none"
        )
    assert not (tmp_path / "out/records").exists() and not (tmp_path / "out/failures").exists()


def test_a_checkpoint_that_is_absent_fails_its_own_trial(tmp_path):
    from safetensors.torch import save_file

    (tmp_path / "ckpt").mkdir()
    save_file(LinearTestbed().players().generator.state_dict(), tmp_path / "ckpt/celebahq-0000.safetensors")
    result = guidebench.evaluate(
        f"{tmp_path}/ckpt/{{identity}}.safetensors",
        "smoke",
        "linear",
        identities=2,
        samples=20,
        out=tmp_path / "out",
        floors="none",
    )
    (failed,) = result.failed
    assert result.measured == 1 and "celebahq-0001" in failed.reason
    assert {record.spec.method.training_seen for record in recorded(tmp_path / "out")} == {False}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 1e2}, ["samples", "100.0", "integer"]),
        ({"identities": "2"}, ["identities", "'2'"]),
        ({"seeds": [0, 0.5]}, ["seeds", "0.5"]),
        ({"workers": -1}, ["workers = -1"]),
        ({"testbed": 5}, ["testbed = 5"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_of_a_wrong_type_are_refused_by_name(run, options, words, says):
    with pytest.raises(BadInput, match=says(*words)):
        run(Nothing, **options)


def test_numpys_numbers_are_numbers(run, tmp_path):
    assert run(Shift(np.float64(0.25)), seeds=np.arange(2), samples=np.int64(30)).measured == 2
    assert {record.spec.method.fields["size"] for record in recorded(tmp_path)} == {0.25}


def test_a_metric_may_be_an_object_which_runs_in_this_process(run, tmp_path, monkeypatch, says):
    def compute(evidence):
        (person,) = evidence.forgotten
        return [
            Score(
                metric="mine", judge=None, identity=person.identity, role="forget", after_request=1, value=np.float32(2)
            )
        ]

    words = {"title": "Mine", "latex": "M", "direction": "none", "unit": "", "summary": "two", "judged": False}
    metric = TrialMetric(name="mine", compute=compute, **words)
    monkeypatch.setattr(LinearTestbed, "instant", False)
    assert run(Nothing, metrics=metric).measured == 1
    (record,) = recorded(tmp_path)
    assert [score.value for score in record.outcome.scores if score.metric == "mine"] == [2.0]
    with pytest.raises(BadInput, match=says("mine", "workers=0")):
        run(Nothing, metrics=[metric], workers=2)


def test_two_rows_may_be_one_trial_and_both_are_kept(run, tmp_path):
    """Such as a suite's sweep, one of whose values is the default."""
    entrants = choose_methods([Shift(), "nothing"], {}, "linear")
    twin = dataclasses.replace(entrants[0], chosen=dataclasses.replace(entrants[0].chosen, label="shift again"))
    options = Options(testbed="linear", out=tmp_path / "twins", workers=0)
    smoke = resolve_protocol("smoke", options, samples=20)
    heard = io.StringIO()
    result = engine.measure((smoke,), [*entrants, twin], options, Progress(heard))
    found = [stored.record for stored in folders.scan(tmp_path / "twins")[0]]
    assert result.measured == 3 and len({record.key for record in found}) == 2
    assert sorted(record.spec.method.label for record in found) == ["nothing", "shift again", "shift(size=0.5)"]
    assert engine.measure((smoke,), [*entrants, twin], options).skipped == 3


def test_a_method_whose_code_changes_during_a_run_fails_its_trial(tmp_path, says):
    """The key is that of the code with which the run was planned."""
    text = (
        "from dataclasses import dataclass\nfrom guidebench.unlearner import Unlearner\n\n\n"
        "@dataclass(frozen=True)\nclass Late(Unlearner):\n    name = 'late'\n\n"
        "    def unlearn(self, generator, request, context):\n        return generator\n"
    )
    (tmp_path / "late.py").write_text(text)

    class Edits(Listener):
        def begin(self, todo, workers):
            (tmp_path / "late.py").write_text(text + "# changed\n")

    for workers in (0, 1):
        (tmp_path / "late.py").write_text(text)
        result = guidebench.run(
            *("smoke", f"{tmp_path / 'late.py'}:Late", "linear"),
            floors="none",
            samples=20,
            out=tmp_path / str(workers),
            workers=workers,
            watch=Edits(),
        )
        (failed,) = result.failed
        assert re.search("code has changed", failed.reason)


def test_an_edited_file_is_loaded_again_in_the_same_session(tmp_path):
    """As in a notebook: edit, run, edit, run."""
    path = tmp_path / "edited.py"
    values = []
    for by in (0.0, 0.2):
        path.write_text(
            "from dataclasses import dataclass\nimport torch\nfrom guidebench.unlearner import Unlearner\n\n\n"
            "@dataclass(frozen=True)\nclass Edited(Unlearner):\n    name = 'edited'\n\n"
            "    def unlearn(self, generator, request, context):\n"
            "        with torch.no_grad():\n"
            f"            next(generator.parts()['backbone'].parameters()).add_({by})\n"
            "        return generator\n"
        )
        result = guidebench.run(
            "smoke", f"{path}:Edited", "linear", floors="none", samples=20, out=tmp_path / "runs", workers=0
        )
        scores = result.scores
        values.append(scores[(scores.metric == "id_retain") & (scores.judge == "plain")].value.item())
    assert values[0] != values[1] and len(recorded(tmp_path / "runs")) == 2


def test_a_method_whose_inputs_cannot_be_read_is_refused_before_anything_runs(run, monkeypatch, says):
    monkeypatch.setattr(Shift, "inputs", lambda self: 1 / 0)
    with pytest.raises(BadInput, match=says("shift", "ZeroDivisionError")):
        run(Shift)


def test_a_protocol_that_keeps_more_people_than_there_are_is_refused_before_anything_runs(run, says):
    crowded = dataclasses.replace(resolve_protocol("smoke", Options(testbed="linear")), retain=39, retain_named=1)
    with pytest.raises(BadInput, match=says("40", "retain_named")):
        run(Nothing, crowded)


def test_a_suite_takes_no_photographs(tmp_path, says):
    with pytest.raises(BadInput, match=says("photo", "run()")):
        guidebench.reproduce("table-2", testbed="linear", photos=tmp_path)


def test_torch_has_its_precision_back(run):
    torch.set_float32_matmul_precision("high")
    try:
        run(Nothing)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
