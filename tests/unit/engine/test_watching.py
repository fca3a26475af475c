"""Watchers together, and one that raises."""

from __future__ import annotations

import logging

import pytest

from guidebench.engine.events import Sampled
from guidebench.engine.watching import Spared, Together, Watcher

EVENT = Sampled(1, 2)


class Listener(Watcher):
    """Notes what it hears, and raises at one call."""

    def __init__(self, raises_at=""):
        self.heard, self._raises_at = [], raises_at

    def _note(self, name):
        self.heard.append(name)
        if name == self._raises_at:
            raise OSError("no network")

    def begin(self, todo, workers):
        self._note("begin")

    def hear(self, event):
        self._note("hear")

    def close(self):
        self._note("close")


def follow(watcher):
    watcher.begin([], 1)
    watcher.hear(EVENT)
    watcher.hear(EVENT)
    watcher.close()


def test_all_hear_everything():
    first, second = Listener(), Listener()
    follow(Together(first, second))
    assert first.heard == second.heard == ["begin", "hear", "hear", "close"]


@pytest.mark.parametrize("raises_at", ["begin", "hear", "close"])
def test_all_hear_what_one_of_them_raises_at_and_the_error_comes_afterwards(raises_at):
    last = Listener()
    together = Together(Listener(raises_at), Listener(raises_at), last)
    calls = {"begin": ([], 1), "hear": (EVENT,), "close": ()}
    with pytest.raises(OSError, match="no network"):
        getattr(together, raises_at)(*calls[raises_at])
    assert last.heard == [raises_at]


@pytest.mark.parametrize(
    ("raises_at", "heard"),
    [
        ("begin", ["begin", "close"]),
        ("hear", ["begin", "hear", "close"]),
        ("close", ["begin", "hear", "hear", "close"]),
    ],
)
def test_one_that_raises_is_let_go_with_one_warning_and_the_others_hear_on(caplog, raises_at, heard):
    broken, other = Listener(raises_at), Listener()
    with caplog.at_level(logging.WARNING, "guidebench"):
        follow(Together(Spared(broken, "--log x"), other))
    assert broken.heard == heard and len(other.heard) == 4
    (warning,) = caplog.messages
    assert "--log x" in warning and "no network" in warning and "\n" not in warning
