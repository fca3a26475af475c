"""Several runs in one directory: what another one has in flight or has recorded. And a directory that is taken away."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

import guidebench
from guidebench.baselines.nothing import Nothing
from guidebench.commands.main import main
from guidebench.engine import run as engine
from guidebench.errors import BadInput, StorageError
from guidebench.store import claims, folders
from guidebench.store.folders import Store
from guidebench.store.record import SCHEMA
from guidebench.unlearner import Unlearner


class Counted:
    """A list that processes share: one line of a file per entry."""

    def __init__(self):
        self._file = Path(tempfile.mkdtemp()) / "counted"

    def append(self, name):
        with open(self._file, "a") as stream:
            stream.write(f"{name}\n")

    def clear(self):
        self._file.unlink(missing_ok=True)

    def __iter__(self):
        return iter(self._file.read_text().split() if self._file.exists() else [])

    def __len__(self):
        return sum(1 for _ in self)


COUNT = Counted()  # people whom `Counting` forgot


@dataclass(frozen=True)
class Counting(Unlearner):
    """Counts its trials."""

    name = "counting"

    def unlearn(self, generator, request, context):
        COUNT.append(request.forget[0].identity)
        with torch.no_grad():
            generator.get_parameter("backbone.coarse.bias").add_(0.1)
        return generator


@pytest.fixture
def run(tmp_path):
    """A run of three trials in one directory."""
    COUNT.clear()

    def run(method=Counting, **options):
        options = {"identities": 3, "floors": "none", "samples": 20, "workers": 0, "out": tmp_path / "out", **options}
        return guidebench.run("smoke", method, "linear", **options)

    return run


def specs_of(out, run):
    """The specs of the three trials; their records are gone afterwards."""
    run()
    found = [item.record.spec for item in folders.scan(out)[0]]
    shutil.rmtree(out)
    COUNT.clear()
    return found


@pytest.fixture
def when_it_waits(monkeypatch):
    """What somebody else does as soon as a run waits for him."""

    def do(something):
        clock = SimpleNamespace(sleep=lambda seconds: something(), perf_counter=time.perf_counter)
        monkeypatch.setattr(engine, "time", clock)

    return do


def test_what_another_run_has_in_flight_is_waited_for_and_not_repeated(tmp_path, run, caplog, when_it_waits):
    specs = specs_of(tmp_path / "out", run)
    records = tmp_path / "theirs"
    run(out=records)
    COUNT.clear()
    caplog.set_level(logging.INFO, logger="guidebench")
    store = Store(tmp_path / "out")
    theirs = claims.claimed(store, specs[1])
    assert theirs.__enter__()

    def finish():
        place = store.path(specs[1])
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(Store(records).path(specs[1]), place)
        theirs.__exit__(None, None, None)

    when_it_waits(finish)
    result = run()
    assert sorted(COUNT) == sorted(spec.group for spec in specs if spec != specs[1])
    assert (result.measured, result.skipped, result.failed) == (2, 1, ())
    assert any("waiting for trials that another process runs" in text for text in caplog.messages)
    assert any(f"on {specs[1].group}" in text and "another process has it" in text for text in caplog.messages)


def test_what_another_run_gave_up_is_run_here(tmp_path, run, when_it_waits):
    specs = specs_of(tmp_path / "out", run)
    theirs = claims.claimed(Store(tmp_path / "out"), specs[0])
    assert theirs.__enter__()
    when_it_waits(lambda: theirs.__exit__(None, None, None))
    result = run()
    assert (result.measured, result.skipped) == (3, 0) and len(COUNT) == 3


def test_a_run_that_measures_again_replaces_each_record_once(run):
    run()
    COUNT.clear()
    again = run(fresh=True)
    assert (again.measured, again.skipped) == (3, 0) and len(COUNT) == 3


def test_what_was_recorded_while_a_run_went_on_is_skipped(tmp_path, run, monkeypatch):
    """As it happens where another run does the same trials and is faster."""
    execute = engine._execute

    def late(executor, todo, *rest):
        monkeypatch.setattr(engine, "_execute", execute)
        run()
        return execute(executor, todo, *rest)

    monkeypatch.setattr(engine, "_execute", late)
    result = run()
    assert (result.measured, result.skipped) == (0, 3) and len(COUNT) == 3


@pytest.mark.parametrize("what", ["", "records", "records/smoke/nothing"])
def test_a_directory_that_is_deleted_in_mid_run_is_no_success(tmp_path, monkeypatch, what):
    out = tmp_path / "out"
    COUNT.clear()

    def unlearn(self, generator, request, context):
        COUNT.append(request.forget[0].identity)
        if len(COUNT) == 3:
            shutil.rmtree(out / what)
        return generator

    monkeypatch.setattr(Nothing, "unlearn", unlearn)
    words = ["--protocol", "smoke", "--testbed", "linear", "--method", "nothing", "--identities", "4"]
    done = CliRunner().invoke(main, ["run", *words, "--floors", "none", "--out", str(out), "--workers", "0"])
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("guidebench: ")]
    assert done.exit_code == 2 and done.stdout == "" and "measured" not in line
    assert str(out) in line and "deleted or moved" in line and "the same command again" in line


def test_lost_records_are_a_storage_error_in_python(tmp_path, run, monkeypatch):
    execute = engine._execute

    def lossy(*arguments):
        finished = execute(*arguments)
        shutil.rmtree(finished[0].folder)
        return finished

    monkeypatch.setattr(engine, "_execute", lossy)
    with pytest.raises(StorageError, match="1 of the 3 records"):
        run()


def test_a_record_of_a_later_version_stops_a_run_before_it_begins(tmp_path, run, says):
    run(identities=1)
    (path,) = (tmp_path / "out").glob("records/*/*/*/record.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": SCHEMA + 1}))
    content = path.read_bytes()
    for fresh in (False, True):
        with pytest.raises(BadInput, match=says("later version", str(path.parent), "another --out")):
            run(fresh=fresh)
    assert path.read_bytes() == content and len(COUNT) == 1


def test_a_wrong_record_is_measured_again_and_kept_aside(tmp_path, run):
    first = run(identities=2)
    assert first.measured == 2
    one, two = sorted((tmp_path / "out").glob("records/smoke/counting/*"))
    shutil.copy(two / "evidence.npz", one / "evidence.npz")
    content = (one / "evidence.npz").read_bytes()
    again = run(identities=2)
    assert (again.measured, again.skipped) == (1, 1)
    (kept,) = (tmp_path / "out/replaced/smoke/counting").glob("*/1/evidence.npz")
    assert kept.read_bytes() == content and kept.parents[1].name == one.name
    assert folders.read(one).is_measured
