"""Children of a nursery: what they share, how they end, and that nothing of theirs outlives their maker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from guidebench.engine import nursery
from guidebench.engine.nursery import Nursery
from guidebench.errors import MethodError

pytestmark = pytest.mark.skipif(not nursery.available(), reason="nurseries need Linux")


def echo(pipe):
    """Answers until the pipe closes."""
    while True:
        message = pipe.recv_bytes()
        if message == b"exit":
            os._exit(3)
        if message == b"crash":
            os.kill(os.getpid(), signal.SIGUSR1)
        if message == b"leave":
            threading.Thread(target=time.sleep, args=(600,)).start()
            subprocess.Popen(["sleep", "601"])
        pipe.send_bytes(message + str(os.getpid()).encode())


@pytest.fixture
def opened():
    found = Nursery(echo)
    yield found
    found.close()


def ask(child, message):
    child.send(message)
    return child.receive(20).decode()


def test_every_child_is_a_process_of_its_own_that_knows_what_its_maker_knew_before(opened, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "known", "later", raising=False)
    pids = {ask(opened.child(), b"pid ") for _ in range(3)}
    assert len(pids) == 3 and f"pid {os.getpid()}" not in pids


def test_how_a_child_ended_is_said(opened):
    for message, words in ((b"exit", "exit code 3"), (b"crash", "SIGUSR1")):
        child = opened.child()
        child.send(message)
        with pytest.raises(MethodError, match=words):
            child.receive(20)
    assert ask(opened.child(), b"pid ").startswith("pid ")


def test_a_child_that_does_not_answer_is_given_up_and_ended_by_force(opened):
    child = opened.child()
    pid = int(ask(child, b""))
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        child.receive(0.1)
    child.kill()
    assert not os.path.exists(f"/proc/{pid}")


def test_threads_and_processes_that_a_child_leaves_end_with_it(opened):
    child = opened.child()
    pid = int(ask(child, b"leave").removeprefix("leave"))
    group = os.getpgid(pid)
    assert group == pid != os.getpgrp()
    child.end()
    with pytest.raises(ProcessLookupError):
        for _ in range(200):  # the kernel takes a moment to bury them
            os.killpg(group, 0)
            time.sleep(0.05)


def test_a_second_nursery_does_not_keep_the_first_one_open():
    first, second = Nursery(echo), Nursery(echo)
    first.close()
    assert ask(second.child(), b"pid ").startswith("pid ")
    second.close()


KILLED = """
import os, sys, time
from guidebench.engine.nursery import Nursery
def endless(pipe):
    pipe.send_bytes(str(os.getpid()).encode())
    while True:
        time.sleep(0.01)
child = Nursery(endless).child()
print(child.receive().decode(), flush=True)
time.sleep(600)
"""


def test_a_killed_maker_takes_its_children_with_it():
    maker = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    pid = int(maker.stdout.readline())
    maker.kill()
    maker.wait()
    for _ in range(200):
        if not os.path.exists(f"/proc/{pid}"):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the child went on")
