"""Progress: plain lines where there is no terminal, one live line where there is one."""

import io
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from guidebench.commands import progress
from guidebench.engine.events import Finished, Sampled, Started, Stepped


class Named(SimpleNamespace):
    __hash__ = object.__hash__


def case(group, label="guide", under="ffhq"):
    method = SimpleNamespace(label=label, fields={"steps": 50})
    spec = SimpleNamespace(protocol=SimpleNamespace(name=under), method=method, group=group, seed=0)
    return Named(spec=spec)


def begun(cases, stream):
    shown = progress.Progress(stream)
    shown.begin(cases, 1)
    return shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def follow(stream, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    cases = [case("a"), case("b"), case("c")]
    shown = begun(cases, stream)
    shown.hear(Started(cases[0]))
    clock[0] = 16.0
    shown.hear(Stepped(cases[0], 20, {"loss": 0.25}))
    clock[0] = 30.0
    shown.hear(Finished(cases[0], Path("folder"), 30.0))
    shown.hear(Started(cases[1]))
    clock[0] = 46.0
    shown.hear(Stepped(cases[1], 25, {"loss": 0.125}))
    shown.hear(Finished(cases[1], None, 16.0, "it raised"))
    shown.close()
    return stream.getvalue()


def test_plain_lines_tell_trials_steps_loss_and_time_left(monkeypatch):
    lines = follow(io.StringIO(), monkeypatch).splitlines()
    patterns = [
        r"0/3 .*\bguide a\b.* 20/50 .*\b0\.250\b.* 1:44\b.*",  # 16 s for 20 of 50 steps: 40 s a trial
        r"\[1/3\] guide\b.*\ba\b.*\b0: 30\.0 s",
        r"1/3 .*\bguide b\b.* 25/50 .*\b0\.125\b.* 0:44\b.*",  # 30 s for c and the rest of b's 30 s
        r"\[2/3\] guide\b.*\bb\b.*\b0: 16\.0 s\b.*FAILED.*: it raised",
    ]
    assert len(lines) == len(patterns)
    assert [line for line, pattern in zip(lines, patterns, strict=True) if not re.fullmatch(pattern, line)] == []


def test_samples_of_the_original_are_shown_until_all_are_there():
    stream = Terminal()
    shown = begun([case("a")], stream)
    shown.hear(Sampled(64, 300))
    assert stream.getvalue().endswith("64/300")
    shown.hear(Sampled(300, 300))
    shown.hear(Started(case("a")))
    assert not re.search(r"\b300\b", stream.getvalue().rpartition("64/300")[2])


def test_a_terminal_gets_one_line_that_is_rewritten(monkeypatch):
    text = follow(Terminal(), monkeypatch)
    assert text.count("\n") == 2  # only finished trials stay
    assert re.search(r"\r\x1b\[2K0/3 .*\bguide a\b.* 20/50 .*\b0\.250\b", text)


def test_finished_lines_name_the_protocol_where_there_are_several():
    cases, stream = [case("a", under="ffhq"), case("a", under="random")], io.StringIO()
    shown = begun(cases, stream)
    for item in cases:
        shown.hear(Started(item))
        shown.hear(Finished(item, Path("folder"), 2.0))
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\[1/2\] ffhq\b.*\bguide\b.*\ba\b.*\b0: 2\.0 s", first)
    assert re.fullmatch(r"\[2/2\] random\b.*\bguide\b.*\ba\b.*\b0: 2\.0 s", second)


@pytest.mark.parametrize(("columns", "longest"), [(60, 59), (80, 79), (200, 199), (0, 79), (None, 79)])
def test_the_live_line_is_as_long_as_the_terminal_is_wide(monkeypatch, columns, longest):
    """A longer one would be broken, and the next could not be written over it."""

    def size(_):
        if columns is None:
            raise OSError("no terminal")
        return os.terminal_size((columns, 24))

    monkeypatch.setattr(os, "get_terminal_size", size)
    monkeypatch.setattr(Terminal, "fileno", lambda self: 2)
    cases, stream = [case("a" * 400)], Terminal()
    shown = begun(cases, stream)
    shown.hear(Started(cases[0]))
    assert len(stream.getvalue().rpartition("[2K")[2]) == longest


def test_a_method_cannot_clear_the_screen():
    cases, stream = [case("a")], io.StringIO()
    shown = begun(cases, stream)
    shown.hear(Started(cases[0]))
    shown.hear(Finished(cases[0], None, 2.0, "it raised \x1b[2J\nall is well"))
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r"FAILED: it raised \x1b[2J\x0aall is well")


def test_a_trial_that_another_process_has_is_no_measure_of_time():
    stream = io.StringIO()
    cases = [case("a"), case("b")]
    shown = begun(cases, stream)
    shown.hear(Started(cases[0]))
    shown.hear(Finished(cases[0], None, 0.0))
    assert re.fullmatch(r"\[1/2\] guide\b.*\ba\b.*: another process has it\n", stream.getvalue())
    assert shown._left(0.0) is None


def test_a_warning_is_a_line_of_its_own_below_its_trial():
    cases, stream = [case("a")], io.StringIO()
    shown = begun(cases, stream)
    shown.hear(Started(cases[0]))
    shown.hear(Finished(cases[0], Path("folder"), 2.0, warning="generator not kept: it\nraised"))
    _, line = stream.getvalue().splitlines()
    assert line == r"  generator not kept: it\x0araised"
