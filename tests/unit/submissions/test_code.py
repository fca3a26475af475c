"""Code is compared by digest and never run unless somebody trusts it."""

from __future__ import annotations

import sys

import pytest
from tampering import METHOD, lines, rezipped

import guidebench
from guidebench.submissions.manifest import NAME, Submission
from guidebench.submissions.pack import pack
from guidebench.submissions.verify import verify

HELPER = "LR = 0.01\n"
MINE = """
from dataclasses import dataclass
from pathlib import Path

from guidebench.baselines.nothing import Nothing
from submitted_helper import LR

Path("RAN").touch()

@dataclass(frozen=True)
class Mine(Nothing):
    name = "mine"
    lr: float = LR
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A method in a file with a helper beside it, measured, and packed with its code."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "submitted_helper.py").write_text(HELPER)
    (folder / "submitted.py").write_text(MINE.replace("RAN", str(folder / "ran")))
    options = {"floors": "none", "workers": 0, "keep_generators": True, "out": folder / "runs"}
    guidebench.run("smoke", f"{folder / 'submitted.py'}:Mine", "linear", **options)
    pack([folder / "runs"], folder / "a.zip", METHOD, source=folder / "submitted.py")
    (folder / "ran").unlink()
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]
    return folder


def code_of(found, result):
    return [says for about, says in lines(found, result) if about == "code"]


def test_included_code_is_what_ran_and_does_not_run_again(mine):
    found = verify(mine / "a.zip")
    assert code_of(found, "ok") == ["method mine ran as the included source/submitted.py"]
    assert found.differing == 0 and not (mine / "ran").exists()
    (says,) = [says for about, says in lines(found, "not checked") if about == "renders"]
    assert "--trust-code" in says and "submitted.py:Mine" in says


def test_trusted_code_runs_from_the_file_and_renders(mine):
    (mine / "submitted.py").rename(mine / "moved.py")
    found = verify(mine / "a.zip", trust_code=True)
    (mine / "moved.py").rename(mine / "submitted.py")
    assert found.differing == 0 and (mine / "ran").exists()
    assert any(about == "renders" and says.startswith("1 kept generator") for about, says in lines(found, "ok"))


@pytest.mark.parametrize("name", ["submitted.py", "submitted_helper.py"])
def test_included_code_that_is_not_what_ran_is_named(mine, tmp_path, name):
    def change(member, content):
        return content + b"# better\n" if member == f"source/{name}" else content

    found = verify(rezipped(mine / "a.zip", tmp_path / "b.zip", change), sample=0)
    assert [about for about, _ in lines(found, "differs")] == ["files", "code"]


def test_code_that_is_nowhere_is_said(mine, tmp_path):
    pack([mine / "runs"], tmp_path / "a.zip", METHOD)
    assert any("--source" in says for says in code_of(verify(tmp_path / "a.zip", sample=0), "not checked"))


def test_installed_code_that_is_other_than_what_ran_is_named(packed, monkeypatch):
    monkeypatch.setattr("guidebench.submissions.code._installed", lambda kind, name: "other")
    (first, second) = code_of(verify(packed, sample=0), "differs")
    assert "mean-latent" in first and "redirect" in second


def test_code_outside_of_the_file_is_not_read(packed, tmp_path):
    def change(name, content):
        if name != NAME:
            return content
        data = Submission.from_json(content)
        return data.to_json().replace(b'"sources": []', b'"sources": ["../../../etc/hosts"]')

    with pytest.raises(guidebench.errors.BadInput, match="hosts"):
        verify(rezipped(packed, tmp_path / "b.zip", change))
