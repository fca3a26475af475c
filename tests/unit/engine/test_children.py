"""What a child answers, what it says on the way, and what is heard where it fails."""

from __future__ import annotations

import logging
import os
import time

import pytest

from guidebench.engine import nursery
from guidebench.engine.children import answered, told_failures
from guidebench.engine.nursery import Nursery
from guidebench.engine.wire import told
from guidebench.errors import BadInput, MethodError

pytestmark = pytest.mark.skipif(not nursery.available(), reason="nurseries need Linux")


def play(pipe):
    """Does as it is told, once."""
    with told_failures(pipe, "attack"):
        match pipe.recv_bytes():
            case b"answer":
                logging.getLogger("guidebench.somewhere").warning("heard %s", "this")
                logging.getLogger("guidebench.somewhere").debug("a detail")
                pipe.send_bytes(told("step", step=1))
                pipe.send_bytes(told("step", step=2))
                pipe.send_bytes(told("answer", pid=os.getpid()))
            case b"bad":
                raise BadInput("not like this")
            case b"interrupted":
                raise KeyboardInterrupt
            case b"exit":
                os._exit(3)
            case b"sleep":
                time.sleep(600)


@pytest.fixture
def child():
    opened = Nursery(play)
    yield opened.child
    opened.close()


def ask(child, word, timeout=20.0, **options):
    found = child()
    found.send(word)
    return answered(found, timeout, **options)


def test_an_answer_comes_after_messages_and_progress(child, caplog):
    steps = []
    with caplog.at_level(logging.INFO, logger="guidebench"):
        answer = ask(child, b"answer", on_step=lambda content: steps.append(content["step"]))
    assert answer["pid"] != os.getpid() and steps == [1, 2]
    assert [(one.name, one.getMessage()) for one in caplog.records] == [("guidebench.somewhere", "heard this")]


def test_progress_that_nobody_asked_for_is_passed_over(child):
    assert ask(child, b"answer", None)["pid"]


@pytest.mark.parametrize(
    ("word", "words"),
    [(b"bad", "^not like this$"), (b"interrupted", "the attack raised KeyboardInterrupt"), (b"exit", "exit code 3")],
)
def test_what_fails_in_a_child_fails_here_in_one_line(child, word, words):
    with pytest.raises(MethodError, match=words) as failed:
        ask(child, word)
    assert "\n" not in str(failed.value)


def test_a_child_that_takes_too_long_is_ended(child):
    with pytest.raises(MethodError, match=r"0\.2 s that --timeout allows"):
        ask(child, b"sleep", 0.2)
