"""Bad input is answered in one line, before anything runs."""

import re

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main

SMOKE = ("run", "--protocol", "smoke", "--testbed", "linear")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--protocol", "smoke", "--method", "guide", "--workers", "-1"],
        ["run", "--protocol", "smoke", "--method", "guide", "--seeds", ","],
        ["run", "--protocol", "smoke"],
        ["report", "x", "--format", "xml"],
        ["list", "foo"],
        ["new", "mthod"],
        ["status"],
        ["status", ""],
        ["run", "--protocol", "smoke", "--method", "guide", "--out", ""],
        ["status", "runs", "extra"],
    ],
    ids=" ".join,
)
def test_wrong_options_are_answered_in_one_line(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("guidebench: ") and re.search("[.?!;] `[^`]+ --help` shows", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--protocol", "celebahq-mult", "--method", "guide"], ["'celebahq-multi'", "guidebench list protocols"]),
        (["--protocol", "smoke", "--method", "giude"], ["'guide'", "guidebench list methods"]),
        (["--protocol", "smoke", "--method", "guide", "--testbed", "linaer"], ["'linear'", "guidebench list testbeds"]),
        (
            ["--protocol", "smoke", "--method", "guide", "--set", "alpa_max=3"],
            ["'alpha_max'", "guidebench show guide"],
        ),
        (["--protocol", "smoke", "--method", "guide", "--set", "steps=many"], ["steps=many", "integer"]),
        (["--protocol", "smoke", "--method", "guide", "--workers", "100000"], ["100000", "cores"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr=-1"], ["lr=-1", "0"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr=nan"], ["lr=nan", "0"]),
        (["--protocol", "smoke", "--method", "guide", "--set", "lr"], ["FIELD=VALUE"]),
        (["--protocol", "smoke", "--method", "nowhere.py:Mine"], ["nowhere.py", "guidebench new method"]),
        (["--protocol", "smoke", "--method", "guide", "--identities", "4000"], ["4000", "identities"]),
        (["--protocol", "smoke", "--method", "guide", "--device", "tpu"], ["tpu", "cpu", "cuda"]),
        (["--protocol", "smoke", "--method", "guide", "--photos", "nowhere"], ["photos: nowhere", "folder"]),
        (["--protocol", "mine.toml", "--method", "guide"], ["mine.toml does not exist; correct the path"]),
    ],
)
def test_bad_input_is_answered_in_one_line_with_exit_code_2(tmp_path, arguments, words, guidebench_run):
    testbed = [] if "--testbed" in arguments else ["--testbed", "linear"]
    result = guidebench_run("run", *arguments, *testbed, out=tmp_path / "out")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1 and "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert result.stdout == ""


def test_cuda_without_a_device_is_refused(tmp_path, guidebench_run):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = guidebench_run(*SMOKE, "--method", "guide", "--device", "cuda", out=tmp_path)
    assert result.exit_code == 2 and "device cuda" in result.stderr and "give cpu" in result.stderr


def test_a_directory_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, guidebench_run):
    (tmp_path / "file").write_text("")
    result = guidebench_run(*SMOKE, "--method", "guide", out=tmp_path / "file" / "below")
    assert result.exit_code == 2 and str(tmp_path / "file") in result.stderr and "choose another" in result.stderr


def test_a_person_without_photographs_is_named_and_not_left_out(tmp_path, guidebench_run):
    for name in ("ada", "grace"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / f"1.{'png' if name == 'ada' else 'heic'}").touch()
    result = guidebench_run(*SMOKE, "--method", "guide", "--photos", str(tmp_path / "photos"), out=tmp_path / "out")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"{tmp_path / 'photos' / 'grace'} " in result.stderr and ".png" in result.stderr
