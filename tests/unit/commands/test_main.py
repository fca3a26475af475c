"""The command line itself: sections of the help, a light start, unknown names, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands import report
from guidebench.commands.main import SECTIONS, main
from guidebench.errors import BadInput, MethodError, MissingAsset, StorageError

RECORDS = Path(__file__).parents[1] / "reporting" / "records"
NAMES = [name for section in SECTIONS.values() for name in section]
HEAVY = {"torch", "pandas", "numpy", "matplotlib", "onnxruntime"}


def command(name: str) -> click.Command:
    with click.Context(main) as context:
        found = main.get_command(context, name)
    assert found is not None
    return found


def loaded_by(*calls: list[str]) -> set[str]:
    """The modules that are loaded in a fresh process after all these calls, each of which must end well."""
    code = (
        "import contextlib, io, json, sys\n"
        "from guidebench.commands.main import main\n"
        f"for arguments in {list(calls)!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        try: main(arguments)\n"
        "        except SystemExit as done: assert not done.code, (arguments, done.code)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_help_shows_every_command_once_below_its_section_in_80_columns():
    result = CliRunner().invoke(main, ["--help"])
    lines = result.stdout.splitlines()
    assert result.exit_code == 0 and max(map(len, lines)) <= 80
    places = [lines.index(f"{title}:") for title in SECTIONS]
    assert places == sorted(places)
    for (title, section), start in zip(SECTIONS.items(), places, strict=True):
        shown = lines[start + 1 : start + 1 + len(section)]
        assert [line.split(maxsplit=1) for line in shown] == [[name, text] for name, (_, text) in section.items()], (
            title
        )
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_all_and_the_help_of_one_agree(name):
    """The first is written in a table, so that nothing is imported for it."""
    (shown,) = [section[name][1] for section in SECTIONS.values() if name in section]
    assert command(name).get_short_help_str(limit=1000) == shown
    assert command(name).name == name


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(command(name), click.Group)])
def test_the_help_of_a_group_cuts_no_sentence(name):
    assert "..." not in CliRunner().invoke(main, [name, "--help"]).stdout.partition("Commands:")[2]


def test_the_help_of_all_imports_no_command():
    loaded = loaded_by(["--help"], ["--version"])
    assert not HEAVY & loaded
    assert {name for name in loaded if name.startswith("guidebench.commands.")} == {"guidebench.commands.main"}


def test_the_help_of_every_command_loads_neither_torch_nor_pandas():
    assert not {"torch", "pandas", "matplotlib"} & loaded_by(*([name, "--help"] for name in NAMES))


def test_looking_up_loads_neither_torch_nor_pandas():
    calls = (["list"], ["show", "celebahq-multi"], ["show", "table-2"], ["show", "id"], ["status", str(RECORDS)])
    assert not {"torch", "pandas", "scipy", "matplotlib"} & loaded_by(*calls)


def test_methods_and_protocols_are_looked_up_without_numpy():
    assert not HEAVY & loaded_by(["list", "methods"], ["list", "protocols"], ["show", "celebahq-multi"])


@pytest.mark.parametrize(
    ("given", "close"), [("rnu", "run"), ("reproduse", "reproduce"), ("lst", "list"), ("doctr", "doctor")]
)
def test_an_unknown_command_gets_the_closest_one(given, close):
    result = CliRunner().invoke(main, [given, "--protocol", "smoke"])
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert f"'{given}'" in line and f"'{close}'" in line and "`guidebench --help`" in line


def test_no_command_shows_the_help_and_fails():
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2 and "Measure:" in result.output


def test_the_version_is_that_of_the_package():
    assert guidebench.__version__ in CliRunner().invoke(main, ["--version"]).stdout


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (BadInput("no such thing"), 2, 1),
        (MissingAsset("no such file"), 2, 1),
        (StorageError("disk full"), 2, 1),
        (MethodError("diverged"), 1, 1),
        (PermissionError(13, "Permission denied", "there"), 2, 1),
        (OSError(28, "No space left on device"), 2, 1),
        (KeyboardInterrupt(), 130, 1),
        (BrokenPipeError(), 0, 0),
        (ValueError("two\nlines"), 2, 1),
        (click.UsageError("Such an option!"), 2, 1),
        (click.Abort(), 130, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_error_is_one_line_and_an_exit_code(monkeypatch, error, code, lines):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(report.status, "callback", fail)
    result = CliRunner().invoke(main, ["status", "runs"])
    assert result.exit_code == code and result.stdout == ""
    assert len(result.stderr.splitlines()) == lines and result.stderr.startswith("guidebench: ") == bool(lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_output_that_cannot_be_written_is_called_so():
    with open("/dev/full", "w") as full:
        code = [sys.executable, "-m", "guidebench", "list"]
        done = subprocess.run(code, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and done.stderr == (
        "guidebench: the output cannot be written: No space left on device\n"
    )


def test_a_bug_is_called_one_and_its_traceback_can_be_seen(monkeypatch):
    def fail(**_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(report.status, "callback", fail)
    line = CliRunner().invoke(main, ["status", "runs"]).stderr
    assert "ZeroDivisionError: a bug" in line and "GUIDEBENCH_DEBUG=1" in line
    monkeypatch.setenv("GUIDEBENCH_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, ["status", "runs"]).exception, ZeroDivisionError)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_terminal_that_is_not_utf8_gets_escapes_for_what_it_lacks(encoding):
    code = (
        "from guidebench.commands.main import main\n"
        "for arguments in (['list'], ['run', '--help'], ['show', 'fid_pre'], ['list', 'metrics', '--json']):\n"
        "    main(arguments, standalone_mode=False)"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert done.returncode == 0 and not done.stderr
    assert r"\u0394FID" in done.stdout.decode(encoding)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed by a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_nothing_else_gets_their_numbers(closed, tmp_path):
    """A file that is opened after standard output was closed would get number 1, and the output."""
    code = (
        "import sys\n"
        "from guidebench.commands.main import main\n"
        f"main(['status', {str(RECORDS)!r}], standalone_mode=False)\n"
        "opened = open(sys.argv[1], 'w')\n"
        "opened.write(str(min(opened.fileno(), 3)))"
    )
    line = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", code, str(tmp_path / "opened")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done
    assert (tmp_path / "opened").read_text() == "3"


def test_a_wrong_option_is_one_line_whatever_it_holds():
    line = CliRunner().invoke(main, ["list", "\x1b[2J\nall is well"]).stderr
    assert line.count("\n") == 1 and "\x1b" not in line


SMOKE = ["run", "--protocol", "smoke", "--testbed", "linear", "--method", "mean-latent"]


@pytest.mark.parametrize("half", ["\udcff", "\ud800"], ids=["byte", "surrogate"])
@pytest.mark.parametrize(
    "arguments",
    [
        [*SMOKE, "--set", "lr={}"],
        [*SMOKE, "--set", "reduction={}"],
        [*SMOKE, "--set", "{}=1"],
        [*SMOKE, "--set", "{}"],
        ["evaluate", "--protocol", "smoke", "--testbed", "linear", "--checkpoint", "{}"],
        ["show", "{}"],
        ["show", "{}.toml"],
        ["list", "{}"],
        ["assets", "verify", "{}"],
        ["assets", "add", "{}"],
        ["data", "statistics", "--features", "{}"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-1:]),
)
def test_what_is_no_text_is_bad_input_and_no_bug(arguments, half, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [argument.format(half) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1 and "internal error" not in result.stderr
