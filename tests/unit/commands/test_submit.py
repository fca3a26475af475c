"""`guidebench submit`: options, lines and exit codes; what is checked is tested in unit/submissions."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from tampering import rezipped

import guidebench
from guidebench.commands.main import main


def submit(*words):
    return CliRunner().invoke(main, ["submit", *map(str, words)])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    out = tmp_path_factory.mktemp("submit")
    guidebench.run("smoke", "nothing", "linear", floors="none", out=out / "runs", workers=0, keep_generators=True)
    who = ("--name", "Nothing", "--authors", "A, B", "--link", "https://example.org", "--settings-tried", 3)
    done = submit("pack", out / "runs", "--out", out / "a.zip", *who, "--tuned-on", "dev", "--with-generators", "all")
    assert done.exit_code == 0, done.stderr
    assert "1 records, 1 kept generators" in done.stdout and "submit verify" in done.stderr
    return out / "a.zip"


def test_a_submission_that_matches_has_exit_code_0_and_a_line_per_check(file):
    done = submit("verify", file)
    first, *others = done.stdout.splitlines()
    assert done.exit_code == 0 and first == "method Nothing, A, B  https://example.org"
    assert all(line.startswith(("ok ", "not checked ")) for line in others) and len(others) > 8
    assert any("3 settings tried on dev" in line for line in others)


def test_what_differs_has_exit_code_1_in_text_and_in_json(file, tmp_path):
    other = rezipped(file, tmp_path / "b.zip", lambda name, content: b"1\n" if name == "salt" else content)
    text, data = submit("verify", other, "--sample", 0), submit("verify", other, "--sample", 0, "--format", "json")
    assert text.exit_code == data.exit_code == 1
    assert any(line.startswith("differs") and "salt" in line for line in text.stdout.splitlines())
    found = json.loads(data.stdout)
    assert found["differs"] == 1 and found["checks"][0]["about"] == "files"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pack", "absent", "--out", "x.zip", "--name", "A", "--link", "https://example.org"), "absent"),
        (("pack", ".", "--out", "x.zip", "--name", "A"), "--link"),
        (("pack", ".", "--out", "x.zip", "--name", "A", "--with-generators", "some"), "some"),
        (("pack", ".", "--out", "x.zip", "--name", "A", "--link", "https://a", "--against", "b.zip"), "--attack"),
        (("verify", "absent.zip"), "absent.zip"),
        (("verify", __file__), "not a zip"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words, says):
    done = submit(*words)
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2 and says in line and done.stdout == ""
