"""Kept generators on a second set of codes, on the analytic testbed."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import guidebench
from guidebench.commands.main import main
from guidebench.engine import second_codes
from guidebench.engine.bench import Bench
from guidebench.errors import BadInput
from guidebench.store.folders import scan
from guidebench.testbeds.linear import LinearTestbed


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    guidebench.run(
        "celebahq",
        ["mean-latent", "redirect"],
        testbed="linear",
        identities=2,
        samples=60,
        floors="none",
        workers=0,
        keep_generators=True,
        out=out,
    )
    return out


def _invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_second_set_is_another_one_and_the_recorded_value_stands_beside_it(runs):
    stored, _ = scan(runs)
    found = second_codes.measure(stored, "cpu")
    trained = [reading for reading in found if reading.label == "mean-latent"]
    assert len(found) == 4 and len(trained) == 2
    for reading in trained:
        assert reading.first > 0 and reading.second > 0 and reading.first != reading.second
        assert reading.second == pytest.approx(reading.first, rel=0.9)
    assert all(reading.second == pytest.approx(0, abs=1e-3) for reading in found if reading.label == "redirect")
    assert found == second_codes.measure(stored, "cpu")


def test_only_the_samples_of_a_protocol_get_other_names(runs):
    stored, _ = scan(runs)
    protocol = stored[0].record.spec.protocol
    bench = Bench(LinearTestbed())
    first, second = (bench.source_samples(one).features for one in (protocol, second_codes.another(protocol)))
    assert first.shape == second.shape and not (first == second).all(axis=1).any()


def test_the_page_has_the_section_only_where_it_is_asked_for(runs):
    plain, asked = (_invoke("instrument", runs, *words).stdout for words in ([], ["--second-codes"]))
    assert "second set of codes" not in plain
    assert asked.startswith(plain.rstrip("\n")) and "## A second set of codes" in asked
    assert "| mean-latent | 2 |" in asked


def test_records_without_generators_are_refused_with_what_to_do(runs, says):
    with pytest.raises(BadInput, match=says("--keep-generators")):
        second_codes.measure([], "cpu")


def test_a_generator_that_cannot_be_loaded_is_left_out_with_the_reason(runs, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(runs, copy)
    (broken, *_) = sorted(copy.glob("records/celebahq/mean-latent/*/generator/delta.safetensors"))
    broken.write_bytes(b"")
    found = second_codes.measure(scan(copy)[0], "cpu")
    assert [reading.second is None for reading in found].count(True) == 1
    assert any(reading.reason and "cannot be loaded" in reading.reason for reading in found)


def test_code_that_records_name_is_run_only_if_it_is_trusted(tmp_path):
    from pathlib import Path

    citizens = Path(__file__).parents[2] / "contract" / "good_citizens.py"
    sizes = {"identities": 1, "samples": 60, "floors": "none", "workers": 0, "keep_generators": True}
    guidebench.run("smoke", f"{citizens}:Wrapper", testbed="linear", out=tmp_path, **sizes)
    refused = _invoke("instrument", tmp_path, "--second-codes")
    assert refused.exit_code == 2 and "good_citizens.py" in refused.stderr and "--trust-code" in refused.stderr
    assert _invoke("instrument", tmp_path, "--second-codes", "--trust-code").exit_code == 0
