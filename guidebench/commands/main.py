"""The `guidebench` command: its sub-commands by section, and one clear line for every error.

Nothing heavy is imported before a command needs it. `SECTIONS` is what `guidebench --help` prints; a command's own file
is imported when that command is typed. To add a command, write it in a file of this folder and name it in `SECTIONS`.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import click

import guidebench
from guidebench import logs
from guidebench.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, GuidebenchError, in_one_line, unknown_name
from guidebench.text import brief, one_line

# Command: (module below guidebench.commands and attribute, the first sentence of its help).
SECTIONS = {
    "Measure": {
        "run": ("run:run", "Run methods under a protocol and print the table."),
        "evaluate": ("run:evaluate", "Score generators that other code has unlearned."),
        "reproduce": ("run:reproduce", "Reproduce one of the paper's tables or figures."),
        "attack": ("attack:attack", "Attack kept generators: is the person forgotten, or hidden?"),
        "rescore": ("rescore:rescore", "Recompute the metrics of recorded trials, without a new run."),
    },
    "Read results": {
        "status": ("report:status", "Show how many trials are measured, failed or unreadable."),
        "report": ("report:report", "Print tables: the paper's, or every metric and test."),
        "compare": ("report:compare", "Compare two methods: which is better, and how sure is that?"),
        "scores": ("report:scores", "Print every score as CSV, one row per score."),
        "orderings": ("report:orderings", "Show each ordering that GUIDE's paper claims, as measured."),
        "instrument": ("report:instrument", "Show how far the scores themselves can be trusted."),
        "gallery": ("report:gallery", "Draw everyone before and after each method, in one picture."),
        "figure": ("figure:figure", "Draw a figure for a paper, from records."),
        "page": ("page:page", "Write a page of results: table, people, pictures, records."),
        "render": ("render:render", "Render a person with an unlearned generator that was kept."),
    },
    "Share results": {
        "submit": ("submit:submit_group", "Pack results for a leaderboard, and verify what others packed."),
    },
    "Write your own": {
        "new": ("new:new", "Write a method, an attack or a metric to start from."),
        "check": ("check:check", "Check that a method, attack, metric or testbed keeps its contract."),
    },
    "Look up": {
        "list": ("show:list_command", "List methods, attacks, protocols, suites, testbeds and metrics."),
        "show": ("show:show", "Show all of a protocol, suite, method, attack, testbed or metric."),
        "doctor": ("doctor:doctor", "Check that this machine can run a testbed."),
        "bench": ("bench:bench", "Time our steps and samples against a plain loop."),
    },
    "Prepare weights and photos": {
        "assets": ("assets:assets_group", "Get the pretrained files that some testbeds need."),
        "data": ("data:data_group", "Prepare photos of FFHQ and CelebA-HQ, and their statistics."),
        "align": ("data:align_command", "Crop the largest face out of photos, as EG3D or FFHQ does."),
    },
}
_PLACES = {name: place for section in SECTIONS.values() for name, (place, _) in section.items()}


def _prepare_streams() -> None:
    """Gives streams that the caller closed a sink, and lets those that are not UTF-8 take every text.

    What an encoding lacks is written as an escape, such as ``\\u0394``. A closed stream leaves its number free: without
    a sink the next file that is opened would get it, and with it whatever is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            with contextlib.suppress(OSError):
                _open_sink(number)
                setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _open_sink(number: int) -> None:
    """Makes a file descriptor lead nowhere, in child processes, too, unless it is in use."""
    try:
        os.fstat(number)
    except OSError:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle == number:
            os.set_inheritable(handle, True)
        else:
            os.dup2(handle, number)
            os.close(handle)


def _drop_output() -> None:
    """What is still to be written would fail again as Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _one_clear_line() -> Iterator[None]:
    """Errors meant for the user end the command with one line and an exit code, not with a traceback."""
    try:
        yield
    except GuidebenchError as error:
        click.echo(f"guidebench: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("guidebench: interrupted; finished trials are kept, run the same command again to resume", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)  # the reader of our output has seen enough
    except OSError as error:
        full = error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = "the output cannot be written: " if full else f"{error.filename}: " if error.filename else ""
        click.echo(f"guidebench: {one_line(f'{where}{error.strerror or error}')}", err=True)
        if full:
            _drop_output()
        sys.exit(EXIT_BAD_INPUT)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        if "GUIDEBENCH_DEBUG" in os.environ:
            raise
        click.echo(
            f"guidebench: internal error: {in_one_line(error)}; please report it with the traceback that "
            "GUIDEBENCH_DEBUG=1 shows",
            err=True,
        )
        sys.exit(EXIT_BAD_INPUT)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that trials give up what others would wait for; again, at once."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Commands(click.Group):
    """Imports a command when it is typed, answers errors in one line, suggests a close match for an unknown name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of `SECTIONS`."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the file that the command is in."""
        if cmd_name not in _PLACES:
            return None
        module, _, attribute = _PLACES[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"guidebench.commands.{module}"), attribute)
        assert isinstance(command, click.Command), cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One block per section, and nothing is imported for it."""
        width = max(map(len, _PLACES))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", summary) for name, (_, summary) in section.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, but halves of characters, which neither a file nor a record can be called, are refused."""
        for argument in args:
            try:
                os.fsencode(argument)
            except UnicodeEncodeError:
                raise click.UsageError(f"{brief(argument)} is not text", ctx) from None
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """As click's, and every error is one clear line."""
        with _one_clear_line(), _terminated_as_interrupted():
            return super().invoke(ctx)

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's, but a wrong option is answered in one line, too."""
        _prepare_streams()
        try:
            code = super().main(*args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(EXIT_BAD_INPUT)
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            command = context.command_path if context else "guidebench"
            message = one_line(" ".join(error.format_message().split()))
            end = "" if message.endswith((".", "?", "!")) else ";"
            click.echo(f"guidebench: {message}{end} `{command} --help` shows what is allowed", err=True)
            sys.exit(EXIT_BAD_INPUT)
        except click.Abort:
            sys.exit(EXIT_INTERRUPTED)
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown command is answered with the closest one."""
        if args and not args[0].startswith("-") and args[0] not in _PLACES:
            click.echo(
                f"guidebench: {unknown_name('command', args[0], _PLACES, command='guidebench --help')}", err=True
            )
            sys.exit(EXIT_BAD_INPUT)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(guidebench.__version__, prog_name="guidebench")
def main() -> None:
    """Run, judge and compare methods that make a face generator forget a person."""
    logs.show_on_stderr()
