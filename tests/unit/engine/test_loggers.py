"""Loggers: what they write of a run, to stand-ins for the services, and to these where they are installed."""

from __future__ import annotations

import dataclasses
import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import guidebench
from guidebench.engine.events import Finished, Started
from guidebench.engine.loggers import logger_of
from guidebench.engine.plan import Case
from guidebench.errors import BadInput
from guidebench.store import folders
from guidebench.unlearner import Unlearner


@dataclasses.dataclass(frozen=True)
class Steps(Unlearner):
    """Reports every step, some faster than anybody is told."""

    name = "steps"
    supports = frozenset({"single", "sequential"})
    fails: bool = False

    def unlearn(self, generator, request, context):
        for step in (1, 2, 3):
            context.progress(step, loss=1 / step, local=0.5)
        if self.fails:
            raise RuntimeError("out of luck")
        return generator


@pytest.fixture
def run(tmp_path):
    def run(method, *log, protocol="smoke", **options):
        options = {"floors": "none", "samples": 20, "identities": 1, "seeds": [0], "workers": 0, **options}
        return guidebench.run(protocol, method, "linear", out=tmp_path / "out", log=log, **options)

    return run


class Writer:
    """Stands in for `torch.utils.tensorboard.SummaryWriter`."""

    written: dict = {}

    def __init__(self, folder):
        self.calls = self.written.setdefault(folder, [])

    def __getattr__(self, name):
        return lambda *given, **named: self.calls.append((name, *given))


@pytest.fixture
def tensorboard(monkeypatch):
    monkeypatch.setattr(Writer, "written", {})
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    return Writer


class Wandb(ModuleType):
    """Stands in for `wandb`."""

    Settings = staticmethod(lambda **named: named)
    Image = staticmethod(lambda array: ("image", array.shape))

    def __init__(self):
        super().__init__("wandb")
        self.runs = []

    def init(self, **named):
        logged, ended = [], []
        run = SimpleNamespace(given=named, logged=logged, ended=ended, summary={})
        run.log = lambda values, step=None: logged.append((step, values))
        run.finish = lambda exit_code: ended.append(exit_code)
        self.runs.append(run)
        return run


@pytest.fixture
def wandb(monkeypatch):
    found = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", found)
    return found


def test_tensorboard_has_every_step_the_scores_and_the_sheet_of_each_trial(run, tensorboard, tmp_path):
    assert run(Steps(), f"tensorboard:{tmp_path / 'board'}", identities=2).measured == 2
    stored, _ = folders.scan(tmp_path / "out")
    assert {*tensorboard.written} == {
        str(tmp_path / "board" / item.path.relative_to(tmp_path / "out" / "records")) for item in stored
    }
    for calls in tensorboard.written.values():
        scalars = {(call[1], call[3]): call[2] for call in calls if call[0] == "add_scalar"}
        assert [scalars["progress/loss", step] for step in (1, 2, 3)] == [1, 1 / 2, 1 / 3]
        assert scalars["progress/local", 3] == 0.5 and scalars["cost/steps", 0] == 3
        judge = stored[0].record.instrument.judges[0].name
        assert scalars[f"score/id/{judge}", 0] == pytest.approx(1)
        (sheet,) = (call[2] for call in calls if call[0] == "add_image")
        assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.shape[2] == 3
        assert calls[0][0] == "add_text" and "method = steps" in calls[0][2] and calls[-1] == ("close",)


def test_steps_are_counted_on_over_requests(run, tensorboard, tmp_path):
    run(Steps(), "tensorboard", protocol="celebahq-sequential", requests=2, identities=2)
    ((folder, calls),) = tensorboard.written.items()
    assert folder.startswith(str(tmp_path / "out" / "tensorboard"))
    assert [call[3] for call in calls if call[:2] == ("add_scalar", "progress/loss")] == [1, 2, 3, 4, 5, 6]
    names = [call[1] for call in calls if call[0] == "add_scalar"]
    whom = {name.rpartition("/")[2] for name in names if name.startswith("score/id/")}
    assert whom == {"celebahq-0000", "celebahq-0001"}


def test_wandb_has_a_run_for_each_trial_which_says_how_it_ended(run, wandb):
    run(Steps(), "wandb:mine")
    run(Steps(fails=True), "wandb")
    done, failed = wandb.runs
    assert (done.given["project"], done.given["group"], done.given["job_type"]) == ("mine", "smoke", "steps")
    assert done.given["config"]["people"] == ["celebahq-0000"] and done.given["config"]["method.fails"] is False
    assert done.logged[:3] == [(step, {"progress/loss": 1 / step, "progress/local": 0.5}) for step in (1, 2, 3)]
    assert done.logged[3][1]["before and after"][0] == "image"
    assert done.summary["cost/steps"] == 3 and done.ended == [0]
    assert failed.given["project"] == "guidebench"
    assert "out of luck" in failed.summary["failed"] and failed.ended == [1] and len(failed.logged) == 3


def test_a_trial_that_another_process_has_opens_no_page(tensorboard, tmp_path):
    case = Case(spec=None, index=0)
    logger = logger_of("tensorboard", tmp_path)
    logger.begin([], 1)
    logger.hear(Started(case))
    logger.hear(Finished(case, None, 0.1))
    logger.close()
    assert not tensorboard.written


def test_a_logger_that_raises_costs_one_warning_and_no_trial(run, wandb, caplog):
    wandb.init = lambda **named: (_ for _ in ()).throw(ConnectionError("not logged in"))
    with caplog.at_level(logging.WARNING, "guidebench"):
        assert run(Steps(), "wandb", identities=2).measured == 2
    (warning,) = (text for text in caplog.messages if "wandb" in text)
    assert "not logged in" in warning and "goes on" in warning


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_one_line_that_says_what_to_install(run, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard" if name == "tensorboard" else name, None)
    with pytest.raises(BadInput) as caught:
        run(Steps(), name)
    assert f"`pip install {name}`" in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/records/**/record.json"))


@pytest.mark.parametrize("spec", ["", "tensorbord", "csv:x"])
def test_other_services_are_refused(spec, tmp_path):
    with pytest.raises(BadInput, match=r"tensorboard\[:DIR\] or wandb\[:PROJECT\]"):
        logger_of(spec, tmp_path)


def test_tensorboard_itself_reads_what_was_written(run, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard")
    run(Steps(), "tensorboard")
    (file,) = (tmp_path / "out" / "tensorboard").rglob("events*")
    found = reader.EventAccumulator(str(file.parent)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("progress/loss")] == [
        (step, pytest.approx(1 / step)) for step in (1, 2, 3)
    ]
    assert found.Scalars("cost/steps")[0].value == 3
    assert found.Tags()["images"] == ["before and after"]


def test_wandb_itself_takes_it_offline(run, tmp_path, monkeypatch, caplog):
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with caplog.at_level(logging.WARNING, "guidebench"):
        assert run(Steps(), "wandb").measured == 1
    assert not [text for text in caplog.messages if "wandb" in text]
    (file,) = (tmp_path / "out" / "wandb").rglob("*.wandb")
    assert file.stat().st_size > 1000
