"""`guidebench bench` prints a table, stores what is in it, and says what it was measured on."""

import json

import pytest
from click.testing import CliRunner

from guidebench.commands.main import main


@pytest.mark.long
def test_a_bench_prints_and_stores_both_ways_of_both_works(tmp_path):
    out = tmp_path / "bench.json"
    done = CliRunner().invoke(main, ["bench", "--repeats", "1", "--threads", "1", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.stderr
    stored = json.loads(out.read_text())
    assert (stored["testbed"], stored["threads"]) == ("mini", 1) and stored["device"].startswith("cpu")
    assert [found["work"] for found in stored["comparisons"]] == ["step", "sample"]
    for found in stored["comparisons"]:
        assert found["ratio"] == found["ratios"][0] > 0
        assert 0 < found["ours"]["gflop"] <= found["plain"]["gflop"] * 1.01, "ours does no more work"
        assert f"| {found['ratio']:.2f} |" in done.stdout
    assert stored["device"] in done.stdout and str(out) in done.stderr


def test_a_profile_shows_operations_and_stores_nothing(tmp_path):
    out = tmp_path / "bench.json"
    arguments = ["bench", "--profile", "--work", "sample", "--device", "cpu", "--out", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0 and "aten::" in done.stdout and not out.exists()


def test_an_absent_device_is_one_clear_line():
    done = CliRunner().invoke(main, ["bench", "--device", "tpu"])
    assert done.exit_code == 2 and len(done.stderr.strip().splitlines()) == 1 and "'tpu'" in done.stderr
