"""What may happen to a directory of results: its disk fills, it is written by two versions, it holds pipes."""

from __future__ import annotations

import os
import shutil

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main
from guidebench.store import folders, record
from guidebench.store.folders import read

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear", "--method", "mean-latent", "--floors", "none")
SMALL = ("--identities", "3", "--workers", "0")


def one_line(result, *words):
    assert result.exit_code == 2 and "internal error" not in result.stderr, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("guidebench: ") and all(word in last for word in words), last


def test_a_disk_that_fills_stops_the_run_and_the_same_command_resumes(tmp_path, guidebench_run, records, monkeypatch):
    """At the second record, where it is forced to disk: what was recorded before stays, and nothing is half written."""
    sync, seen = folders._sync, []

    def full(folder):
        seen.append(folder)
        if len(seen) == 2:
            raise OSError(28, "No space left on device")
        sync(folder)

    monkeypatch.setattr(folders, "_sync", full)
    one_line(guidebench_run(*SMOKE, *SMALL, out=tmp_path / "out"), "no space left", str(tmp_path / "out"), "resumes")
    (kept,) = records(tmp_path / "out")
    before = (kept / "record.json").read_bytes()
    assert not list((tmp_path / "out").rglob(".building-*"))
    again = guidebench_run(*SMOKE, *SMALL, out=tmp_path / "out")
    assert again.exit_code == 0 and "2 measured" in again.stderr
    assert len(records(tmp_path / "out")) == 3 and (kept / "record.json").read_bytes() == before


def test_two_versions_on_one_directory_keep_their_own_trials(tmp_path, guidebench_run, records, monkeypatch):
    """A version of other numerics measures again and reports refuse the mixture; one of the same numerics goes on."""
    out = tmp_path / "out"
    assert guidebench_run(*SMOKE, *SMALL, out=out).exit_code == 0
    monkeypatch.setattr("guidebench.__version__", "99.0.0")
    skipped = guidebench_run(*SMOKE, *SMALL, out=out)
    assert skipped.exit_code == 0 and len(records(out)) == 3
    monkeypatch.setitem(record.TrialSpec.__init__.__kwdefaults__, "numerics", record.NUMERICS_VERSION + 1)
    other = guidebench_run(*SMOKE, *SMALL, out=out)
    assert other.exit_code == 0 and "3 measured" in other.stderr, other.stderr
    found = [read(folder) for folder in records(out)]
    assert (
        sorted(item.spec.numerics for item in found)
        == [record.NUMERICS_VERSION] * 3 + [record.NUMERICS_VERSION + 1] * 3
    )
    assert {item.environment.versions["guidebench"] for item in found} >= {"99.0.0"}
    one_line(CliRunner().invoke(main, ["report", str(out)]), "numerics")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_in_a_directory_are_named_and_not_waited_for(tmp_path, guidebench_run, records):
    out = tmp_path / "out"
    assert guidebench_run(*SMOKE, *SMALL, out=out).exit_code == 0
    whole = shutil.copytree(out, tmp_path / "whole")
    for folder, name in zip(records(out), ("record.json", "evidence.npz", "latents.npz"), strict=True):
        (folder / name).unlink()
        os.mkfifo(folder / name)
    one_line(CliRunner().invoke(main, ["report", str(out)]), "none of the 3 records")
    status = CliRunner().invoke(main, ["status", str(out)])
    assert [name in status.output for name in ("record.json", "evidence.npz", "latents.npz")] == [True] * 3
    (whole / "salt").unlink()
    os.mkfifo(whole / "salt")
    one_line(guidebench_run(*SMOKE, *SMALL, out=whole), "salt")
    for shared in list((whole / "shared").glob("*.npz")):
        shared.unlink()
        os.mkfifo(shared)
    rescored = CliRunner().invoke(main, ["rescore", str(whole)])
    assert rescored.exit_code == 2 and "shared" in rescored.stderr


LARGE = '''
import torch
from dataclasses import dataclass
from guidebench import Unlearner

@dataclass(frozen=True)
class Large(Unlearner):
    """Needs more memory than there is."""

    name = "large"

    def unlearn(self, generator, request, context):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80 GiB")
'''


def test_a_method_that_no_memory_holds_fails_its_trials_and_others_go_on(tmp_path, guidebench_run, records):
    (tmp_path / "large.py").write_text(LARGE)
    done = guidebench_run(*SMOKE, *SMALL, "--method", f"{tmp_path}/large.py:Large", out=tmp_path / "out")
    assert done.exit_code == 1, done.stderr
    found = [read(folder) for folder in records(tmp_path / "out")]
    assert [item.spec.method.name for item in found] == ["mean-latent"] * 3
    failed = [read(path.parent) for path in (tmp_path / "out/failures").rglob("record.json")]
    assert len(failed) == 3
    for item in failed:
        assert "OutOfMemoryError" in item.outcome.reason and "80 GiB" in item.outcome.reason
        assert "\n" not in item.outcome.reason
