"""torchvision is imported where it can be, also beside a torch that lacks its operators."""

from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace

import pytest

from guidebench import torchvision_fix


def test_what_imports_is_left_alone():
    """The pair of this machine may be healthy or repaired; the second time there is nothing to do either way."""
    torchvision, kept = torchvision_fix.import_torchvision(), list(torchvision_fix._kept)
    assert torchvision_fix.import_torchvision() is torchvision is sys.modules["torchvision"]
    assert torchvision_fix._kept == kept


@pytest.fixture
def broken(monkeypatch):
    """Lets the first imports of torchvision fail with these errors; returns what was defined in torch meanwhile."""
    import torch

    torchvision = torchvision_fix.import_torchvision()
    defined, pending = [], []

    class Library:
        def __init__(self, name, kind):
            assert (name, kind) == ("torchvision", "DEF")

        def define(self, signature):
            defined.append(signature.partition("(")[0])

    def importing(name, *given, real=builtins.__import__, **named):
        if name == "torchvision" and pending:
            raise pending.pop(0)
        return real(name, *given, **named)

    monkeypatch.setattr(torchvision_fix, "_kept", [])
    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr(builtins, "__import__", importing)
    loaded = {"torchvision": torchvision, "torch": torch}  # instead of Python's own, which other tests need
    monkeypatch.setattr(torchvision_fix, "sys", SimpleNamespace(modules=loaded))

    def fail(*errors):
        pending.extend(errors)
        return defined

    return fail


def test_operators_that_are_not_registered_are_declared_and_kept(broken):
    defined = broken(RuntimeError("operator torchvision::nms does not exist"))
    assert torchvision_fix.import_torchvision().__name__ == "torchvision"
    assert defined == ["nms", "qnms"] and len(torchvision_fix._kept) == 1
    assert "torchvision" not in torchvision_fix.sys.modules, "what was half imported is imported again"


def test_any_other_error_is_not_hidden(broken):
    defined = broken(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        torchvision_fix.import_torchvision()
    assert defined == []
