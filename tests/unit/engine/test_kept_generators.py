"""`guidebench render` runs nobody's code unasked, and renders what the trial kept (end_to_end/test_recorded.py)."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.store import folders

SPY = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


@pytest.fixture(scope="module")
def kept_once(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    guidebench.run("smoke", "mean-latent", "linear", floors="none", out=out, keep_generators=True, workers=0)
    (folder,) = out.glob("records/*/*/*")
    return folder


@pytest.fixture
def kept(tmp_path, kept_once):
    """A copy of a record with its generator."""
    return shutil.copytree(kept_once, tmp_path / kept_once.name)


def render(folder, *words):
    return CliRunner().invoke(main, ["render", str(folder), "--out", str(folder.parent / "x.png"), *words])


def rename(folder, *, method=None, testbed=None, fields=None):
    """Rewrites a record so that it names other code."""
    record = folders.read(folder)
    chosen = dataclasses.replace(
        record.spec.method, spec=method or record.spec.method.spec, fields=fields or record.spec.method.fields
    )
    instrument = dataclasses.replace(record.instrument, testbed=testbed or record.instrument.testbed)
    spec = dataclasses.replace(record.spec, method=chosen)
    folders.rewrite_record(dataclasses.replace(record, spec=spec, instrument=instrument), folder)


def test_methods_and_testbeds_that_ship_need_no_trust(kept):
    assert render(kept).exit_code == 0 and (kept.parent / "x.png").is_file()


@pytest.mark.parametrize("what", ["method", "testbed", "loader"])
def test_a_file_that_a_record_names_is_not_run_before_somebody_says_so(kept, tmp_path, what):
    file = tmp_path / "spy.py"
    file.write_text(SPY)
    if what == "loader":
        rename(kept, method="checkpoint", fields={"path": "x", "loader": f"{file}:load"})
    else:
        rename(kept, **{what: f"{file}:Mine"})
    done = render(kept)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "ran").exists()
    name = f"{file}:load" if what == "loader" else f"{file}:Mine"
    assert f"names code that would be run: {what} {name}; give --trust-code" in done.stderr
    render(kept, "--trust-code")
    assert (tmp_path / "ran").exists()


def test_a_module_that_a_record_names_is_not_imported_either(kept, tmp_path, monkeypatch):
    (tmp_path / "spy_module.py").write_text(SPY)
    monkeypatch.syspath_prepend(tmp_path)
    rename(kept, method="spy_module:Mine")
    done = render(kept)
    assert done.exit_code == 2 and "method spy_module:Mine; give" in done.stderr and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["delta.safetensors", "other.pkl"])
def test_a_generator_that_the_trial_did_not_keep_is_refused(kept, name):
    (kept / "generator" / name).write_bytes(b"another one")
    done = render(kept)
    assert done.exit_code == 2 and f"generator/{name} is not" in done.stderr and done.stderr.count("\n") == 1


def test_a_record_that_was_edited_is_refused(kept):
    text = (kept / "record.json").read_text()
    (kept / "record.json").write_text(text.replace('"device": "', '"device": "another '))
    done = render(kept)
    assert done.exit_code == 2 and "digest" in done.stderr and str(kept) in done.stderr


def test_what_kept_no_generator_says_how_to_get_one(kept):
    shutil.rmtree(kept / "generator")
    done = render(kept)
    assert done.exit_code == 2 and "--keep-generators" in done.stderr
