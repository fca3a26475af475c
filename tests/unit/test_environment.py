"""Device, versions and commit, as records keep them."""

from __future__ import annotations

import subprocess

import pytest
import torch
from packaging.version import Version

import guidebench
from guidebench import environment
from guidebench.errors import BadInput


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)


@pytest.mark.parametrize(("name", "device"), [("auto", "cuda"), ("cpu", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda:1")])
def test_a_device_that_exists_is_taken(name, device, two_gpus):
    assert environment.resolve_device(name) == device


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cuda:2"])
def test_a_device_that_does_not_exist_is_named(name, two_gpus):
    with pytest.raises(BadInput, match=name):
        environment.resolve_device(name)


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["0", "1"]), ("", ["0", "1"]), ("3,5", ["3", "5"]), ("GPU-a,GPU-b,9", ["GPU-a", "GPU-b"])],
)
def test_cuda_devices_are_called_as_the_variable_calls_them(monkeypatch, two_gpus, visible, names):
    """Of devices that are not there, torch counts none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert environment.cuda_devices() == names


def test_without_cuda_auto_is_the_cpu_and_cuda_is_refused_with_the_version(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert environment.resolve_device("auto") == "cpu"
    with pytest.raises(BadInput) as caught:
        environment.resolve_device("cuda:0")
    assert torch.__version__ in str(caught.value) and "give cpu" in str(caught.value)


def test_a_cpu_has_a_name():
    assert environment.device_in_words("cpu").removeprefix("cpu (").removesuffix(")")


def test_a_gpu_is_called_by_its_product_name(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU at {device}")
    assert environment.device_in_words("cuda:1") == "GPU at cuda:1"


def test_versions_name_what_is_absent(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package"))
    found = environment.versions()
    assert found["guidebench"] == guidebench.__version__
    assert Version(found["torch"]).public == Version(torch.__version__).public  # the build is not always named
    assert found["no-such-package"] == "absent" and found["python"].startswith("3.")


def test_the_commit_says_whether_tracked_files_are_changed(tmp_path):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert environment.checkout_commit(tmp_path) is None
    git("init", "-q")
    assert environment.checkout_commit(tmp_path) is None  # no commit yet
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-q", "-m", "a")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "untracked.txt").write_text("b")
    assert environment.checkout_commit(tmp_path) == commit
    (tmp_path / "a.txt").write_text("changed")
    assert environment.checkout_commit(tmp_path) == f"{commit}+dirty"
