"""What is logged reaches stderr where a command asked for it, and nowhere else."""

from __future__ import annotations

import logging
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from guidebench import logs

LOGGER = logging.getLogger("guidebench.some.module")


@pytest.fixture
def root():
    """The logger as it was before the test."""
    logger = logging.getLogger(logs.ROOT)
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def say() -> None:
    LOGGER.debug("a detail")
    LOGGER.info("%d of %d photographs", 1, 2)
    LOGGER.warning("no face is found in %s", "a.png")


SHOWN = "1 of 2 photographs\nguidebench: no face is found in a.png\n"


def test_progress_is_plain_and_warnings_are_marked(root, capsys):
    logs.show_on_stderr()
    say()
    assert capsys.readouterr() == ("", SHOWN)


def test_turning_it_on_twice_shows_everything_once(root, capsys):
    logs.show_on_stderr()
    logs.show_on_stderr()
    say()
    assert capsys.readouterr().err == SHOWN


def test_stderr_is_the_one_at_the_time_of_the_message(root):
    """CliRunner exchanges it for every command."""
    logs.show_on_stderr()
    command = click.Command("say", callback=say)
    for _ in range(2):
        assert CliRunner().invoke(command).stderr == SHOWN


def test_handlers_of_the_program_see_messages_too(root, caplog):
    logs.show_on_stderr()
    say()
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_every_command_turns_it_on(root):
    from guidebench.commands.main import main

    root.handlers[:] = []
    CliRunner().invoke(main, ["list", "methods"])
    assert any(isinstance(handler, logs._OnStderr) for handler in root.handlers)


def test_a_library_stays_silent():
    """Without any handler, Python's last resort would print warnings."""
    code = "import logging, guidebench; logging.getLogger('guidebench.some.module').warning('something')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_a_message_is_one_line_that_a_terminal_shows_as_it_is(root, capsys):
    logs.show_on_stderr()
    LOGGER.warning("left out: %s", "\x1b[2J\nall is well")
    assert capsys.readouterr().err == "guidebench: left out: \\x1b[2J\\x0aall is well\n"
